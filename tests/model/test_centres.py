"""Distances to the centres against numpy."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from daaf_tf.model.centres import centre_distances


def build(num_identities=5, size=6):
    tf.keras.utils.set_random_seed(0)
    feature = tf.keras.Input((size,))
    return tf.keras.Model(feature, centre_distances(feature, num_identities=num_identities))


def test_equals_numpy():
    model = build()
    features = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)
    (centres,) = model.get_weights()
    expected = ((features[:, None] - centres[None]) ** 2).sum(axis=2)
    np.testing.assert_allclose(model(features), expected, rtol=1e-5)


def test_centres_start_as_noise_of_deviation_one():
    (centres,) = build(num_identities=100, size=50).get_weights()
    assert abs(centres.mean()) < 0.05
    assert abs(centres.std() - 1) < 0.05


def test_a_feature_on_its_centre_has_distance_zero_and_finite_gradients():
    model = build()
    features = tf.Variable(model.get_weights()[0])
    with tf.GradientTape() as tape:
        distances = model(features)
    own = np.diag(distances.numpy())
    assert np.all(own >= 0)
    np.testing.assert_allclose(own, 0, atol=1e-5)
    assert np.isfinite(tape.gradient(distances, features)).all()


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_float32_under_mixed_precision(policy):
    tf.keras.mixed_precision.set_global_policy(policy)
    try:
        model = build()
    finally:
        tf.keras.mixed_precision.set_global_policy("float32")
    assert model.output.dtype == tf.float32
    assert model.get_layer("centre_distances").compute_dtype == "float32"


def test_rebuilt_from_its_own_config():
    model = build()
    copy = tf.keras.Model.from_config(model.get_config())
    copy.set_weights(model.get_weights())
    features = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)
    np.testing.assert_array_equal(copy(features), model(features))
