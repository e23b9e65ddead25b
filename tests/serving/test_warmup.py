"""Warm-up requests are answered by the model they lie beside; a damaged file is refused."""

from __future__ import annotations

import os
import subprocess

import numpy as np
import pytest
import tensorflow as tf

from daaf_tf.errors import UserError
from daaf_tf.serving.warmup import WARMUP_FILE, make_request_log, replay_warmup

SERVING_PYTHON = os.environ.get("DAAF_TF_SERVING_PYTHON")

# Reads the requests with TensorFlow Serving's own protos.
READER = """
import sys
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

for record in tf.data.TFRecordDataset(sys.argv[1]):
    log = prediction_log_pb2.PredictionLog.FromString(record.numpy())
    assert log.WhichOneof("log_type") == "predict_log"
    request = log.predict_log.request
    shapes = {name: tf.make_ndarray(tensor) for name, tensor in request.inputs.items()}
    shown = ",".join(f"{name}:{list(value.shape)}" for name, value in shapes.items())
    print(request.model_spec.signature_name, shown)
    assert not request.SerializeToString() == b""
    assert log.SerializeToString(deterministic=True) == record.numpy()
"""


def test_every_signature_answers_its_requests(attentive):
    names = ("serving_default", "encoded", "attention", "attention_encoded")
    assert replay_warmup(attentive.path, attentive.signatures) == dict.fromkeys(names, 2)


def test_the_file_is_where_the_server_looks_for_it(attentive):
    assert (attentive.path / "assets.extra" / "tf_serving_warmup_requests").is_file()


def test_requests_are_of_the_networks_size_and_of_batches(attentive):
    taken = []
    recorders = {
        name: lambda name=name, **inputs: taken.append((name, inputs))
        for name in attentive.signatures
    }
    replay_warmup(attentive.path, recorders)
    pixels = [inputs["images"] for name, inputs in taken if name == "serving_default"]
    assert [image.shape.as_list() for image in pixels] == [[1, 64, 32, 3], [8, 64, 32, 3]]
    assert {image.dtype for image in pixels} == {tf.uint8}
    encoded = [inputs["encoded"] for name, inputs in taken if name == "encoded"]
    assert [(each.dtype, each.shape.as_list()) for each in encoded] == [
        (tf.string, [1]),
        (tf.string, [8]),
    ]
    assert tf.io.decode_jpeg(encoded[0][0]).shape == (64, 32, 3)


def test_a_request_that_fails_is_told_by_its_number(attentive, tmp_path):
    path = tmp_path / WARMUP_FILE
    path.parent.mkdir()
    good = np.zeros((1, 9, 9, 3), np.uint8)
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(make_request_log("serving_default", {"images": good}))
        writer.write(make_request_log("encoded", {"encoded": np.array([b"no"], object)}))
    with pytest.raises(UserError, match="request 1 fails .*Unknown image file format"):
        replay_warmup(tmp_path, attentive.signatures)


@pytest.mark.parametrize(
    "content",
    [
        make_request_log("nowhere", {"images": np.zeros((1, 9, 9, 3), np.uint8)}),
        make_request_log("encoded", {"images": np.zeros((1, 9, 9, 3), np.uint8)}),
        make_request_log("serving_default", {"images": np.zeros((1, 9, 9, 3), np.float32)}),
        b"\xff\xff",
        b"",
    ],
    ids=["signature", "input", "dtype", "no proto", "empty"],
)
def test_a_request_that_the_model_does_not_take(attentive, tmp_path, content):
    path = tmp_path / WARMUP_FILE
    path.parent.mkdir()
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(content)
    with pytest.raises(UserError, match="expected warm-up requests that the model answers"):
        replay_warmup(tmp_path, attentive.signatures)


def test_a_missing_or_damaged_file(attentive, tmp_path):
    with pytest.raises(UserError, match="tf_serving_warmup_requests: expected warm-up requests"):
        replay_warmup(tmp_path, attentive.signatures)
    content = bytearray((attentive.path / WARMUP_FILE).read_bytes())
    content[100] ^= 1
    path = tmp_path / WARMUP_FILE
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(UserError, match="request 0 fails .*corrupted record"):
        replay_warmup(tmp_path, attentive.signatures)


@pytest.mark.skipif(
    not SERVING_PYTHON, reason="DAAF_TF_SERVING_PYTHON names no Python with tensorflow-serving-api"
)
def test_tensorflow_servings_own_protos_read_the_same(attentive):
    done = subprocess.run(
        [SERVING_PYTHON, "-c", READER, str(attentive.path / WARMUP_FILE)],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "serving_default images:[1, 64, 32, 3]",
        "serving_default images:[8, 64, 32, 3]",
        "encoded encoded:[1]",
        "encoded encoded:[8]",
        "attention images:[1, 64, 32, 3]",
        "attention images:[8, 64, 32, 3]",
        "attention_encoded encoded:[1]",
        "attention_encoded encoded:[8]",
    ]
