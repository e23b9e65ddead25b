"""The heads and the identity logits against numpy."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from daaf_tf.model.heads import bnneck_head, identity_head, trinet_head


@pytest.fixture
def bfloat16_policy():
    tf.keras.mixed_precision.set_global_policy("mixed_bfloat16")
    yield
    tf.keras.mixed_precision.set_global_policy("float32")


def build_head(channels=12, hidden_units=10, embedding_size=4):
    tf.keras.utils.set_random_seed(0)
    features = tf.keras.Input((3, 2, channels))
    embedding = trinet_head(features, hidden_units=hidden_units, embedding_size=embedding_size)
    return tf.keras.Model(features, embedding)


def build_logits(embedding_size=6, num_identities=5, norm=True):
    tf.keras.utils.set_random_seed(0)
    embedding = tf.keras.Input((embedding_size,))
    logits = identity_head(embedding, num_identities=num_identities, norm=norm)
    return tf.keras.Model(embedding, logits)


def build_bnneck(channels=12):
    features = tf.keras.Input((3, 2, channels))
    return tf.keras.Model(features, bnneck_head(features))


def randomize_moving_statistics(layer):
    rng = np.random.default_rng(1)
    layer.moving_mean.assign(rng.normal(size=layer.moving_mean.shape))
    layer.moving_variance.assign(rng.uniform(0.5, 1.5, layer.moving_variance.shape))


def test_head_equals_numpy():
    model = build_head()
    norm = model.get_layer("head_bn")
    randomize_moving_statistics(norm)
    features = np.random.default_rng(0).normal(size=(5, 3, 2, 12)).astype(np.float32)
    x = features.mean(axis=(1, 2)) @ model.get_layer("head_fc").kernel.numpy()
    gamma, beta, mean, variance = norm.get_weights()
    x = np.maximum((x - mean) / np.sqrt(variance + 1e-5) * gamma + beta, 0)
    kernel, bias = model.get_layer("embedding").get_weights()
    np.testing.assert_allclose(model(features).numpy(), x @ kernel + bias, atol=1e-5)


def test_embedding_kernel_starts_orthogonal():
    kernel = build_head().get_layer("embedding").kernel.numpy()
    np.testing.assert_allclose(kernel.T @ kernel, np.eye(4), atol=1e-5)


def test_batch_norm_is_torchs():
    model = build_head()
    assert model.get_layer("head_bn").momentum == 0.9
    assert model.get_layer("head_bn").epsilon == 1e-5


def test_logits_equal_numpy():
    model = build_logits()
    norm = model.get_layer("logits_bn")
    randomize_moving_statistics(norm)
    embeddings = np.random.default_rng(0).normal(size=(3, 6)).astype(np.float32)
    gamma, mean, variance = norm.get_weights()
    (kernel,) = model.get_layer("logits").get_weights()
    expected = ((embeddings - mean) / np.sqrt(variance + 1e-5) * gamma) @ kernel
    np.testing.assert_allclose(model(embeddings).numpy(), expected, atol=1e-6)


def test_bnneck_equals_numpy():
    model = build_bnneck()
    norm = model.get_layer("embedding")
    randomize_moving_statistics(norm)
    features = np.random.default_rng(0).normal(size=(5, 3, 2, 12)).astype(np.float32)
    gamma, mean, variance = norm.get_weights()  # no offset is learned
    feature, embedding = model(features)
    np.testing.assert_allclose(feature, features.mean(axis=(1, 2)), atol=1e-6)
    expected = (features.mean(axis=(1, 2)) - mean) / np.sqrt(variance + 1e-5) * gamma
    np.testing.assert_allclose(embedding, expected, atol=1e-5)
    assert (norm.momentum, norm.epsilon) == (0.9, 1e-5)


def test_logits_without_a_norm_are_one_product():
    model = build_logits(norm=False)
    embeddings = np.random.default_rng(0).normal(size=(3, 6)).astype(np.float32)
    (kernel,) = model.get_weights()
    np.testing.assert_allclose(model(embeddings), embeddings @ kernel, atol=1e-6)


def test_logits_start_near_zero():
    embeddings = 10 * np.random.default_rng(0).normal(size=(32, 6)).astype(np.float32)
    logits = build_logits()(embeddings, training=True).numpy()
    assert 0 < np.abs(logits).max() < 0.02


@pytest.mark.usefixtures("bfloat16_policy")
def test_heads_compute_in_float32_under_mixed_precision():
    for model in (build_head(), build_logits(), build_bnneck()):
        assert {output.dtype for output in tf.nest.flatten(model.output)} == {tf.float32}
        assert all(
            layer.compute_dtype == "float32"
            for layer in model.layers
            if not isinstance(layer, tf.keras.layers.InputLayer)
        )
