"""Synchronised batch norm: the same network, and nothing of it in what is exported."""

import numpy as np
import pytest
import tensorflow as tf

from daaf_tf.config import Config
from daaf_tf.errors import UserError
from daaf_tf.model import build_daaf
from daaf_tf.model.normalization import GlobalBatchNormalization, synchronize_batch_norm

SMALL = Config().replace(
    backbone="resnet18",
    backbone_width=4,
    head_units=8,
    embedding_size=4,
    decoder_channels=2,
    image_height=32,
    image_width=32,
    identity_weight=1.0,
    num_identities=3,
)


@pytest.fixture(scope="module")
def networks():
    plain = build_daaf(SMALL)
    return plain, synchronize_batch_norm(plain)


def batch_norms(model):
    found = (tf.keras.layers.BatchNormalization,)
    return [layer for layer in model.submodules if isinstance(layer, found)]


def test_every_batch_norm_is_synchronized_and_nothing_else_changes(networks):
    plain, synchronized = networks
    names = [layer.name for layer in plain.layers]
    assert [layer.name for layer in synchronized.layers] == names
    assert len(batch_norms(synchronized)) == len(batch_norms(plain)) > 40
    outermost = [layer for layer in batch_norms(synchronized) if layer in synchronized.layers]
    assert {type(layer) for layer in outermost} == {GlobalBatchNormalization}
    assert all(layer.synchronized for layer in batch_norms(synchronized))
    assert not any(layer.synchronized for layer in batch_norms(plain))
    for old, new in zip(plain.weights, synchronized.weights):
        assert (old.name, old.trainable) == (new.name, new.trainable)
        np.testing.assert_array_equal(old, new)


def test_the_setting_builds_it():
    assert all(
        layer.synchronized for layer in batch_norms(build_daaf(SMALL.replace(sync_batch_norm=True)))
    )


def test_one_replica_computes_what_the_plain_network_does(networks):
    images = np.random.default_rng(0).normal(size=(4, 32, 32, 3)).astype(np.float32)
    for training in (False, True):
        plain, synchronized = (network(images, training=training) for network in networks)
        assert plain.keys() == synchronized.keys()
        for name, value in plain.items():
            np.testing.assert_allclose(synchronized[name], value, rtol=1e-4, atol=1e-4)


def test_a_network_inside_a_network_is_not_forgotten():
    inner_input = tf.keras.Input([4])
    inner = tf.keras.Model(inner_input, tf.keras.layers.BatchNormalization()(inner_input))
    image = tf.keras.Input([4])
    found = batch_norms(synchronize_batch_norm(tf.keras.Model(image, inner(image))))
    assert [type(layer) for layer in found] == [GlobalBatchNormalization]


class Hiding(tf.keras.layers.Layer):
    """A layer as libraries have them, with a batch norm of its own."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.norm = tf.keras.layers.BatchNormalization(name="hidden_norm")

    def call(self, inputs):
        return self.norm(inputs)


def test_a_batch_norm_that_cannot_be_reached_is_named():
    image = tf.keras.Input([4])
    with pytest.raises(UserError, match="--sync_batch_norm cannot reach 1 .*hidden_norm"):
        synchronize_batch_norm(tf.keras.Model(image, Hiding()(image)))


def test_a_large_mean_leaves_the_variance_whole():
    values = (1e4 + np.random.default_rng(0).normal(size=(64, 3))).astype(np.float32)
    layer = GlobalBatchNormalization(synchronized=True, epsilon=1e-5)
    found = layer(values, training=True)
    np.testing.assert_allclose(np.std(found, axis=0), 1.0, atol=1e-2)
