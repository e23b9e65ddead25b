"""Other runtimes compute the SavedModel's embeddings; those that are no requirement by request.

The environment variables DAAF_TF_ONNX_PYTHON and DAAF_TF_OPENVINO_PYTHON name Pythons that have
tf2onnx and onnxruntime beside TensorFlow, and OpenVINO; docs/export.md says how they are made.
"""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from source_imports import ROOT
from tiny_export import CONFIG, make_jpegs

from daaf_tf.data.preprocess import decode_image, resize_image
from daaf_tf.errors import UserError
from daaf_tf.serving import ExportOptions, load, runtimes
from daaf_tf.serving.export import write_converted

ONNX_PYTHON = os.environ.get("DAAF_TF_ONNX_PYTHON")
OPENVINO_PYTHON = os.environ.get("DAAF_TF_OPENVINO_PYTHON")
SIZES = ((64, 32), (100, 50), (20, 90))

ONNX_PROGRAM = """
import sys
import numpy as np
sys.path.insert(0, sys.argv[1] + "/tests/serving")
from tiny_export import CONFIG, build_network
from daaf_tf.model import embedding_model
from daaf_tf.serving import runtimes
from daaf_tf.serving.export import write_converted

write_converted(embedding_model(build_network()), CONFIG, sys.argv[2], runtimes.ONNX)
import onnxruntime

session = onnxruntime.InferenceSession(sys.argv[2] + "/1/model.onnx")
assert [each.name for each in session.get_inputs()] == ["images"]
with np.load(sys.argv[3]) as images:
    found = {name: session.run(["embedding"], {"images": images[name]})[0] for name in images}
np.savez(sys.argv[4], **found)
"""

OPENVINO_PROGRAM = """
import sys
import numpy as np
import openvino

model = openvino.Core().compile_model(sys.argv[1], "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
with np.load(sys.argv[2]) as images:
    found = {name: model([images[name]])[model.output(0)] for name in images}
np.savez(sys.argv[3], **found)
"""


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Batches of different sizes, as a file."""
    generator = np.random.default_rng(6)
    path = tmp_path_factory.mktemp("images") / "images.npz"
    batches = {
        f"{height}x{width}": generator.integers(0, 256, (2, height, width, 3)).astype(np.uint8)
        for height, width in SIZES
    }
    np.savez(path, **batches)
    return path


def assert_same_embeddings(embedder, images, found):
    with np.load(images) as given, np.load(found) as received:
        assert len(given.files) == len(SIZES)
        for name in given.files:
            expected = embedder.embed(given[name])
            assert np.abs(received[name] - expected).max() < 1e-4 * np.abs(expected).max()


def run(*command):
    done = subprocess.run(
        [str(word) for word in command],
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not ONNX_PYTHON, reason="DAAF_TF_ONNX_PYTHON names no Python with tf2onnx")
def test_onnx_gives_the_saved_models_embeddings(attentive, images, tmp_path):
    found = tmp_path / "found.npz"
    run(ONNX_PYTHON, "-c", ONNX_PROGRAM, ROOT, tmp_path / "onnx", images, found)
    assert_same_embeddings(attentive, images, found)


@pytest.mark.skipif(not OPENVINO_PYTHON, reason="DAAF_TF_OPENVINO_PYTHON names no such Python")
def test_openvino_reads_the_saved_model(attentive, images, tmp_path):
    found = tmp_path / "found.npz"
    run(OPENVINO_PYTHON, "-c", OPENVINO_PROGRAM, attentive.path, images, found)
    assert_same_embeddings(attentive, images, found)


@pytest.fixture(scope="module")
def tflite(plain, tmp_path_factory):
    folder = tmp_path_factory.mktemp("tflite")
    images = [
        resize_image(decode_image(each), 64, 32).numpy() for each in make_jpegs(((64, 32),) * 8)
    ]
    path = write_converted(
        plain,
        CONFIG,
        folder,
        runtimes.TFLITE,
        options=ExportOptions(normalize=True),
        calibration=lambda: images,
    )
    return pathlib.Path(path)


@pytest.mark.parametrize(
    ("name", "tolerance"), [(runtimes.TFLITE_FILE, 1e-4), (runtimes.INT8_FILE, 0.3)]
)
def test_tflite_gives_near_embeddings(tflite, attentive, name, tolerance):
    embed = runtimes.load_runtime(tflite / name)
    for encoded in make_jpegs(((64, 32), (90, 40))):
        expected = attentive.embed(encoded)[0]
        expected /= np.linalg.norm(expected)
        received = embed(decode_image(encoded).numpy())
        assert received.dtype == np.float32
        assert np.linalg.norm(received - expected) < tolerance


def test_int8_is_int8_and_smaller(tflite):
    interpreter = tf.lite.Interpreter(str(tflite / runtimes.INT8_FILE))
    (taken,) = interpreter.get_input_details()
    assert taken["dtype"] == np.uint8
    assert taken["shape_signature"].tolist() == [-1, 64, 32, 3]
    scale, zero = taken["quantization"]
    # A grey level is handed over as it is.
    assert (round(scale, 2), zero) == (1, 0)
    sizes = [(tflite / name).stat().st_size for name in (runtimes.INT8_FILE, runtimes.TFLITE_FILE)]
    assert sizes[0] < 0.5 * sizes[1]


def test_the_card_names_the_input(tflite):
    card = (tflite / "assets.extra" / "model_card.md").read_text(encoding="utf-8")
    assert "| `tflite` | `images` float32 in 0..255, in int8 uint8 [B, 64, 32, 3] |" in card
    with pytest.raises(UserError, match="expected an exported model"):
        load(tflite.parent)


def test_versions_of_another_format_count(tflite, plain):
    path = write_converted(
        plain,
        CONFIG,
        tflite.parent,
        runtimes.TFLITE,
        calibration=lambda: [np.ones((64, 32, 3), np.float32)],
    )
    assert pathlib.Path(path).name == "2"


@pytest.mark.parametrize(
    "options", [ExportOptions(attention=True), ExportOptions(precision="float16")]
)
def test_options_that_do_not_go_with_a_format(plain, tmp_path, options):
    with pytest.raises(UserError, match="--format=onnx takes neither --attention nor --precision"):
        write_converted(plain, CONFIG, tmp_path, runtimes.ONNX, options=options)
    assert not list(tmp_path.iterdir())


def test_a_missing_package_is_named_and_nothing_is_left(plain, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    with pytest.raises(UserError, match="tf2onnx is needed here .*pip install --no-deps tf2onnx"):
        write_converted(plain, CONFIG, tmp_path, runtimes.ONNX)
    assert not list(tmp_path.iterdir())


def test_a_file_of_another_kind(tmp_path):
    with pytest.raises(UserError, match="expected a file that ends in .onnx or .tflite"):
        runtimes.load_runtime(tmp_path / "model.bin")
