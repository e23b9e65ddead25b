"""The kind of a weights file is told by its content, and what is none is described."""

from __future__ import annotations

import hashlib
import json
import struct

import numpy as np
import pytest
import safetensors.numpy
import tensorflow as tf
from weight_samples import Call, mindspore, pickled, torch_legacy, torch_zip

from daaf_tf.errors import UserError
from daaf_tf.model.weight_files import read_weight_file

TENSORS = {
    "conv1.weight": np.random.default_rng(0).normal(size=(2, 3, 1, 1)).astype(np.float32),
    "bn1.gamma": np.ones(2, np.float32),
}
CONTENTS = {
    "torch": torch_zip(TENSORS),
    "torch before 1.6": torch_legacy(TENSORS),
    "safetensors": safetensors.numpy.save(TENSORS),
    "MindSpore": mindspore(TENSORS),
}


def read(tmp_path, content, name="weights"):
    path = tmp_path / name
    path.write_bytes(content)
    return read_weight_file(path)


@pytest.mark.parametrize("kind", CONTENTS)
def test_kind_is_told_by_content(tmp_path, kind):
    found = read(tmp_path, CONTENTS[kind], "misleading.h5")
    assert found.kind == kind
    assert found.path == tmp_path / "misleading.h5"
    assert found.digest == hashlib.sha256(CONTENTS[kind]).hexdigest()[:16]
    assert found.tensors.keys() == TENSORS.keys()
    for name, array in TENSORS.items():
        np.testing.assert_array_equal(found.tensors[name], array)


def test_keras_files_are_told_by_content(tmp_path):
    model = tf.keras.Sequential([tf.keras.Input((2,)), tf.keras.layers.Dense(1, name="d")])
    model.save_weights(tmp_path / "w.weights.h5")
    found = read(tmp_path, (tmp_path / "w.weights.h5").read_bytes(), "misleading.pth")
    assert (found.kind, found.by_path) == ("Keras HDF5", True)


def test_safetensors_of_every_float_type(tmp_path):
    header = {
        "half": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]},
        "small": {"dtype": "F8_E4M3", "shape": [2], "data_offsets": [4, 6]},
        "count": {"dtype": "I64", "shape": [], "data_offsets": [6, 14]},
    }
    text = json.dumps(header).encode()
    body = np.array([0x3F80, 0xC040], np.uint16).tobytes() + b"ab" + struct.pack("<q", 9)
    found = read(tmp_path, struct.pack("<Q", len(text)) + text + body).tensors
    np.testing.assert_array_equal(found["half"], [1, -3])
    assert found["half"].dtype == np.float32
    assert found["small"] is None
    assert found["count"] == 9


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty; expected weights"),
        (b"\n\n<!DOCTYPE html><html>Not found</html>", "an HTML or XML page"),
        (b"<?xml version='1.0'?>", "an HTML or XML page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n", "pointer of Git LFS"),
        (b"\0" * 99, "99 bytes of zero"),
        (b"\xff\xd8\xff\xe0 a picture", "unknown kind, beginning with"),
        (b"cposix\nsystem\n(S'false'\ntR.", "unknown kind"),
        (pickled(Call("posix.system", ("false",))), "asks for 'posix.system'"),
        (pickled({"a": 1}), "a pickle that torch.save did not write"),
        (torch_zip({"model": Call("os.system", ("false",))}), "asks for 'os.system'"),
        (safetensors.numpy.save({}), "a file of safetensors without tensors"),
        (b"\n text of two\n lines", "truncated MindSpore checkpoint .or another kind"),
        (b"PK\x03\x04 no archive", "zip archive that is truncated or damaged"),
        (b"\x89HDF\r\n\x1a\n no HDF5", "HDF5 file that is truncated or damaged"),
    ],
)
def test_what_holds_no_weights_is_described_in_one_line(tmp_path, content, message):
    with pytest.raises(UserError, match=message) as caught:
        read(tmp_path, content)
    assert str(caught.value).startswith(f"{tmp_path / 'weights'}: ")
    assert len(str(caught.value).splitlines()) == 1


def test_every_truncation_ends_in_a_message(tmp_path):
    content = CONTENTS["safetensors"]
    for size in range(len(content)):
        with pytest.raises(UserError):
            read(tmp_path, content[:size])


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match="nowhere.pth: No such file or directory; expected weights"):
        read_weight_file(tmp_path / "nowhere.pth")


def make_preset(folder, **config):
    model = tf.keras.Sequential([tf.keras.Input((2,)), tf.keras.layers.Dense(1, name="d")])
    model.save_weights(folder / "model.weights.h5")
    config = {"class_name": "ResNetBackbone", "weights": "model.weights.h5", **config}
    (folder / "config.json").write_text(json.dumps(config))


def test_preset_folders(tmp_path):
    make_preset(tmp_path)
    found = read_weight_file(tmp_path)
    assert found.kind == "keras-cv preset"
    assert found.preset_class == "ResNetBackbone"
    assert found.path == tmp_path / "model.weights.h5"
    assert len(found.tensors) == 2


def test_a_presets_weights_lie_in_its_folder(tmp_path):
    make_preset(tmp_path, weights="../../elsewhere/model.weights.h5")
    assert read_weight_file(tmp_path).path == tmp_path / "model.weights.h5"


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (None, "config.json is of no keras-cv preset .*No such file"),
        ("{", "config.json is of no keras-cv preset"),
        ("[]", "config.json is of no keras-cv preset"),
        ("{}", "config.json is of no keras-cv preset"),
        ('{"class_name": "A", "weights": null}', "preset without weights"),
        ('{"class_name": "A", "weights": "other.h5"}', "other.h5 cannot be read"),
    ],
)
def test_other_folders_are_described(tmp_path, config, message):
    if config is not None:
        (tmp_path / "config.json").write_text(config)
    with pytest.raises(UserError, match=message):
        read_weight_file(tmp_path)


@pytest.mark.parametrize("first", [0x80, 0x0A, 0x50])
def test_safetensors_may_begin_with_any_byte(tmp_path, first):
    """The first byte is the low one of the header's length, and also begins other kinds."""
    header = json.dumps({"w": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}).encode()
    header = header.ljust(256 + first)
    content = struct.pack("<Q", len(header)) + header + np.float32(2).tobytes()
    assert content[0] == first
    assert read(tmp_path, content).tensors["w"] == 2
