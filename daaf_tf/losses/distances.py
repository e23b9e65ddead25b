"""Distances between embeddings, in float32, with gradients that stay finite.

The squared Euclidean distance is at the bottom of all three metrics: the Euclidean one is its root,
the cosine one is half of it after L2 normalisation, since |a - b|^2 = 2 (1 - cos) for unit vectors.
"""

from __future__ import annotations

import tensorflow as tf

from daaf_tf.errors import UserError

METRICS = ("euclidean", "squared_euclidean", "cosine")


def compute_pairwise_distances(a: tf.Tensor, b: tf.Tensor, *, metric: str) -> tf.Tensor:
    """Compute the distance of every row of `a` to every row of `b`.

    By one matrix product, |a|^2 + |b|^2 - 2ab, which needs no [A, B, D] tensor but cancels where
    rows are close: an error of about 1e-7 of the squared norms is left in the squared distance, so
    equal rows come out up to 1e-3 norms apart. The mean of `b` is subtracted first, which changes
    no distance and keeps the norms, hence the error, as small as the spread of the rows. Where
    close pairs matter use `compute_row_distances`.

    Args:
      a: [A, D], any float dtype; computed in float32.
      b: [B, D].
      metric: "euclidean", "squared_euclidean" or "cosine" (1 - cos, in 0..2).

    Returns:
      [A, B] float32, 0 or more. The gradient is zero where the distance is exactly zero.

    Raises:
      UserError: an unknown metric.
    """
    a, b = _prepare(a, metric), _prepare(b, metric)
    centre = tf.stop_gradient(tf.reduce_mean(b, axis=0))
    a, b = a - centre, b - centre
    squares = tf.reduce_sum(a * a, axis=1)[:, None] + tf.reduce_sum(b * b, axis=1)[None, :]
    return _finish(tf.maximum(squares - 2.0 * tf.matmul(a, b, transpose_b=True), 0.0), metric)


def compute_row_distances(a: tf.Tensor, b: tf.Tensor, *, metric: str) -> tf.Tensor:
    """Compute the distance of each row of `a` to the same row of `b`, without cancellation.

    Args:
      a: [N, D], any float dtype; computed in float32.
      b: [N, D].
      metric: as in `compute_pairwise_distances`. A zero vector has no direction: its cosine
        distance is 0 to another zero vector and 1/2 to anything else.

    Returns:
      [N] float32, 0 or more; exactly 0, with a gradient of exactly zero, for equal rows.

    Raises:
      UserError: an unknown metric.
    """
    difference = _prepare(a, metric) - _prepare(b, metric)
    return _finish(tf.reduce_sum(difference * difference, axis=1), metric)


def _prepare(vectors: tf.Tensor, metric: str) -> tf.Tensor:
    if metric not in METRICS:
        raise UserError(f"metric {metric!r}: expected one of {', '.join(METRICS)}")
    vectors = tf.cast(vectors, tf.float32)
    return tf.math.l2_normalize(vectors, axis=1) if metric == "cosine" else vectors


def _finish(squared: tf.Tensor, metric: str) -> tf.Tensor:
    if metric == "squared_euclidean":
        return squared
    if metric == "cosine":
        return 0.5 * squared
    # The root's slope at 0 is infinite, and infinity times 0 is NaN: keep 0 away from the root
    # instead of masking its gradient afterwards. A NaN must pass, so that divergence shows.
    vanishes = squared == 0.0
    return tf.where(vanishes, 0.0, tf.sqrt(tf.where(vanishes, 1.0, squared)))
