"""The centre loss: how far is an image's feature from the centre of its identity?

Wen et al., A discriminative feature learning approach for deep face recognition, 2016, equation 2,
as Bag of Tricks has it: the mean over the batch of the squared distance, without the factor 1/2.
"""

from __future__ import annotations

import tensorflow as tf


def centre_loss(labels: tf.Tensor, distances: tf.Tensor) -> tf.Tensor:
    """Pick the distance of each sample to the centre of its own identity.

    Args:
      labels: [B] or [B, 1] integer in 0..N-1.
      distances: [B, N], squared distances to the centres, any float dtype.

    Returns:
      [B] float32.
    """
    labels = tf.reshape(labels, [-1])
    return tf.gather(tf.cast(distances, tf.float32), labels, batch_dims=1)


class CentreLoss(tf.keras.losses.Loss):
    """`centre_loss` for Keras: y_true are labels [B], y_pred distances to the centres [B, N]."""

    def __init__(self, name: str = "centre_loss", **kwargs):
        super().__init__(name=name, **kwargs)

    def call(self, y_true, y_pred):
        """Return the loss of each sample, [B]."""
        return centre_loss(y_true, y_pred)
