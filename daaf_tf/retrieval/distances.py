"""Distances between the features of two sets of images."""

from __future__ import annotations

import numpy as np

from daaf_tf.errors import UserError
from daaf_tf.retrieval.blocks import make_blocks

METRICS = ("euclidean", "cosine")

# Rows nearer to each other than a millionth of their norm count as equal.
_NOISE = 1e-12
# Distances of larger numbers might not fit into float32.
_LARGEST = 1e15
# Rows that are checked, or held in float64, at a time.
_CHUNK_ROWS = 2048


def compute_distances(
    query_features: np.ndarray, gallery_features: np.ndarray, *, metric: str = "euclidean"
) -> np.ndarray:
    """Compute the distance of every query to every gallery image.

    The matrix product is done in float64 and the result rounded to float32. So equal gallery rows
    get equal distances, and a ranking does not depend on the processor, the block size or the order
    of the rows, as it would with a float32 product.

    >>> compute_distances([[0.0, 1.0]], [[3.0, 5.0], [0.0, 2.0]])
    array([[5., 1.]], dtype=float32)
    >>> compute_distances([[0.0, 1.0]], [[3.0, 0.0], [0.0, 2.0]], metric="cosine")
    array([[1., 0.]], dtype=float32)

    Args:
      query_features: [Q, D] numbers.
      gallery_features: [G, D] numbers.
      metric: "euclidean", or "cosine" for 1 - cos, in 0..2.

    Returns:
      [Q, G] float32; exactly 0 for rows nearer than a millionth of their norm.

    Raises:
      UserError: an unknown metric, no rows, widths that differ, a value that is not finite or
        beyond 1e15, or a row of zeros under the cosine metric.
    """
    query, gallery = check_features(query_features, gallery_features, metric=metric)
    return compute_checked_distances(query, gallery, metric=metric)


def compute_checked_distances(
    query: np.ndarray,
    gallery: np.ndarray,
    *,
    metric: str,
    kept: np.ndarray | None = None,
    origin: np.ndarray | None = None,
) -> np.ndarray:
    """Do what `compute_distances` does, for features that `check_features` returned.

    Args:
      query: [Q, D] numbers.
      gallery: [G, D] numbers.
      metric: "euclidean" or "cosine".
      kept: indices of the gallery images that are wanted; None: all. There is never a copy of them.
      origin: [D] that is subtracted first. The Euclidean distances of rows that are far from 0, and
        near to each other, lose less to rounding if it lies among them.
    """
    num_gallery = len(gallery) if kept is None else len(kept)
    distances = np.empty((len(query), num_gallery), np.float32)
    # The two columns more make the product |a|^2 + |b|^2 - 2ab itself, in one pass.
    query = _prepare(query, metric, origin)
    query[:, :-2] *= -2.0
    query[:, [-2, -1]] = query[:, [-1, -2]]
    for columns in make_blocks(num_gallery, _CHUNK_ROWS):
        chunk = gallery[columns if kept is None else kept[columns]]
        chunk = _prepare(chunk, metric, origin)
        squared = query @ chunk.T
        np.maximum(squared, 0.0, out=squared)
        # For unit vectors |a - b|^2 = 2 (1 - cos).
        distances[:, columns] = 0.5 * squared if metric == "cosine" else np.sqrt(squared)
    return distances


def check_features(
    query_features: np.ndarray, gallery_features: np.ndarray, *, metric: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return both features as arrays if the metric is known and defined for every row.

    Raises:
      UserError: as `compute_distances`.
    """
    if metric not in METRICS:
        raise UserError(f"metric {metric!r}: expected one of {', '.join(METRICS)}")
    query = check_rows("query_features", query_features, metric)
    gallery = check_rows("gallery_features", gallery_features, metric)
    if query.shape[1] != gallery.shape[1]:
        raise UserError(
            f"query_features are {query.shape[1]} wide and gallery_features {gallery.shape[1]}: "
            "expected features of one model"
        )
    return query, gallery


def check_rows(name: str, features: np.ndarray, metric: str) -> np.ndarray:
    """Return features as an array if the metric is defined for every row.

    Raises:
      UserError: as `compute_distances`; the message begins with `name`.
    """
    features = np.asarray(features)
    if features.ndim != 2 or 0 in features.shape or features.dtype.kind not in "fiu":
        raise UserError(
            f"{name}: expected numbers of shape [images, features], at least one of each; "
            f"received {features.dtype} of shape {list(features.shape)}"
        )
    for start in range(0, len(features), _CHUNK_ROWS):
        chunk = features[start : start + _CHUNK_ROWS]
        largest = np.abs(chunk).max(axis=1).astype(np.float64)
        usable = largest <= _LARGEST  # false for NaN
        if not usable.all():
            raise UserError(
                f"{name}: row {start + int(usable.argmin())} holds NaN, infinity or more than "
                f"{_LARGEST:g}; expected finite numbers"
            )
        if metric == "cosine" and not largest.all():
            raise UserError(
                f"{name}: row {start + int(largest.argmin())} is all zeros, "
                "for which there is no cosine distance"
            )
    return features


def normalize_rows(name: str, features: np.ndarray) -> np.ndarray:
    """Return features divided by their norms, [N, D] float32.

    Raises:
      UserError: as `check_rows` under the cosine metric.
    """
    features = check_rows(name, features, "cosine")
    result = np.empty(features.shape, np.float32)
    for rows in make_blocks(len(features), _CHUNK_ROWS):
        # Squares of the largest numbers, and of the smallest, fit into float64 alone.
        chunk = features[rows].astype(np.float64)
        result[rows] = chunk / np.linalg.norm(chunk, axis=1, keepdims=True)
    return result


def _prepare(features: np.ndarray, metric: str, origin: np.ndarray | None) -> np.ndarray:
    """Return float64 rows, a column of ones, and squared norms less what rounding may add."""
    rows = np.ones((len(features), features.shape[1] + 2))
    inner = rows[:, :-2]
    np.subtract(features, 0.0 if origin is None else origin, out=inner)
    if metric == "cosine":
        inner /= np.linalg.norm(inner, axis=1, keepdims=True)
    rows[:, -1] = (1.0 - _NOISE) * np.einsum("nd,nd->n", inner, inner)
    return rows
