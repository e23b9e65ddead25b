"""The gRPC client against a server of grpc's own, and its messages against the official ones.

tensorflow-serving-api is no requirement: the environment variable DAAF_TF_SERVING_PYTHON names a
Python that has it and TensorFlow.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import socket
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest

from daaf_tf.clients import GrpcClient, RefusedError
from daaf_tf.clients.predict_protos import METHOD, PredictRequest, PredictResponse
from daaf_tf.errors import UserError

SECONDS = 60
SERVING_PYTHON = os.environ.get("DAAF_TF_SERVING_PYTHON")
ROOT = pathlib.Path(__file__).resolve().parents[2]


@contextlib.contextmanager
def answering(answer):
    """Serve Predict by a function of (request, context); yield the address."""
    handler = grpc.unary_unary_rpc_method_handler(
        answer,
        request_deserializer=PredictRequest.FromString,
        response_serializer=PredictResponse.SerializeToString,
    )
    service, method = METHOD.strip("/").split("/")
    server = grpc.server(ThreadPoolExecutor(2), options=[("grpc.max_receive_message_length", -1)])
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler(service, {method: handler})]
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait(SECONDS)


def make_response(shape, values=(), content=b"", dtype=1, name="embedding"):
    response = PredictResponse()
    tensor = response.outputs[name]
    tensor.dtype = dtype
    for size in shape:
        tensor.tensor_shape.dim.add(size=size)
    tensor.float_val.extend(values)
    tensor.tensor_content = content
    return response


def embed(answer, images=(b"x",), **options):
    options = {"timeout": SECONDS, **options}
    with answering(answer) as server, GrpcClient(server, "people", **options) as client:
        return client.embed(list(images))


def test_what_is_sent():
    received = []

    def answer(request, _):
        received.append(request)
        return make_response([2, 1], [1, 2])

    embed(answer, [b"\xff", b""], version=3)
    (request,) = received
    assert request.model_spec.name == "people"
    assert request.model_spec.signature_name == "encoded"
    assert request.model_spec.version.value == 3
    tensor = request.inputs["encoded"]
    assert tensor.dtype == 7
    assert [dim.size for dim in tensor.tensor_shape.dim] == [2]
    assert list(tensor.string_val) == [b"\xff", b""]
    assert list(request.output_filter) == ["embedding"]


@pytest.mark.parametrize("packed", [True, False])
def test_what_is_read(packed):
    values = np.float32([[1, 2.5, -3], [4, 5, 6]])
    content = {"content": values.tobytes()} if packed else {"values": values.ravel()}
    received = embed(lambda *_: make_response([2, 3], **content), [b"x", b"y"])
    assert received.dtype == np.float32
    np.testing.assert_array_equal(received, values)


def test_a_batch_of_photographs_is_not_too_large():
    photographs = [bytes(3 << 20)] * 3
    received = embed(lambda *_: make_response([3, 1], [1, 2, 3]), photographs)
    assert received.shape == (3, 1)


@pytest.mark.parametrize(
    "response",
    [
        PredictResponse(),
        make_response([1, 2], [1, 2], name="mask"),
        make_response([2, 1], [1, 2]),
        make_response([1, 3], [1, 2]),
        make_response([2], [1, 2]),
        make_response([1, 2], [1, 2], dtype=2),
    ],
    ids=["nothing", "another output", "more rows", "too few", "a vector", "another type"],
)
def test_an_answer_that_is_none(response):
    with pytest.raises(UserError, match="expected one 'embedding' for each image"):
        embed(lambda *_: response)


@pytest.mark.parametrize(
    ("code", "kind", "message"),
    [
        ("INVALID_ARGUMENT", RefusedError, r"refuses the request \(INVALID_ARGUMENT\): its words"),
        ("NOT_FOUND", UserError, "does not serve the model 'people'; it says: its words"),
        ("RESOURCE_EXHAUSTED", UserError, r"\(RESOURCE_EXHAUSTED\): its words"),
        ("UNAVAILABLE", UserError, r"no server answers there \(its words\)"),
    ],
)
def test_the_servers_words_are_quoted(code, kind, message):
    with pytest.raises(kind, match=message) as caught:
        embed(lambda _, context: context.abort(grpc.StatusCode[code], "its words"))
    assert type(caught.value) is kind


def test_no_server():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port = one.getsockname()[1]
    client = GrpcClient(f"127.0.0.1:{port}", "people", timeout=SECONDS)
    with contextlib.closing(client), pytest.raises(UserError, match="no server answers there"):
        client.embed([b"x"])


def test_a_silent_server():
    def answer(_, context):
        while context.is_active():
            threading.Event().wait(0.02)
        return PredictResponse()

    with pytest.raises(UserError, match="no answer within 0.2 s"):
        embed(answer, timeout=0.2)


OFFICIAL = """
import sys
from tensorflow_serving.apis import predict_pb2
import numpy as np
import tensorflow as tf
from daaf_tf.clients.predict_protos import PredictRequest, PredictResponse

ours = PredictRequest()
ours.model_spec.name, ours.model_spec.signature_name = "people", "encoded"
ours.model_spec.version.value = 3
ours.output_filter.append("embedding")
tensor = ours.inputs["encoded"]
tensor.dtype = 7
tensor.tensor_shape.dim.add(size=2)
tensor.string_val.extend([b"one", b"two"])

official = predict_pb2.PredictRequest()
official.model_spec.name, official.model_spec.signature_name = "people", "encoded"
official.model_spec.version.value = 3
official.output_filter.append("embedding")
official.inputs["encoded"].CopyFrom(tf.make_tensor_proto([b"one", b"two"]))
assert predict_pb2.PredictRequest.FromString(ours.SerializeToString()) == official

values = np.float32([[1, 2.5], [3, 4]])
response = predict_pb2.PredictResponse()
response.outputs["embedding"].CopyFrom(tf.make_tensor_proto(values))
read = PredictResponse.FromString(response.SerializeToString()).outputs["embedding"]
assert read.dtype == 1 and [dim.size for dim in read.tensor_shape.dim] == [2, 2]
assert read.tensor_content == values.tobytes()
print("equal")
"""


@pytest.mark.skipif(
    not SERVING_PYTHON, reason="DAAF_TF_SERVING_PYTHON does not name a Python with the package"
)
def test_messages_equal_the_official_ones():
    done = subprocess.run(
        [SERVING_PYTHON, "-c", OFFICIAL],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "equal"), done.stderr
