"""Mask and keypoint losses: plain numpy, the paper's group weights, presence, extremes."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from daaf_tf import schema
from daaf_tf.errors import UserError
from daaf_tf.losses import KeypointsLoss, MaskLoss, keypoints_loss, mask_loss


def random_maps(seed: int, channels: int, samples: int = 3) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    shape = (samples, 5, 4, channels)
    targets, predictions = random.uniform(size=shape), random.uniform(0.05, 0.95, size=shape)
    return targets.astype(np.float32), predictions.astype(np.float32)


@pytest.mark.parametrize("kind", ["mse", "bce"])
def test_mask_loss_equals_numpy(kind):
    targets, predictions = random_maps(1, channels=1)
    t, p = targets.astype(np.float64), predictions.astype(np.float64)
    values = (p - t) ** 2 if kind == "mse" else -(t * np.log(p) + (1 - t) * np.log(1 - p))
    losses = mask_loss(targets, predictions, kind=kind)
    np.testing.assert_allclose(losses, values.mean(axis=(1, 2, 3)), rtol=1e-5)


@pytest.mark.parametrize("kind", ["mse", "bce"])
@pytest.mark.parametrize("foreground", [0.0, 50.0])
def test_keypoints_loss_equals_numpy(foreground, kind):
    targets, predictions = random_maps(2, channels=17)
    t, p = targets.astype(np.float64), predictions.astype(np.float64)
    values = (p - t) ** 2 if kind == "mse" else -(t * np.log(p) + (1 - t) * np.log(1 - p))
    expected = ((1 + foreground * t) * values).mean(axis=(1, 2, 3))
    losses = keypoints_loss(targets, predictions, foreground=foreground, kind=kind)
    np.testing.assert_allclose(losses, expected, rtol=1e-5)


def test_the_plain_mean_equals_the_weighted_sum_over_joint_groups():
    targets, predictions = random_maps(3, channels=schema.NUM_JOINTS)
    squares = (targets - predictions) ** 2
    weights = {"head": 5, "shoulders": 2, "elbows": 2, "wrists_hips": 4, "knees": 2, "ankles": 2}
    expected = sum(
        weights[name] / 17 * squares[..., list(joints)].mean(axis=(1, 2, 3))
        for name, joints in schema.JOINT_GROUPS
    )
    np.testing.assert_allclose(keypoints_loss(targets, predictions), expected, rtol=1e-5)


def test_cross_entropy_is_finite_and_points_the_right_way_at_the_extremes():
    targets = tf.reshape(tf.constant([0.0, 0.0, 1.0, 1.0]), [4, 1, 1, 1])
    predictions = tf.reshape(tf.constant([0.0, 1.0, 0.0, 1.0]), [4, 1, 1, 1])
    with tf.GradientTape() as tape:
        tape.watch(predictions)
        losses = mask_loss(targets, predictions, kind="bce")
    np.testing.assert_allclose(losses, [0.0, 16.118, 16.118, 0.0], atol=1e-3)
    assert np.all(np.isfinite(tape.gradient(losses, predictions)))


def test_cross_entropy_through_a_sigmoid_has_the_textbook_gradient():
    logits = tf.reshape(tf.constant([-15.0, -3.0, 0.0, 2.0, 14.0]), [5, 1, 1, 1])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        losses = mask_loss(tf.ones_like(logits), tf.sigmoid(logits), kind="bce")
    expected = tf.sigmoid(logits) - 1.0
    np.testing.assert_allclose(tape.gradient(losses, logits), expected, rtol=1e-4, atol=1e-6)


LOSSES = {
    "mse": (1, lambda t, p, **presence: mask_loss(t, p, kind="mse", **presence), MaskLoss("mse")),
    "bce": (1, lambda t, p, **presence: mask_loss(t, p, kind="bce", **presence), MaskLoss("bce")),
    "keypoints": (
        17,
        lambda t, p, **presence: keypoints_loss(t, p, foreground=50.0, **presence),
        KeypointsLoss(50.0),
    ),
    "keypoints by cross-entropy": (
        17,
        lambda t, p, **presence: keypoints_loss(t, p, kind="bce", **presence),
        KeypointsLoss(kind="bce"),
    ),
    "half_sum_squares": (
        17,
        lambda t, p, **presence: keypoints_loss(t, p, kind="half_sum_squares", **presence),
        KeypointsLoss(kind="half_sum_squares"),
    ),
}


@pytest.mark.parametrize("name", LOSSES)
def test_a_sample_without_annotation_adds_nothing(name):
    channels, function, keras_loss = LOSSES[name]
    targets, predictions = random_maps(4, channels)
    predictions = tf.constant(predictions)
    presence = tf.constant([1.0, 0.0, 1.0])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(predictions)
        losses = function(targets, predictions, presence=presence)
        reduced = keras_loss(targets, predictions, sample_weight=presence)
    whole = function(targets, predictions).numpy()
    np.testing.assert_allclose(losses, whole * presence, rtol=1e-6)
    np.testing.assert_allclose(reduced, (whole[0] + whole[2]) / 3, rtol=1e-6)
    for value in (losses, reduced):
        gradient = tape.gradient(value, predictions).numpy()
        assert np.all(gradient[1] == 0.0)
        assert np.all(np.abs(gradient[[0, 2]]).max(axis=(1, 2, 3)) > 0.0)


@pytest.mark.parametrize("name", LOSSES)
def test_small_float_types_are_computed_in_float32(name):
    channels, function, keras_loss = LOSSES[name]
    targets, predictions = (tf.cast(maps, tf.bfloat16) for maps in random_maps(5, channels))
    expected = function(tf.cast(targets, tf.float32), tf.cast(predictions, tf.float32))
    for losses in (function(targets, predictions), keras_loss.call(targets, predictions)):
        assert losses.dtype == tf.float32
        np.testing.assert_array_equal(losses, expected)


@pytest.mark.parametrize("function", [mask_loss, keypoints_loss])
def test_half_the_sum_of_squares_is_that_of_each_sample(function):
    targets, predictions = random_maps(6, channels=3)
    t, p = targets.astype(np.float64), predictions.astype(np.float64)
    expected = 0.5 * ((p - t) ** 2).sum(axis=(1, 2, 3))
    losses = function(targets, predictions, kind="half_sum_squares")
    np.testing.assert_allclose(losses, expected, rtol=1e-5)


def test_an_unknown_kind_is_named():
    for loss in (mask_loss, keypoints_loss):
        with pytest.raises(UserError, match="'dice': expected one of mse, bce, half_sum_squares"):
            loss(tf.ones([1, 1, 1, 1]), tf.ones([1, 1, 1, 1]), kind="dice")


def test_classes_keep_their_settings_through_a_config():
    assert MaskLoss.from_config(MaskLoss("bce").get_config()).get_config()["kind"] == "bce"
    copied = KeypointsLoss.from_config(KeypointsLoss(50.0, "bce").get_config()).get_config()
    assert (copied["foreground"], copied["kind"]) == (50.0, "bce")
