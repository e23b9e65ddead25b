"""The Market-1501 protocol: CMC, mAP by both conventions, mINP.

For each query, gallery images of junk (person id below 0) and those of the query's own person by
the query's own camera are ignored; everything else counts. Distractors are negatives simply because
no query has their id. Equal distances keep the order of the gallery.

Only the positives of a query are ever sorted: the rank of one is the number of images that lie
ahead of it, which is counted.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator

import numpy as np

from daaf_tf.errors import UserError
from daaf_tf.retrieval.distances import check_features, compute_checked_distances

NUM_RANKS = 50

# Numbers of a block of the distance matrix, and the queries it has at most.
_BLOCK_NUMBERS = 2**27
_BLOCK_QUERIES = 1024


@dataclasses.dataclass(frozen=True)
class RetrievalResult:
    """What a ranking is worth; all figures are shares in 0..1.

    Attributes:
      cmc: [50] float64, share of queries with a match at rank 1, 2, .. or before: `cmc[0]` is
        rank-1, `cmc[9]` is rank-10.
      mean_ap: mAP by the rectangle rule, the mean of k/n_k over the positives (n_k: rank of the
        k-th), as most code computes it.
      mean_ap_trapezoid: mAP by the trapezoid rule of the official Market-1501 program, the mean of
        (k/n_k + (k-1)/(n_k - 1))/2, second term 1 where n_k = 1.
      mean_inp: mINP, mean of (number of positives / rank of the last).
      num_queries: queries that were given.
      queries_without_match: how many of them have no positive; they count in no mean.
      average_precision: [num_queries] float64, each query's AP by the rectangle rule, NaN without
        match.
      first_match: [num_queries] int64, rank of the first match from 1, 0 without match.
    """

    cmc: np.ndarray
    mean_ap: float
    mean_ap_trapezoid: float
    mean_inp: float
    num_queries: int
    queries_without_match: int
    average_precision: np.ndarray
    first_match: np.ndarray


def evaluate(
    query_features: np.ndarray,
    gallery_features: np.ndarray,
    *,
    query_ids: np.ndarray,
    gallery_ids: np.ndarray,
    query_cameras: np.ndarray,
    gallery_cameras: np.ndarray,
    metric: str = "euclidean",
    block_size: int | None = None,
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
      query_cameras: [Q] integers.
      gallery_cameras: [G] integers.
      metric: "euclidean" or "cosine".
      block_size: queries whose distances are held at a time; None: as many as make 512 MB, 1024 at
        most. It changes memory and speed, not the result.

    Returns:
      RetrievalResult.

    Raises:
      UserError: features as `compute_distances` refuses them, ids or cameras of another length or
        type, or no query that has a match.
    """
    query, gallery = check_features(query_features, gallery_features, metric=metric)
    matches = _match_queries(
        query_ids, gallery_ids, query_cameras, gallery_cameras, shape=(len(query), len(gallery))
    )
    if len(matches.kept) < len(gallery):
        gallery = gallery[matches.kept]
    return _score(
        (
            compute_checked_distances(query[rows], gallery, metric=metric)
            for rows in _make_blocks(len(query), len(gallery), block_size)
        ),
        matches,
    )


def evaluate_distances(
    distances: np.ndarray,
    *,
    query_ids: np.ndarray,
    gallery_ids: np.ndarray,
    query_cameras: np.ndarray,
    gallery_cameras: np.ndarray,
    block_size: int | None = None,
) -> RetrievalResult:
    """Rank the gallery for every query by given distances, and score the rankings.

    Args:
      distances: [Q, G] numbers, small for alike; not changed. A memory map will do.
      query_ids: [Q] integers, person ids.
      gallery_ids: [G] integers, below 0 for junk.
      query_cameras: [Q] integers.
      gallery_cameras: [G] integers.
      block_size: queries that are worked on at a time, as in `evaluate`.

    Returns:
      RetrievalResult.

    Raises:
      UserError: distances that are no matrix of finite numbers, ids or cameras of another length or
        type, or no query that has a match.
    """
    distances = np.asanyarray(distances)
    if distances.ndim != 2 or 0 in distances.shape or distances.dtype.kind not in "fiu":
        raise UserError(
            "distances: expected numbers of shape [queries, gallery], at least one of each; "
            f"received {distances.dtype} of shape {list(distances.shape)}"
        )
    matches = _match_queries(
        query_ids, gallery_ids, query_cameras, gallery_cameras, shape=distances.shape
    )
    return _score(
        (
            _read_block(distances, rows, matches.kept)
            for rows in _make_blocks(*distances.shape, block_size)
        ),
        matches,
    )


def rank_gallery(
    distances: np.ndarray,
    *,
    query_id: int,
    gallery_ids: np.ndarray,
    query_camera: int,
    gallery_cameras: np.ndarray,
) -> np.ndarray:
    """Return the gallery in the order of the ranking of one query, ignored images left out.

    Args:
      distances: [G] of the query to every gallery image.
      query_id: person id of the query.
      gallery_ids: [G] integers.
      query_camera: camera of the query.
      gallery_cameras: [G] integers.

    Returns:
      Indices into the gallery, int64, nearest first; equal distances in gallery order.
    """
    order = np.argsort(distances, kind="stable")
    ids, cameras = np.asarray(gallery_ids)[order], np.asarray(gallery_cameras)[order]
    return order[(ids >= 0) & ~((ids == query_id) & (cameras == query_camera))]


@dataclasses.dataclass(frozen=True)
class _Matches:
    """Who is who, apart from any distance; column numbers count kept gallery images only."""

    kept: np.ndarray  # gallery indices that are not junk
    positives: list[np.ndarray]  # for each query, columns of its person by other cameras
    own_camera: list[np.ndarray]  # for each query, columns of its person by its own camera


def _match_queries(query_ids, gallery_ids, query_cameras, gallery_cameras, *, shape) -> _Matches:
    query_ids, query_cameras, gallery_ids, gallery_cameras = (
        _check_integers(name, values, length)
        for name, values, length in (
            ("query_ids", query_ids, shape[0]),
            ("query_cameras", query_cameras, shape[0]),
            ("gallery_ids", gallery_ids, shape[1]),
            ("gallery_cameras", gallery_cameras, shape[1]),
        )
    )
    kept = np.flatnonzero(gallery_ids >= 0)
    ids, cameras = gallery_ids[kept], gallery_cameras[kept]
    by_id = np.argsort(ids, kind="stable")
    first = np.searchsorted(ids[by_id], query_ids, side="left")
    last = np.searchsorted(ids[by_id], query_ids, side="right")
    positives, own_camera = [], []
    for start, stop, camera in zip(first, last, query_cameras):
        same_id = by_id[start:stop]
        same_camera = cameras[same_id] == camera
        positives.append(same_id[~same_camera])
        own_camera.append(same_id[same_camera])
    if not any(map(len, positives)):
        raise UserError(
            f"none of the {shape[0]} queries has a match among the {shape[1]} gallery images: "
            "expected some of the same person by another camera; do query and gallery belong "
            "together?"
        )
    return _Matches(kept, positives, own_camera)


def _check_integers(name: str, values: np.ndarray, length: int) -> np.ndarray:
    values = np.asarray(values)
    if values.shape != (length,) or values.dtype.kind not in "iu":
        raise UserError(
            f"{name}: expected {length} whole numbers, one for each image; "
            f"received {values.dtype} of shape {list(values.shape)}"
        )
    return values.astype(np.int64)


def _make_blocks(num_queries: int, num_gallery: int, block_size: int | None) -> Iterator[slice]:
    if block_size is None:
        block_size = min(_BLOCK_QUERIES, max(1, _BLOCK_NUMBERS // num_gallery))
    if block_size < 1:
        raise UserError(f"block_size {block_size}: expected 1 or more")
    return (slice(start, start + block_size) for start in range(0, num_queries, block_size))


def _read_block(distances: np.ndarray, rows: slice, columns: np.ndarray) -> np.ndarray:
    block = distances[rows]
    if len(columns) < block.shape[1]:
        block = np.take(block, columns, axis=1)
    # Minimum and maximum are NaN if anything is, and need no array of flags.
    finite = np.isfinite(block.min(axis=1)) & np.isfinite(block.max(axis=1))
    if not finite.all():
        raise UserError(
            f"distances: row {rows.start + int(finite.argmin())} holds NaN or infinity; "
            "expected finite numbers"
        )
    return block


def _score(blocks: Iterable[np.ndarray], matches: _Matches) -> RetrievalResult:
    rows = (row for block in blocks for row in block)
    ranks = [
        _compute_ranks(row, positives, own_camera)
        for row, positives, own_camera in zip(rows, matches.positives, matches.own_camera)
    ]
    return _summarize(ranks)


def _compute_ranks(row: np.ndarray, positives: np.ndarray, own_camera: np.ndarray) -> np.ndarray:
    """Return the ranks of the positives in a row of distances, from 1, ascending."""
    if len(own_camera):
        row = row.astype(np.result_type(row, np.float32))  # a copy that can hold infinity
        row[own_camera] = np.inf
    ahead = [
        np.count_nonzero(row[:column] <= distance) + np.count_nonzero(row[column:] < distance)
        for column, distance in zip(positives.tolist(), row[positives])
    ]
    return np.sort(np.array(ahead, np.int64)) + 1


def _summarize(ranks: list[np.ndarray]) -> RetrievalResult:
    """Score the ranks of each query's positives; one array of all queries, cut by `starts`."""
    counts = np.array([len(query_ranks) for query_ranks in ranks])
    matched = counts > 0
    counts = counts[matched]
    ends = np.cumsum(counts)
    starts = ends - counts
    n = np.concatenate(ranks)
    k = np.arange(len(n)) - np.repeat(starts, counts) + 1
    rectangle = k / n
    before = np.where(n == 1, 1.0, (k - 1) / np.maximum(n - 1, 1))

    average_precision = np.full(len(ranks), np.nan)
    average_precision[matched] = np.add.reduceat(rectangle, starts) / counts
    trapezoid = np.add.reduceat((rectangle + before) / 2, starts) / counts
    first_match = np.zeros(len(ranks), np.int64)
    first_match[matched] = n[starts]
    return RetrievalResult(
        cmc=(n[starts, None] <= np.arange(1, NUM_RANKS + 1)).mean(axis=0),
        mean_ap=float(average_precision[matched].mean()),
        mean_ap_trapezoid=float(trapezoid.mean()),
        mean_inp=float((counts / n[ends - 1]).mean()),
        num_queries=len(ranks),
        queries_without_match=int((~matched).sum()),
        average_precision=average_precision,
        first_match=first_match,
    )
