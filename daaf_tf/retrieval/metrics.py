"""Scores by the Market-1501 protocol: CMC, mAP by both conventions, mINP.

`matches` says what is ignored, `scoring` how it is counted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Callable

import numpy as np

from daaf_tf.errors import UserError
from daaf_tf.retrieval.blocks import make_blocks
from daaf_tf.retrieval.checks import check_whole_number
from daaf_tf.retrieval.distances import check_features, compute_checked_distances
from daaf_tf.retrieval.matches import Matches, is_ignored, match_queries
from daaf_tf.retrieval.scoring import RetrievalResult, SingleShot, score

# Numbers of a block of the distance matrix, and the queries it has at most.
_BLOCK_NUMBERS = 2**27
_BLOCK_QUERIES = 1024


def evaluate(
    query_features: np.ndarray,
    gallery_features: np.ndarray,
    *,
    query_ids: np.ndarray,
    gallery_ids: np.ndarray,
    query_cameras: np.ndarray,
    gallery_cameras: np.ndarray,
    metric: str = "euclidean",
    single_shot: SingleShot | None = None,
    block_size: int | None = None,
    progress: Callable[[int], object] | None = None,
) -> RetrievalResult:
    """Rank the gallery for every query by the distance of features, and score the rankings.

    >>> query, gallery = [[0.0], [5.0]], [[1.0], [5.5], [2.0], [9.0]]
    >>> ids = {"query_ids": [1, 2], "gallery_ids": [3, 2, 1, -1]}
    >>> evaluate(query, gallery, **ids, query_cameras=[1, 1], gallery_cameras=[2, 2, 2, 2]).mean_ap
    0.75

    The distance matrix is never whole in memory; `compute_distances` says how it is rounded.

    Args:
      query_features: [Q, D] numbers.
      gallery_features: [G, D] numbers.
      query_ids: [Q] integers, person ids.
      gallery_ids: [G] integers, below 0 for junk.
      query_cameras: [Q] integers, below 0 where the camera is not known: such an image is its own
        camera, and no other image is of it.
      gallery_cameras: [G] integers, likewise.
      metric: "euclidean" or "cosine".
      single_shot: for CMC by CUHK03's single-gallery-shot protocol; None: by the usual one.
      block_size: queries whose distances are held at a time; None: as many as make 512 MB, 1024 at
        most. It changes memory and speed, not the result.
      progress: called with a number of queries when the distances of so many more are there.

    Returns:
      RetrievalResult.

    Raises:
      UserError: features as `compute_distances` refuses them, ids or cameras of another length or
        type, or no query that has a match.
    """
    query, gallery = check_features(query_features, gallery_features, metric=metric)
    matches = match_queries(
        query_ids=query_ids,
        gallery_ids=gallery_ids,
        query_cameras=query_cameras,
        gallery_cameras=gallery_cameras,
        num_queries=len(query),
        num_gallery=len(gallery),
    )
    kept = matches.kept if len(matches.kept) < len(gallery) else None

    def compute(rows: slice) -> np.ndarray:
        distances = compute_checked_distances(query[rows], gallery, metric=metric, kept=kept)
        if progress:
            progress(len(distances))
        return distances

    blocks = map(compute, _make_blocks(len(query), len(gallery), block_size))
    return score(blocks, matches, single_shot)


def evaluate_distances(
    distances: np.ndarray,
    *,
    query_ids: np.ndarray,
    gallery_ids: np.ndarray,
    query_cameras: np.ndarray,
    gallery_cameras: np.ndarray,
    single_shot: SingleShot | None = None,
    block_size: int | None = None,
) -> RetrievalResult:
    """Rank the gallery for every query by given distances, and score the rankings.

    >>> ids = {"query_ids": [1], "gallery_ids": [5, 1, 1]}
    >>> cameras = {"query_cameras": [1], "gallery_cameras": [2, 2, 1]}
    >>> evaluate_distances([[0.7, 0.2, 0.1]], **ids, **cameras).mean_ap
    1.0

    Args:
      distances: [Q, G] numbers, small for alike; not changed. A memory map will do.
      query_ids: [Q] integers, as in `evaluate`.
      gallery_ids: [G] integers, as in `evaluate`.
      query_cameras: [Q] integers, as in `evaluate`.
      gallery_cameras: [G] integers, as in `evaluate`.
      single_shot: as in `evaluate`.
      block_size: queries that are worked on at a time, as in `evaluate`.

    Returns:
      RetrievalResult.

    Raises:
      UserError: distances that are no matrix of finite numbers, ids or cameras of another length or
        type, or no query that has a match.
    """
    distances = _check_distances(distances)
    num_queries, num_gallery = distances.shape
    matches = match_queries(
        query_ids=query_ids,
        gallery_ids=gallery_ids,
        query_cameras=query_cameras,
        gallery_cameras=gallery_cameras,
        num_queries=num_queries,
        num_gallery=num_gallery,
    )
    blocks = (distances[rows] for rows in _make_blocks(num_queries, num_gallery, block_size))
    return score(check_blocks(blocks, num_queries, matches), matches, single_shot)


def evaluate_blocks(
    blocks: Iterable[np.ndarray],
    *,
    query_ids: np.ndarray,
    gallery_ids: np.ndarray,
    query_cameras: np.ndarray,
    gallery_cameras: np.ndarray,
    single_shot: SingleShot | None = None,
) -> RetrievalResult:
    """Score rankings by distances that come some queries at a time, say from `rerank_blocks`.

    >>> ids = {"query_ids": [1, 5], "gallery_ids": [5, 1]}
    >>> cameras = {"query_cameras": [1, 1], "gallery_cameras": [2, 2]}
    >>> evaluate_blocks(([[0.7, 0.2]], [[0.8, 0.4]]), **ids, **cameras).mean_ap
    0.75

    Args:
      blocks: of the rows of all queries, in order, each [some, G] numbers.
      query_ids: [Q] integers, as in `evaluate`.
      gallery_ids: [G] integers, as in `evaluate`.
      query_cameras: [Q] integers, as in `evaluate`.
      gallery_cameras: [G] integers, as in `evaluate`.
      single_shot: as in `evaluate`.

    Returns:
      RetrievalResult.

    Raises:
      UserError: as `evaluate_distances`, and for more or fewer rows than there are queries.
    """
    num_queries = np.size(query_ids)
    matches = match_queries(
        query_ids=query_ids,
        gallery_ids=gallery_ids,
        query_cameras=query_cameras,
        gallery_cameras=gallery_cameras,
        num_queries=num_queries,
        num_gallery=np.size(gallery_ids),
    )
    return score(check_blocks(blocks, num_queries, matches), matches, single_shot)


def rank_gallery(
    distances: np.ndarray,
    *,
    query_id: int,
    gallery_ids: np.ndarray,
    query_camera: int,
    gallery_cameras: np.ndarray,
) -> np.ndarray:
    """Return the gallery in the order of the ranking of one query, ignored images left out.

    >>> people = {"query_id": 1, "gallery_ids": [5, 1, 1, -1]}
    >>> rank_gallery([0.7, 0.2, 0.1, 0.3], **people, query_camera=1, gallery_cameras=[2, 2, 1, 2])
    array([1, 0])

    Args:
      distances: [G] of the query to every gallery image.
      query_id: person id of the query.
      gallery_ids: [G] integers.
      query_camera: camera of the query; below 0: not known.
      gallery_cameras: [G] integers.

    Returns:
      Indices into the gallery, int64, nearest first; equal distances in gallery order.
    """
    ignored = is_ignored(
        query_id=query_id,
        gallery_ids=gallery_ids,
        query_camera=query_camera,
        gallery_cameras=gallery_cameras,
    )
    order = np.argsort(distances, kind="stable")
    return order[~ignored[order]]


def _make_blocks(num_queries: int, num_gallery: int, block_size: int | None) -> Iterator[slice]:
    if block_size is None:
        block_size = min(_BLOCK_QUERIES, max(1, _BLOCK_NUMBERS // num_gallery))
    check_whole_number("block_size", block_size, 1)
    return make_blocks(num_queries, block_size)


def _check_distances(distances: np.ndarray) -> np.ndarray:
    distances = np.asanyarray(distances)
    if distances.ndim != 2 or 0 in distances.shape or distances.dtype.kind not in "fiu":
        raise UserError(
            "distances: expected numbers of shape [queries, gallery], at least one of each; "
            f"received {distances.dtype} of shape {list(distances.shape)}"
        )
    return distances


def check_blocks(
    blocks: Iterable[np.ndarray], num_queries: int, matches: Matches
) -> Iterator[np.ndarray]:
    """Yield blocks of distances to the kept gallery images, once they are what they should be."""
    start = 0
    for block in blocks:
        block = _check_distances(block)
        stop = start + len(block)
        if block.shape[1] != matches.num_gallery or stop > num_queries:
            raise UserError(
                f"distances: expected {num_queries} rows for {matches.num_gallery} gallery images; "
                f"received {list(block.shape)} after {start} rows"
            )
        if len(matches.kept) < matches.num_gallery:
            block = np.take(block, matches.kept, axis=1)
        # Minimum and maximum are NaN if anything is, and need no array of flags.
        finite = np.isfinite(block.min(axis=1)) & np.isfinite(block.max(axis=1))
        if not finite.all():
            raise UserError(
                f"distances: row {start + int(finite.argmin())} holds NaN or infinity; "
                "expected finite numbers"
            )
        yield block
        block = None  # freed before the next one is made
        start = stop
    if start < num_queries:
        raise UserError(f"distances: expected {num_queries} rows, received {start}")
