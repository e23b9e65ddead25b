"""The centre of every training identity, which the centre loss pulls features towards."""

from __future__ import annotations

import tensorflow as tf

from daaf_tf import schema

layers = tf.keras.layers


def centre_distances(feature, *, num_identities):
    """Compare features with the learned centre of every training identity.

    It exists in training only. The centres have a learning rate of their own, see
    `training.optimizers`.

    Args:
      feature: [B, D] float32, what the triplet loss sees.
      num_identities: N, identities in the training set.

    Returns:
      [B, N] float32 squared Euclidean distances of a layer named `centre_distances`.

    Source: Wen et al., A Discriminative Feature Learning Approach for Deep Face Recognition, 2016.
    """
    return CentreDistances(num_identities, dtype="float32", name=schema.CENTRE_DISTANCES)(feature)


@tf.keras.utils.register_keras_serializable("daaf_tf")
class CentreDistances(layers.Layer):
    """Squared distances [B, N] of features [B, D] to N centres, which are its weights.

    The centres start as noise of standard deviation 1, as in Bag of Tricks.
    """

    def __init__(self, num_identities, **kwargs):
        """Remember the number of identities; other arguments are Keras' own."""
        super().__init__(**kwargs)
        self.num_identities = num_identities

    def build(self, input_shape):
        """Make the centres."""
        self.centres = self.add_weight(
            name="centres",
            shape=(self.num_identities, input_shape[-1]),
            initializer=tf.keras.initializers.RandomNormal(stddev=1.0),
        )
        super().build(input_shape)

    def call(self, inputs):
        """Return the distances; one product instead of a [B, N, D] tensor of differences."""
        squares = tf.reduce_sum(inputs**2, axis=1)[:, None] + tf.reduce_sum(self.centres**2, axis=1)
        return tf.maximum(squares - 2.0 * tf.matmul(inputs, self.centres, transpose_b=True), 0.0)

    def get_config(self):
        """Return what makes an equal layer."""
        return {**super().get_config(), "num_identities": self.num_identities}
