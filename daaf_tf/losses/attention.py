"""Losses of the two attention branches on targets in 0..1, one value per sample.

A sample without annotation has presence 0: it adds nothing to loss or gradient. In Keras presence
arrives as the sample weight of the output. Keras divides by the batch size whatever the weights
are, so a batch with few annotations pulls less; it is not scaled up.
"""

from __future__ import annotations

import tensorflow as tf

from daaf_tf.errors import UserError

MAP_LOSSES = ("mse", "bce", "half_sum_squares")

# Cross-entropy sees probabilities of at least this, what float32 resolves just below 1.
SMALLEST_PROBABILITY = 1e-7


def mask_loss(
    targets: tf.Tensor,
    predictions: tf.Tensor,
    *,
    kind: str = "mse",
    presence: tf.Tensor | None = None,
) -> tf.Tensor:
    """Compute the loss over the pixels of each person mask.

    Args:
      targets: [B, h, w, 1] in 0..1, 1 on the person.
      predictions: [B, h, w, 1] in 0..1, any float dtype; computed in float32.
      kind: "mse", mean squared error; "bce", mean binary cross-entropy, which is finite for
        predictions of exactly 0 and 1 (at most 16.2 a pixel) and has the targets' own entropy as
        its minimum; or "half_sum_squares", half the sum of squared errors, h x w / 2 times "mse".
      presence: [B], 1 where the sample has a mask and 0 where not; None: all have.

    Returns:
      [B] float32.

    Raises:
      UserError: an unknown kind.
    """
    targets, predictions = tf.cast(targets, tf.float32), tf.cast(predictions, tf.float32)
    return _reduce(_pixel_loss(targets, predictions, kind), kind, presence)


def keypoints_loss(
    targets: tf.Tensor,
    predictions: tf.Tensor,
    *,
    kind: str = "mse",
    foreground: float = 0.0,
    presence: tf.Tensor | None = None,
) -> tf.Tensor:
    """Compute the weighted loss over all pixels of the 17 maps of each sample.

    One plain mean over 17 maps equals the paper's sum over six joint groups of group mean times
    5/17, 2/17, 2/17, 4/17, 2/17, 2/17: the weights are the groups' shares of the joints.

    Args:
      targets: [B, h, w, 17] in 0..1.
      predictions: [B, h, w, 17] in 0..1, any float dtype; computed in float32.
      kind: as in `mask_loss`. After a sigmoid the gradient of the squared error is next to nothing
        where a map is close to 0, as all of it is at the start; that of cross-entropy is not.
      foreground: F of the pixel weight 1 + F x target. The mean is over pixels, not over weights,
        so F adds to the loss. With 0 predicting nothing anywhere is already a good answer, since a
        joint covers about one pixel in a hundred.
      presence: [B], 1 where the sample has its maps and 0 where not; None: all have.

    Returns:
      [B] float32.

    Raises:
      UserError: an unknown kind.
    """
    targets, predictions = tf.cast(targets, tf.float32), tf.cast(predictions, tf.float32)
    values = _pixel_loss(targets, predictions, kind)
    return _reduce((1.0 + foreground * targets) * values, kind, presence)


def _pixel_loss(targets: tf.Tensor, predictions: tf.Tensor, kind: str) -> tf.Tensor:
    if kind not in MAP_LOSSES:
        raise UserError(f"map loss {kind!r}: expected one of {', '.join(MAP_LOSSES)}")
    if kind == "bce":
        return -targets * _safe_log(predictions) - (1.0 - targets) * _safe_log(1.0 - predictions)
    return tf.math.squared_difference(predictions, targets)


def _safe_log(probability: tf.Tensor) -> tf.Tensor:
    return tf.math.log(tf.maximum(probability, SMALLEST_PROBABILITY))


def _reduce(values: tf.Tensor, kind: str, presence: tf.Tensor | None) -> tf.Tensor:
    """Return half the sum or the mean of each sample, [B]; 0 where presence is."""
    if kind == "half_sum_squares":
        losses = 0.5 * tf.reduce_sum(values, axis=[1, 2, 3])
    else:
        losses = tf.reduce_mean(values, axis=[1, 2, 3])
    return losses if presence is None else losses * tf.cast(tf.reshape(presence, [-1]), tf.float32)


class MaskLoss(tf.keras.losses.Loss):
    """`mask_loss` for Keras; presence is the sample weight.

    Args:
      kind: one of MAP_LOSSES.
    """

    def __init__(self, kind: str = "mse", name: str = "mask_loss", **kwargs):
        super().__init__(name=name, **kwargs)
        self._kind = kind

    def call(self, y_true, y_pred):
        """Return the loss of each sample, [B]."""
        return mask_loss(y_true, y_pred, kind=self._kind)

    def get_config(self):
        """Return the constructor's arguments."""
        return {**super().get_config(), "kind": self._kind}


class KeypointsLoss(tf.keras.losses.Loss):
    """`keypoints_loss` for Keras; presence is the sample weight.

    Args:
      foreground: F of the pixel weight 1 + F x target.
      kind: one of MAP_LOSSES.
    """

    def __init__(
        self, foreground: float = 0.0, kind: str = "mse", name: str = "keypoints_loss", **kwargs
    ):
        super().__init__(name=name, **kwargs)
        self._foreground, self._kind = foreground, kind

    def call(self, y_true, y_pred):
        """Return the loss of each sample, [B]."""
        return keypoints_loss(y_true, y_pred, kind=self._kind, foreground=self._foreground)

    def get_config(self):
        """Return the constructor's arguments."""
        return {**super().get_config(), "foreground": self._foreground, "kind": self._kind}
