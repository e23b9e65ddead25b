"""Better queries: several images of one person, or what the gallery adds to them."""

from __future__ import annotations

import numpy as np

from daaf_tf.errors import UserError
from daaf_tf.retrieval.blocks import make_blocks
from daaf_tf.retrieval.checks import check_integers, check_whole_number
from daaf_tf.retrieval.distances import check_features, check_rows, compute_checked_distances
from daaf_tf.retrieval.matches import is_own_camera

# Distances of a block.
_BLOCK_NUMBERS = 2**24


def average_multi_query(
    query_features: np.ndarray,
    multi_features: np.ndarray,
    *,
    query_ids: np.ndarray,
    multi_ids: np.ndarray,
    query_cameras: np.ndarray,
    multi_cameras: np.ndarray,
) -> np.ndarray:
    """Average, for each query, the features of all images of its person by its camera.

    This is Market-1501's multiple query: the images come from `gt_bbox` (the records' split
    `multi_query`), which also holds other persons; those are passed over. Evaluate the result in
    place of the queries' own features.

    >>> average_multi_query([[9.0], [9.0]], [[1.0], [3.0], [8.0]], query_ids=[1, 2],
    ...     multi_ids=[1, 1, 2], query_cameras=[1, 1], multi_cameras=[1, 1, 1])
    array([[2.],
           [8.]], dtype=float32)

    Args:
      query_features: [Q, D] numbers; only those of queries without a known camera are used.
      multi_features: [M, D] numbers, of the images that stand for the queries.
      query_ids: [Q] integers, person ids.
      multi_ids: [M] integers, person ids.
      query_cameras: [Q] integers, below 0 where the camera is not known: no other image is of such
        a camera, so the query keeps its own features.
      multi_cameras: [M] integers, likewise.

    Returns:
      [Q, D] float32.

    Raises:
      UserError: features as `compute_distances` refuses them, ids or cameras of another length or
        type, or a query with a camera but without an image.
    """
    query = check_rows("query_features", query_features, "euclidean")
    multi = check_rows("multi_features", multi_features, "euclidean")
    if query.shape[1] != multi.shape[1]:
        raise UserError(
            f"query_features are {query.shape[1]} wide and multi_features {multi.shape[1]}: "
            "expected features of one model"
        )
    query_ids = check_integers("query_ids", query_ids, len(query))
    query_cameras = check_integers("query_cameras", query_cameras, len(query))
    multi_ids = check_integers("multi_ids", multi_ids, len(multi))
    multi_cameras = check_integers("multi_cameras", multi_cameras, len(multi))

    by_id = np.argsort(multi_ids, kind="stable")
    first = np.searchsorted(multi_ids[by_id], query_ids, side="left")
    last = np.searchsorted(multi_ids[by_id], query_ids, side="right")
    result = query.astype(np.float32)
    for number in np.flatnonzero(query_cameras >= 0):
        same_id = by_id[first[number] : last[number]]
        images = same_id[is_own_camera(query_cameras[number], multi_cameras[same_id])]
        if not len(images):
            raise UserError(
                f"query {number} (person id {query_ids[number]}, camera {query_cameras[number]}): "
                "expected one or more images of it among those of the multiple query, found none"
            )
        result[number] = multi[images].mean(axis=0, dtype=np.float64)
    return result


def expand_queries(
    query_features: np.ndarray,
    gallery_features: np.ndarray,
    *,
    num_neighbours: int = 5,
    alpha: float = 0.0,
) -> np.ndarray:
    """Average each query with its nearest gallery images: query expansion, AQE or alpha-QE.

    Rows are divided by their norms, the nearest are found by the cosine (equal ones in gallery
    order), and the mean is divided by its norm again. Evaluate the result in place of the queries,
    by either metric if the gallery has norm 1.

    >>> expand_queries([[2.0, 0.0]], [[0.0, 5.0], [-1.0, 0.0]], num_neighbours=1).round(3)
    array([[0.707, 0.707]], dtype=float32)

    Args:
      query_features: [Q, D] numbers.
      gallery_features: [G, D] numbers, junk and distractors included, as a searcher would not know.
      num_neighbours: nearest gallery images that are averaged; all, if there are fewer.
      alpha: each image counts with its cosine to this power, those below 0 not at all; 0: the plain
        mean, AQE.

    Returns:
      [Q, D] float32 of norm 1.

    Raises:
      UserError: features as `compute_distances` refuses them under the cosine metric, a parameter
        out of its range, or a query that its neighbours cancel out.

    Sources: AQE: O. Chum, J. Philbin, J. Sivic, M. Isard, A. Zisserman: Total recall, ICCV 2007.
    alpha-QE: F. Radenovic, G. Tolias, O. Chum: Fine-tuning CNN image retrieval with no human
    annotation, TPAMI 2019.
    """
    query, gallery = check_features(query_features, gallery_features, metric="cosine")
    check_whole_number("num_neighbours", num_neighbours, 1)
    if not 0.0 <= alpha < np.inf:
        raise UserError(f"alpha {alpha!r}: expected a number, 0 or more")
    count = min(num_neighbours, len(gallery))
    result = np.empty(query.shape, np.float32)
    for rows in make_blocks(len(query), max(1, _BLOCK_NUMBERS // len(gallery))):
        distances = compute_checked_distances(query[rows], gallery, metric="cosine")
        for number, row in enumerate(distances, start=rows.start):
            nearest = _find_nearest(row, count)
            # 0 to the power of 0 is 1.
            weights = np.maximum(1.0 - row[nearest].astype(np.float64), 0.0) ** alpha
            expanded = _normalize(query[number]) + weights @ _normalize(gallery[nearest])
            if not np.linalg.norm(expanded):
                raise UserError(f"query_features: row {number} and its neighbours cancel out")
            result[number] = _normalize(expanded)
    return result


def _find_nearest(row: np.ndarray, count: int) -> np.ndarray:
    (candidates,) = np.nonzero(row <= np.partition(row, count - 1)[count - 1])
    return candidates[np.argsort(row[candidates], kind="stable")][:count]


def _normalize(features: np.ndarray) -> np.ndarray:
    features = features.astype(np.float64)
    return features / np.linalg.norm(features, axis=-1, keepdims=True)
