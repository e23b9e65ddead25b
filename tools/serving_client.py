"""Embed image files on a server over TensorFlow Serving's REST or gRPC protocol.

python tools/serving_client.py --images=a.jpg,folder [--protocol=grpc] [--server=127.0.0.1:8501]
    [--model=daaf] [--output=E.npz]

The images go to the signature `encoded` of a model that daaf_tf.export wrote, --batch_size at a
time. Without --output, a line of JSON is printed for each image. How to start a server:
docs/serving.md. TensorFlow is not needed here.
"""

from __future__ import annotations

from daaf_tf import flags
from daaf_tf.clients import GrpcClient, RestClient
from daaf_tf.clients.embedding import run_client

# {protocol: (client, the port that TensorFlow Serving gives it)}
PROTOCOLS = {"rest": (RestClient, 8501), "grpc": (GrpcClient, 8500)}


def main() -> None:
    """Send the images, and print or write what comes back."""
    values = flags.FLAGS
    make_client, port = PROTOCOLS[values.protocol]
    client = make_client(
        values.server or f"127.0.0.1:{port}",
        values.model,
        version=values.model_version,
        timeout=values.timeout,
    )
    run_client(client, images=values.images, batch_size=values.batch_size, output=values.output)


if __name__ == "__main__":
    flags.DEFINE_string("images", None, "Image files and folders of them, comma-separated.")
    flags.DEFINE_enum("protocol", "rest", sorted(PROTOCOLS), "How the server is asked.")
    flags.DEFINE_string(
        "server", "", "host:port; default: 127.0.0.1, port 8501 for REST and 8500 for gRPC."
    )
    flags.DEFINE_string("model", "daaf", "Name of the model on the server.")
    flags.DEFINE_integer("model_version", 0, "Version of the model; 0: newest.", lower_bound=0)
    flags.DEFINE_integer("batch_size", 32, "Images in a request.", lower_bound=1)
    flags.DEFINE_integer("timeout", 60, "Seconds to wait for an answer.", lower_bound=1)
    flags.DEFINE_string("output", "", "An .npz file for paths and embeddings; empty: print them.")
    flags.mark_flags_as_required(["images"])
    flags.run(main)
