"""Semi-hard and lifted-structure loss of tensorflow-addons, to compare batch-hard with.

They give one scalar for a batch, and mine in what they are given. Here they are given the global
batch on every replica, and each anchor gets the scalar as its loss: Keras' mean over the global
batch is the scalar again, so N replicas compute what one would.

Sources: Schroff et al., FaceNet, CVPR 2015; Song et al., Deep metric learning via lifted structured
feature embedding, CVPR 2016.
"""

from __future__ import annotations

import tensorflow as tf

from daaf_tf.addons import load_addons
from daaf_tf.losses.triplet import BatchHardTriplet, gather_over_replicas
from daaf_tf.sections.loss import BATCH_HARD, LIFTED, SEMI_HARD, LossConfig

# Their names of our metrics.
_DISTANCES = {"euclidean": "L2", "squared_euclidean": "squared-L2", "cosine": "angular"}


def build_metric_loss(config: LossConfig) -> tf.keras.losses.Loss:
    """Build the loss on the embeddings that the settings name.

    Raises:
      UserError: a loss of tensorflow-addons where that does not exist.
    """
    settings = {
        "margin": config.parsed_margin(),
        "metric": config.metric,
        "local_mining": config.local_mining,
    }
    if config.metric_loss == BATCH_HARD:
        return BatchHardTriplet(**settings)
    return AddonsLoss(config.metric_loss, **settings)


def compute_addons_loss(
    embeddings: tf.Tensor,
    person_ids: tf.Tensor,
    *,
    kind: str,
    margin: float,
    metric: str = "euclidean",
) -> tf.Tensor:
    """Compute the semi-hard or the lifted-structure loss of a batch.

    Args:
      embeddings: [B, D], any float dtype; computed in float32. They are taken as they are; the
        sources normalise them for the semi-hard loss.
      person_ids: [B] or [B, 1] integer.
      kind: "semi_hard" or "lifted".
      margin: a number; "soft" does not exist here.
      metric: as in `compute_pairwise_distances`; "lifted" is always Euclidean.

    Returns:
      A float32 scalar, the mean over all pairs of images of one person. 0 with gradient 0 in a
      batch without two images of a person or without two persons (theirs is NaN there).

    Raises:
      UserError: no tensorflow-addons.
    """
    losses = load_addons(f"--metric_loss={kind}", instead=f"--metric_loss={BATCH_HARD}").losses
    person_ids = tf.reshape(person_ids, [-1])
    embeddings = tf.cast(embeddings, tf.float32)
    same = person_ids[:, None] == person_ids[None, :]
    exists = tf.math.count_nonzero(same) > tf.size(person_ids, out_type=tf.int64)
    exists &= tf.reduce_any(~same)

    def compute():
        if kind == LIFTED:
            return losses.lifted_struct_loss(person_ids, embeddings, float(margin))
        return losses.triplet_semihard_loss(
            person_ids, embeddings, float(margin), _DISTANCES[metric]
        )

    # Not tf.where: the gradient of the branch that is not taken would be NaN times 0.
    return tf.cond(exists, compute, lambda: 0.0 * tf.reduce_sum(embeddings))


class AddonsLoss(tf.keras.losses.Loss):
    """`compute_addons_loss` for Keras: y_true are person ids [B], y_pred embeddings [B, D].

    Keep the default reduction, the only one that is right for any number of replicas.

    Args:
      kind: "semi_hard" or "lifted".
      margin: a number.
      metric: as in `compute_addons_loss`.
      local_mining: look for pairs inside the replica's own share only; no communication.
    """

    def __init__(
        self,
        kind: str = SEMI_HARD,
        margin: float = 1.0,
        metric: str = "euclidean",
        local_mining: bool = False,
        name: str = "addons_loss",
        **kwargs,
    ):
        super().__init__(name=name, **kwargs)
        self._settings = {"kind": kind, "margin": margin, "metric": metric}
        self._local_mining = local_mining

    def call(self, y_true, y_pred):
        """Return the batch's loss once for each anchor of this replica, [B]."""
        person_ids = tf.reshape(y_true, [-1])
        embeddings = tf.cast(y_pred, tf.float32)
        shape = tf.shape(person_ids)
        if not self._local_mining:
            embeddings = gather_over_replicas(embeddings)
            person_ids = gather_over_replicas(person_ids)
        return tf.fill(shape, compute_addons_loss(embeddings, person_ids, **self._settings))

    def get_config(self):
        """Return the constructor's arguments."""
        return {**super().get_config(), **self._settings, "local_mining": self._local_mining}
