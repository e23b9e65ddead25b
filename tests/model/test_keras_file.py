"""Keras' HDF5 files are read in both layouts, whole, and never beyond the file itself."""

from __future__ import annotations

import io

import h5py
import numpy as np
import pytest
import tensorflow as tf

from daaf_tf.errors import UserError
from daaf_tf.model.keras_file import read_keras

layers = tf.keras.layers


@pytest.fixture(scope="module")
def model():
    tf.keras.utils.set_random_seed(0)
    return tf.keras.Sequential(
        [
            tf.keras.Input((8, 8, 2)),
            layers.Conv2D(3, 3, use_bias=False, name="first"),
            layers.BatchNormalization(name="norm"),
            layers.Conv2D(2, 1, name="second"),
        ]
    )


def written(model, path, save="save_weights"):
    getattr(model, save)(path)
    return path.read_bytes()


def h5(fill):
    """Return the bytes of a file that `fill(file)` has filled."""
    file = io.BytesIO()
    with h5py.File(file, "w") as opened:
        fill(opened)
    return file.getvalue()


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
@pytest.mark.parametrize("save", ["save_weights", "save"])
def test_by_name(model, tmp_path, save):
    found = read_keras(written(model, tmp_path / "w.h5", save))
    assert not found.by_path
    assert sorted(found.layer_names) == ["first", "norm", "second"]
    expected = {variable.name[:-2]: variable.numpy() for variable in model.weights}
    assert found.tensors.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(found.tensors[name], array)


def test_what_an_optimizer_keeps_is_left_out(model, tmp_path):
    model.compile(tf.keras.optimizers.Adam(), "mse")
    model.optimizer.build(model.trainable_variables)
    for name in ("w.weights.h5", "w.h5"):
        found = read_keras(written(model, tmp_path / name))
        assert len(found.tensors) == len(model.weights)


def test_by_path(model, tmp_path):
    found = read_keras(written(model, tmp_path / "w.weights.h5"))
    assert found.by_path
    assert found.layer_names == ()
    np.testing.assert_array_equal(
        found.tensors["layers/conv2d_1/vars/0"], model.get_layer("second").kernel
    )
    assert len(found.tensors) == len(model.weights)


def test_by_path_with_the_names_that_newer_keras_notes():
    def fill(file):
        group = file.create_group("layers/conv2d/vars")
        group.attrs["name"] = "conv1_conv"
        group["0"] = np.ones((1, 1, 2, 2), np.float16)

    found = read_keras(h5(fill))
    assert found.layer_names == ("conv1_conv",)
    assert found.tensors["layers/conv2d/vars/0"].dtype == np.float32


def test_what_is_no_number_has_none():
    def fill(file):
        file["a/text"] = "hello"
        file["a/kernel"] = np.ones(2, np.float32)

    assert read_keras(h5(fill)).tensors["text"] is None


def fill_soft(file):
    file["a/kernel"] = np.ones(2)
    file["b"] = h5py.SoftLink("/a")


def fill_external_link(file):
    file["a"] = h5py.ExternalLink("elsewhere.h5", "/a")


def fill_external_data(file):
    file.create_dataset("a/k", (4,), "u1", external=[("elsewhere.bin", 0, 4)])


def fill_virtual(file):
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource("elsewhere.h5", "a", (4,))
    file.create_virtual_dataset("a/k", layout)


def fill_bomb(file):
    file.create_dataset("a/k", (1 << 20,), "f4", compression="gzip", chunks=(1 << 16,))


def fill_circle(file):
    group = file.create_group("a")
    group["b"] = group


@pytest.mark.parametrize(
    ("fill", "message"),
    [
        (fill_soft, "lies elsewhere"),
        (fill_external_link, "lies elsewhere"),
        (fill_external_data, "lies elsewhere"),
        (fill_virtual, "lies elsewhere"),
        (fill_bomb, "larger than the file"),
        (fill_circle, "circle"),
    ],
)
def test_what_points_out_of_the_file_is_refused(fill, message):
    with pytest.raises(UserError, match=message):
        read_keras(h5(fill))


def test_every_truncation_ends_in_a_message(model, tmp_path):
    content = written(model, tmp_path / "w.h5")
    for size in range(0, len(content), 31):
        with pytest.raises(UserError, match="truncated or damaged"):
            read_keras(content[:size])
