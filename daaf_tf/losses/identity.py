"""The id loss: which of the training identities is this?"""

from __future__ import annotations

import tensorflow as tf


def identity_loss(labels: tf.Tensor, logits: tf.Tensor, *, smoothing: float = 0.0) -> tf.Tensor:
    """Compute the cross-entropy with label smoothing of each sample.

    The target is 1 - smoothing on the label plus smoothing / N on each of the N identities
    (Szegedy et al., Rethinking the inception architecture, 2016, section 7).

    Args:
      labels: [B] or [B, 1] integer in 0..N-1.
      logits: [B, N], any float dtype; computed in float32.
      smoothing: in 0..1.

    Returns:
      [B] float32.
    """
    labels = tf.reshape(labels, [-1])
    log_probabilities = tf.nn.log_softmax(tf.cast(logits, tf.float32))
    on_label = tf.gather(log_probabilities, labels, batch_dims=1)
    on_average = tf.reduce_mean(log_probabilities, axis=1)
    return -(1.0 - smoothing) * on_label - smoothing * on_average


class IdentityLoss(tf.keras.losses.Loss):
    """`identity_loss` for Keras: y_true are labels [B], y_pred logits [B, N].

    Args:
      smoothing: in 0..1.
    """

    def __init__(self, smoothing: float = 0.0, name: str = "identity_loss", **kwargs):
        super().__init__(name=name, **kwargs)
        self._smoothing = smoothing

    def call(self, y_true, y_pred):
        """Return the loss of each sample, [B]."""
        return identity_loss(y_true, y_pred, smoothing=self._smoothing)

    def get_config(self):
        """Return the constructor's arguments."""
        return {**super().get_config(), "smoothing": self._smoothing}
