"""The batch-hard triplet loss (Hermans, Beyer, Leibe: In defense of the triplet loss, 2017, eq. 5).

For every anchor the farthest image of its person and the nearest image of anybody else are taken
from the batch; the loss asks that the first be nearer than the second.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import tensorflow as tf

from daaf_tf.errors import UserError
from daaf_tf.losses.distances import compute_pairwise_distances, compute_row_distances
from daaf_tf.sections.loss import SOFT_MARGIN

# Smallest loss that is more than rounding.
TINY_LOSS = 1e-5


class HardTriplets(NamedTuple):
    """For each of B anchors: candidate indices [B] int64 and whether both exist, [B] bool."""

    positive: tf.Tensor
    negative: tf.Tensor
    exists: tf.Tensor


def mine_batch_hard(
    embeddings: tf.Tensor,
    person_ids: tf.Tensor,
    candidate_embeddings: tf.Tensor,
    candidate_ids: tf.Tensor,
    *,
    metric: str,
) -> HardTriplets:
    """Find each anchor's farthest candidate of its person and nearest candidate of another.

    The anchors must be among the candidates. Which candidate is the anchor itself need not be
    known: its distance of 0 exceeds no other positive's, and whether there is another one is seen
    from the count of candidates with the id, two or more.

    Args:
      embeddings: [B, D] of the anchors.
      person_ids: [B] integer.
      candidate_embeddings: [C, D].
      candidate_ids: [C] integer.
      metric: as in `compute_pairwise_distances`.

    Returns:
      HardTriplets; the indices of an anchor without a triplet are arbitrary but valid.
    """
    distances = compute_pairwise_distances(embeddings, candidate_embeddings, metric=metric)
    same = person_ids[:, None] == candidate_ids[None, :]
    num_same = tf.math.count_nonzero(same, axis=1)
    return HardTriplets(
        positive=tf.argmax(tf.where(same, distances, -1.0), axis=1),
        negative=tf.argmin(tf.where(same, math.inf, distances), axis=1),
        exists=(num_same >= 2) & (num_same < tf.size(candidate_ids, out_type=tf.int64)),
    )


def batch_hard(
    embeddings: tf.Tensor,
    person_ids: tf.Tensor,
    *,
    margin: str | float = SOFT_MARGIN,
    metric: str = "euclidean",
    candidate_embeddings: tf.Tensor | None = None,
    candidate_ids: tf.Tensor | None = None,
) -> tf.Tensor:
    """Compute the batch-hard triplet loss of every anchor.

    The pairs are found from one matrix of distances; the distances of the pairs found are then
    computed anew from differences. So the values are free of cancellation, duplicates have distance
    and gradient zero, and the backward pass touches two pairs an anchor, not the matrix.

    Args:
      embeddings: [B, D] of the anchors, any float dtype; computed in float32.
      person_ids: [B] or [B, 1] integer.
      margin: "soft" for softplus(d_ap - d_an), or a number m for max(0, m + d_ap - d_an).
      metric: "euclidean", "squared_euclidean" or "cosine".
      candidate_embeddings: [C, D] to mine from, the anchors among them; None: the anchors.
      candidate_ids: [C] or [C, 1]; given together with `candidate_embeddings`.

    Returns:
      [B] float32. An anchor without another image of its person, or without an image of another
      person, has no triplet: its loss and gradient are 0.

    Raises:
      UserError: an unknown margin or metric, or candidates without ids.
    """
    if (candidate_embeddings is None) != (candidate_ids is None):
        raise UserError("candidate_embeddings and candidate_ids: expected both or neither")
    if candidate_embeddings is None:
        candidate_embeddings, candidate_ids = embeddings, person_ids
    person_ids = tf.reshape(person_ids, [-1])
    candidate_ids = tf.reshape(candidate_ids, [-1])
    triplets = mine_batch_hard(
        embeddings, person_ids, candidate_embeddings, candidate_ids, metric=metric
    )
    positive, negative = (
        compute_row_distances(embeddings, tf.gather(candidate_embeddings, index), metric=metric)
        for index in (triplets.positive, triplets.negative)
    )
    return tf.where(triplets.exists, _apply_margin(positive - negative, margin), 0.0)


def _apply_margin(violation: tf.Tensor, margin: str | float) -> tf.Tensor:
    if margin == SOFT_MARGIN:
        return tf.math.softplus(violation)
    if isinstance(margin, str):
        raise UserError(f"margin {margin!r}: expected {SOFT_MARGIN!r} or a number")
    return tf.nn.relu(violation + margin)


def active_share(losses: tf.Tensor, *, margin: str | float = SOFT_MARGIN) -> tf.Tensor:
    """Return the share of anchors whose hardest triplet violates the margin, a scalar in 0..1.

    With a number as margin these are the anchors with a loss. The soft margin gives every anchor a
    loss; it counts those whose hardest positive is farther than the hardest negative, which have a
    loss above ln 2.

    Args:
      losses: [B], what `batch_hard` returned.
      margin: what it was given.
    """
    threshold = math.log(2.0) if margin == SOFT_MARGIN else TINY_LOSS
    return tf.reduce_mean(tf.cast(losses > threshold, tf.float32))


def gather_over_replicas(tensor: tf.Tensor) -> tf.Tensor:
    """Concatenate the tensors of all replicas, in replica order; gradients flow back.

    Every replica must call it, equally often and in the same order. Outside of a replica (as when
    a loss is tried out under `strategy.scope()`) the tensor is returned as it is.

    Args:
      tensor: [B, ...] of this replica; float32 or an integer (bfloat16 cannot be gathered).

    Returns:
      [global B, ...].
    """
    context = tf.distribute.get_replica_context()
    if context is None:
        return tensor
    return _with_dense_gradient(context.all_gather(tensor, axis=0))


@tf.custom_gradient
def _with_dense_gradient(tensor: tf.Tensor):
    # The gradient of tf.gather is IndexedSlices, which the gradient of all_gather cannot take.
    return tf.identity(tensor), tf.convert_to_tensor


class BatchHardTriplet(tf.keras.losses.Loss):
    """`batch_hard` for Keras: y_true are person ids [B], y_pred embeddings [B, D].

    Each replica's anchors find their pairs in the global batch, so that N replicas compute what one
    would. Returns one value per anchor; keep the default reduction, the only one that is right for
    any number of replicas.

    Args:
      margin: "soft" or a number.
      metric: "euclidean", "squared_euclidean" or "cosine".
      local_mining: look for pairs inside the replica's own share only; no communication.
    """

    def __init__(
        self,
        margin: str | float = SOFT_MARGIN,
        metric: str = "euclidean",
        local_mining: bool = False,
        name: str = "batch_hard_triplet",
        **kwargs,
    ):
        super().__init__(name=name, **kwargs)
        self._settings = {"margin": margin, "metric": metric, "local_mining": local_mining}

    def call(self, y_true, y_pred):
        """Return the loss of each anchor of this replica, [B]."""
        return _distributed_batch_hard(y_true, y_pred, **self._settings)

    def get_config(self):
        """Return the constructor's arguments."""
        return {**super().get_config(), **self._settings}


def _distributed_batch_hard(person_ids, embeddings, *, margin, metric, local_mining):
    person_ids = tf.reshape(person_ids, [-1])
    embeddings = tf.cast(embeddings, tf.float32)
    return batch_hard(
        embeddings,
        person_ids,
        margin=margin,
        metric=metric,
        candidate_embeddings=None if local_mining else gather_over_replicas(embeddings),
        candidate_ids=None if local_mining else gather_over_replicas(person_ids),
    )


class ActiveTriplets(tf.keras.metrics.Mean):
    """`active_share` of the batch-hard triplets, averaged over batches.

    Args:
      margin: as the loss has it.
      metric: as the loss has it.
      local_mining: as the loss has it.
    """

    def __init__(
        self,
        margin: str | float = SOFT_MARGIN,
        metric: str = "euclidean",
        local_mining: bool = False,
        name: str = "active_triplets",
        **kwargs,
    ):
        super().__init__(name=name, **kwargs)
        self._settings = {"margin": margin, "metric": metric, "local_mining": local_mining}

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Add a batch: y_true person ids [B], y_pred embeddings [B, D]; weights are ignored."""
        losses = _distributed_batch_hard(y_true, y_pred, **self._settings)
        return super().update_state(active_share(losses, margin=self._settings["margin"]))

    def get_config(self):
        """Return the constructor's arguments."""
        return {**super().get_config(), **self._settings}


class EmbeddingNorm(tf.keras.metrics.Mean):
    """Mean L2 norm of the embeddings, averaged over batches."""

    def __init__(self, name: str = "embedding_norm", **kwargs):
        super().__init__(name=name, **kwargs)

    def update_state(self, y_true, y_pred, sample_weight=None):
        """Add a batch: y_pred embeddings [B, D]; y_true and weights are ignored."""
        return super().update_state(tf.norm(tf.cast(y_pred, tf.float32), axis=-1))
