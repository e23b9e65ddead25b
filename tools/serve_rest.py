"""Serve an exported model over TensorFlow Serving's REST protocol, without its binary.

python tools/serve_rest.py --saved_model=S [--model=daaf] [--port=8501] [--host=127.0.0.1]

S is the --output_dir of daaf_tf.export (its newest version is served) or one version in it. The
server is meant for trying clients out and for small loads: one model, one version, no TLS, no
access control. It therefore listens on the loopback address, unless --host says otherwise. See
docs/serving.md.
"""

from __future__ import annotations

import contextlib

from daaf_tf import flags
from daaf_tf.errors import UserError


def main() -> None:
    """Load the model and answer requests until interrupted."""
    values = flags.FLAGS
    # TensorFlow takes seconds to import.
    from daaf_tf import serving
    from daaf_tf.serving.batching import Batching
    from daaf_tf.serving.rest_server import RestServer
    from daaf_tf.serving.served_model import ServedModel
    from daaf_tf.serving.warmup import WARMUP_FILE, replay_warmup

    batching = Batching(values.max_batch_size, values.batch_timeout_micros / 1e6)
    embedder = serving.load(values.saved_model)
    if (embedder.path / WARMUP_FILE).exists():
        replay_warmup(embedder.path, embedder.signatures)
    model = ServedModel(embedder, values.model, batching if values.batching else None)
    try:
        server = RestServer((values.host, values.port), model, values.max_request_mb << 20)
    except OSError as error:
        raise UserError(
            f"--host={values.host} --port={values.port}: cannot listen there "
            f"({error.strerror or error}); is another server running?"
        ) from error
    host, port = server.server_address[:2]
    print(f"{embedder.path} at http://{host}:{port}/v1/models/{model.name}", flush=True)
    with server, contextlib.closing(model):
        server.serve_forever()


if __name__ == "__main__":
    flags.DEFINE_string("saved_model", None, "Exported model: a version folder or that of all.")
    flags.DEFINE_string("model", "daaf", "Name under which it is served.")
    flags.DEFINE_string("host", "127.0.0.1", "Address to listen on; 0.0.0.0: all of the machine's.")
    flags.DEFINE_integer(
        "port", 8501, "Port to listen on; 0: any free one.", lower_bound=0, upper_bound=65535
    )
    flags.DEFINE_bool("batching", True, "Compute concurrent requests in common batches.")
    flags.DEFINE_integer(
        "max_batch_size", 64, "Images in a batch, and in a request.", lower_bound=1
    )
    flags.DEFINE_integer("batch_timeout_micros", 2000, "How long a batch waits.", lower_bound=0)
    flags.DEFINE_integer("max_request_mb", 64, "Larger requests are refused.", lower_bound=1)
    flags.mark_flags_as_required(["saved_model"])
    flags.run(main)
