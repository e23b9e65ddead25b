"""tools/convert_weights.py as a user runs it."""

import pathlib
import subprocess
import sys

import numpy as np
import pytest
import safetensors.numpy
import tensorflow as tf

from daaf_tf.model.resnet import resnet_features
from daaf_tf.model.weight_files import read_weight_file
from daaf_tf.model.weights import load_weights, read_arrays, write_weights

ROOT = pathlib.Path(__file__).resolve().parents[2]


def convert(source, output, *flags, code=0):
    command = [sys.executable, "tools/convert_weights.py", f"--input={source}"]
    command += [f"--output={output}", "--backbone=resnet18", "--backbone_width=4", *flags]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=240
    )
    printed = done.stdout + done.stderr
    assert done.returncode == code, printed
    assert "Traceback" not in printed
    return printed


@pytest.fixture(scope="module")
def backbone():
    image = tf.keras.Input((32, 32, 3))
    return tf.keras.Model(image, resnet_features(image, backbone="resnet18", width=4))


def test_whatever_is_read_is_written_in_one_layout(tmp_path, backbone):
    ours = tmp_path / "ours.safetensors"
    write_weights(backbone, ours, "resnet18 of width 4")
    expected = read_arrays(backbone)
    printed = convert(ours, tmp_path / "w.h5")
    assert "ours.safetensors (safetensors; resnet18 of width 4): 100 tensors loaded" in printed
    assert f"written to {tmp_path / 'w.h5'}" in printed
    backbone.set_weights([np.zeros(weight.shape) for weight in backbone.weights])
    load_weights(backbone, read_weight_file(tmp_path / "w.h5"))
    for name, array in read_arrays(backbone).items():
        np.testing.assert_array_equal(array, expected[name])


def test_a_wrong_file_leaves_what_was_there(tmp_path):
    wrong, output = tmp_path / "wrong.pth", tmp_path / "w.safetensors"
    safetensors.numpy.save_file({"features.0.weight": np.ones((2, 3, 3, 3))}, wrong)
    output.write_bytes(b"before")
    printed = convert(wrong, output, code=1)
    assert "holds no ResNet of torchvision's layout" in printed
    assert output.read_bytes() == b"before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["w.safetensors", "wrong.pth"]
