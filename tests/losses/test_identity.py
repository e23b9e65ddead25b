"""The id loss: plain numpy, and Keras' own cross-entropy."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from daaf_tf.losses import IdentityLoss, identity_loss


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_equals_numpy_and_keras(smoothing):
    random = np.random.default_rng(1)
    logits = (random.normal(size=(6, 5)) * 4).astype(np.float32)
    labels = random.integers(0, 5, size=6)
    log_probabilities = logits - np.log(np.exp(logits.astype(np.float64)).sum(1, keepdims=True))
    targets = np.eye(5)[labels] * (1 - smoothing) + smoothing / 5
    losses = identity_loss(tf.constant(labels), logits, smoothing=smoothing)
    np.testing.assert_allclose(losses, -(targets * log_probabilities).sum(axis=1), rtol=1e-5)
    theirs = tf.keras.losses.categorical_crossentropy(
        np.eye(5)[labels].astype(np.float32), logits, from_logits=True, label_smoothing=smoothing
    )
    np.testing.assert_allclose(losses, theirs, rtol=1e-5)


def test_huge_logits_stay_finite():
    logits = tf.constant([[1e4, -1e4, 0.0]])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        losses = identity_loss(tf.constant([1]), logits, smoothing=0.1)
    assert np.all(np.isfinite(losses))
    assert np.all(np.isfinite(tape.gradient(losses, logits)))


def test_the_class_takes_columns_of_labels_and_small_float_types():
    logits = tf.constant(np.random.default_rng(2).normal(size=(4, 3)), tf.bfloat16)
    labels = tf.constant([0, 2, 1, 1])
    loss = IdentityLoss(smoothing=0.1)
    expected = identity_loss(labels, tf.cast(logits, tf.float32), smoothing=0.1)
    np.testing.assert_array_equal(loss.call(labels[:, None], logits), expected)
    np.testing.assert_allclose(loss(labels, logits), tf.reduce_mean(expected), rtol=1e-6)
    assert IdentityLoss.from_config(loss.get_config()).get_config()["smoothing"] == 0.1
