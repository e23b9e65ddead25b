"""The same weights give the same features in torch and here; torch's own files are read.

torch is no requirement: the environment variable DAAF_TF_TORCH_PYTHON names a Python that has it.
"""

from __future__ import annotations

import os
import pathlib
import subprocess

import numpy as np
import pytest
import tensorflow as tf

from daaf_tf.errors import UserError
from daaf_tf.model.resnet import resnet_features
from daaf_tf.model.weight_files import read_weight_file
from daaf_tf.model.weights import load_weights

TORCH_PYTHON = os.environ.get("DAAF_TF_TORCH_PYTHON")
PROGRAM = pathlib.Path(__file__).with_name("torch_resnet_program.py")
WIDTH = 64
SIZE = (67, 45)  # odd, so that padding on the wrong side would show

pytestmark = pytest.mark.skipif(
    not TORCH_PYTHON, reason="DAAF_TF_TORCH_PYTHON does not name a Python with torch"
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("torch")
    images = np.random.default_rng(0).normal(size=(2, 3, *SIZE)).astype(np.float32)
    np.save(made / "images.npy", images)
    command = [TORCH_PYTHON, str(PROGRAM), str(made), str(WIDTH)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    return made


def build(last_stride):
    image = tf.keras.Input((*SIZE, 3))
    features = resnet_features(image, backbone="resnet50", width=WIDTH, last_stride=last_stride)
    return tf.keras.Model(image, features)


@pytest.mark.parametrize("last_stride", [1, 2])
def test_features_equal_torchs(folder, last_stride):
    model = build(last_stride)
    report = load_weights(model, read_weight_file(folder / "zip.pth"))
    assert (len(report.loaded), len(report.skipped)) == (265, 55)
    images = np.load(folder / "images.npy").transpose(0, 2, 3, 1)
    expected = np.load(folder / f"features_{last_stride}.npy").transpose(0, 2, 3, 1)
    received = model(images, training=False).numpy()
    assert received.shape == expected.shape
    assert np.abs(received - expected).max() < 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize(
    ("name", "prefix"), [("legacy.pth", ""), ("wrapped.pth", "module.")], ids=["legacy", "wrapped"]
)
def test_every_format_holds_the_same(folder, name, prefix):
    expected = read_weight_file(folder / "zip.pth").tensors
    found = read_weight_file(folder / name).tensors
    assert list(found) == [prefix + key for key in expected]
    for key, array in expected.items():
        np.testing.assert_array_equal(found[prefix + key], array)


def test_a_pickled_model_is_refused_by_its_class(folder):
    with pytest.raises(UserError, match="asks for '__main__.ResNet50'"):
        read_weight_file(folder / "pickled_model.pth")
