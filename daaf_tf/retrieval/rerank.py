"""k-reciprocal re-ranking, exact, in memory that grows with the neighbours and not with N x N.

Z. Zhong, L. Zheng, D. Cao, S. Li: Re-ranking person re-identification with k-reciprocal encoding,
CVPR 2017. For all N = Q + G points, queries and gallery together:

1. The original distance is the squared Euclidean one, over the largest from the same point.
2. R(p, k) are those of the k + 1 nearest of p, itself included, that have p among theirs.
3. R*(p) is R(p, k1) with every R(c, k1/2), c of R(p, k1), that has more than 2/3 inside R(p, k1).
4. V(p) is exp(-original distance) for the members of R*(p), over their sum, and 0 for all others.
5. Local query expansion: V(p) becomes the mean of V over the k2 nearest of p.
6. The Jaccard distance of p and g is 1 - m / (2 - m), m the sum of the minima of V(p) and V(g).
7. The result is (1 - lambda) times the Jaccard distance plus lambda times the original one.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from daaf_tf.errors import UserError
from daaf_tf.retrieval.blocks import make_blocks, map_in_threads
from daaf_tf.retrieval.checks import check_whole_number
from daaf_tf.retrieval.distances import check_features, compute_checked_distances
from daaf_tf.retrieval.neighbours import compute_pair_squares, find_neighbours
from daaf_tf.retrieval.sparse import SparseRows, find_positions, join_rows

# Points that are worked on at a time, queries that are paired with the gallery at a time, and
# distances of a block of the result.
_BLOCK_POINTS = 256
_BLOCK_PAIRED = 32
_BLOCK_NUMBERS = 2**23
_NOBODY = -1


def rerank(
    query_features: np.ndarray,
    gallery_features: np.ndarray,
    *,
    k1: int = 20,
    k2: int = 6,
    lambda_value: float = 0.3,
) -> np.ndarray:
    """Compute the distances of queries to gallery images after k-reciprocal re-ranking.

    They are those of the dense algorithm in float64, within 1e-5. Equal distances to neighbours
    keep the order of the points, queries before gallery. For other features than those that are
    compared by Euclid, say the cosine, divide each row by its norm first.

    >>> rerank([[0.0], [9.0]], [[1.0], [8.0], [3.0]], k1=2, k2=1).round(2)
    array([[0.02, 0.94, 0.12],
           [0.94, 0.01, 0.83]], dtype=float32)

    Args:
      query_features: [Q, D] numbers.
      gallery_features: [G, D] numbers.
      k1: how many neighbours are looked at, 1 or more; a set that has fewer is taken whole.
      k2: over how many neighbours a point is averaged, itself included; 1: not at all.
      lambda_value: share of the original distance, in 0..1.

    Returns:
      [Q, G] float32, in 0..1, small for alike. Where all points are equal the original distance
      is 0.

    Raises:
      UserError: features as `compute_distances` refuses them, or a parameter out of its range.
    """
    blocks = rerank_blocks(
        query_features, gallery_features, k1=k1, k2=k2, lambda_value=lambda_value
    )
    result = np.empty((len(query_features), len(gallery_features)), np.float32)
    start = 0
    for block in blocks:
        result[start : start + len(block)] = block
        start += len(block)
    return result


def rerank_blocks(
    query_features: np.ndarray,
    gallery_features: np.ndarray,
    *,
    k1: int = 20,
    k2: int = 6,
    lambda_value: float = 0.3,
) -> Iterator[np.ndarray]:
    """Compute what `rerank` does, some queries at a time, so that it is never whole in memory.

    `evaluate_blocks` scores the blocks as they come.

    Args:
      query_features: [Q, D] numbers.
      gallery_features: [G, D] numbers.
      k1: as in `rerank`.
      k2: as in `rerank`.
      lambda_value: as in `rerank`.

    Returns:
      Iterator over [some, G] float32: the rows of all queries, in order.

    Raises:
      UserError: as `rerank`, when it is called.
    """
    ranked = Reranker(query_features, gallery_features, k1=k1, k2=k2, lambda_value=lambda_value)
    return ranked.compute_blocks()


class Reranker:
    """Re-ranked distances of any queries: what they hang on is found once, when it is made.

    >>> ranked = Reranker([[0.0], [9.0]], [[1.0], [8.0], [3.0]], k1=2, k2=1)
    >>> ranked.compute_distances([1]).round(2)
    array([[0.94, 0.01, 0.83]], dtype=float32)
    """

    def __init__(
        self,
        query_features: np.ndarray,
        gallery_features: np.ndarray,
        *,
        k1: int = 20,
        k2: int = 6,
        lambda_value: float = 0.3,
    ):
        """Find and encode the neighbours of all points.

        Args:
          query_features: [Q, D] numbers.
          gallery_features: [G, D] numbers.
          k1: as in `rerank`.
          k2: as in `rerank`.
          lambda_value: as in `rerank`.

        Raises:
          UserError: as `rerank`.
        """
        query, gallery = check_features(query_features, gallery_features, metric="euclidean")
        _check_parameters(k1, k2, lambda_value)
        points = np.concatenate([query, gallery])
        # The original takes k1 / 2 by numpy's rounding, to even: 10 for 21, 12 for 23.
        whole, half = (min(int(np.around(k)) + 1, len(points)) for k in (k1, k1 / 2))
        expansion = min(k2, len(points))
        self._query, self._gallery, self._lambda = query, gallery, lambda_value
        self._mean = points.mean(axis=0, dtype=np.float64)
        neighbours, farthest = find_neighbours(points, (whole, half, expansion))
        self._farthest = np.where(farthest > 0.0, farthest, 1.0)
        counts, members = _find_members(neighbours[:, :whole], neighbours[:, :half])
        encoding = _encode(points, counts, members, self._farthest)
        del points, members
        if expansion > 1:
            encoding = _average(encoding, neighbours[:, :expansion])
        self._encoding = encoding
        self._by_member = encoding.slice_rows(len(query)).transpose(len(encoding))

    def compute_distances(self, queries: np.ndarray) -> np.ndarray:
        """Return the distances of some queries, [n] indices, to the gallery: [n, G] float32."""
        queries = np.asarray(queries)
        result = compute_checked_distances(
            self._query[queries], self._gallery, metric="euclidean", origin=self._mean
        )
        result *= np.sqrt(self._lambda / self._farthest[queries, None]).astype(np.float32)
        result *= result
        result += np.float32(1.0 - self._lambda)
        own = self._encoding.take_rows(queries)
        for some in make_blocks(len(own), _BLOCK_PAIRED):
            paired = own.slice_rows(some.start, some.stop)
            shared = _share(paired, self._by_member, len(self._gallery))
            result[some] -= (1.0 - self._lambda) * shared / (2.0 - shared)
        return np.maximum(result, 0.0, out=result)

    def compute_blocks(self, block_size: int | None = None) -> Iterator[np.ndarray]:
        """Yield the distances of all queries, in order, `block_size` queries at a time."""
        if block_size is None:
            block_size = max(1, _BLOCK_NUMBERS // len(self._gallery))
        blocks = make_blocks(len(self._query), block_size)
        rows = (np.arange(block.start, block.stop) for block in blocks)
        yield from map_in_threads(self.compute_distances, rows)


def _check_parameters(k1: int, k2: int, lambda_value: float) -> None:
    check_whole_number("k1", k1, 1)
    check_whole_number("k2", k2, 1)
    if not 0.0 <= lambda_value <= 1.0:
        raise UserError(f"lambda_value {lambda_value!r}: expected a number from 0 to 1")


def _find_members(near: np.ndarray, half_near: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how many members R* of each point has, [N], and all of them, ascending by point."""
    near, half_near = _keep_reciprocal(near), _keep_reciprocal(half_near)
    sizes = np.count_nonzero(half_near != _NOBODY, axis=1)

    def expand(rows: slice) -> tuple[np.ndarray, np.ndarray]:
        own = near[rows]
        offered = half_near[own]  # [rows, whole, half]; anything where `own` is nobody
        inside = np.zeros(offered.shape, bool)
        for member in own.T:
            inside |= offered == member[:, None, None]
        inside &= offered != _NOBODY
        taken = (3 * inside.sum(axis=2) > 2 * sizes[own]) & (own != _NOBODY)
        offered[~taken] = _NOBODY
        members = np.sort(np.concatenate([own, offered.reshape(len(own), -1)], axis=1), axis=1)
        fresh = members != _NOBODY
        fresh[:, 1:] &= members[:, 1:] != members[:, :-1]
        return fresh.sum(axis=1), members[fresh]

    parts = map_in_threads(expand, make_blocks(len(near), _BLOCK_POINTS))
    counts, members = map(np.concatenate, zip(*parts))
    return counts, members


def _keep_reciprocal(neighbours: np.ndarray) -> np.ndarray:
    """Return the neighbours that have the point among their own, nobody in place of the others."""

    def keep(rows: slice) -> np.ndarray:
        points = np.arange(rows.start, rows.stop)[:, None, None]
        mutual = (neighbours[neighbours[rows]] == points).any(axis=2)
        return np.where(mutual, neighbours[rows], _NOBODY)

    parts = map_in_threads(keep, make_blocks(len(neighbours), _BLOCK_POINTS))
    return np.concatenate(list(parts)).astype(neighbours.dtype)


def _encode(
    points: np.ndarray, counts: np.ndarray, members: np.ndarray, farthest: np.ndarray
) -> SparseRows:
    """Return V, [N, N]."""
    starts = np.cumsum(counts) - counts

    def weigh(rows: slice) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        own = counts[rows]
        columns = members[starts[rows.start] : starts[rows.start] + own.sum()]
        local = np.repeat(np.arange(len(own)), own)
        squares = compute_pair_squares(points, local + rows.start, columns)
        weights = np.exp(-squares / farthest[rows][local])
        weights /= np.bincount(local, weights)[local]
        return own, columns, weights.astype(np.float32)

    return join_rows(map_in_threads(weigh, make_blocks(len(points), _BLOCK_POINTS)))


def _average(encoding: SparseRows, neighbours: np.ndarray) -> SparseRows:
    """Return the mean of the rows of each point's neighbours."""
    entries = encoding.count_entries()

    def average(rows: slice) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        wanted = neighbours[rows]
        counts = entries[wanted]
        positions = find_positions(encoding.starts[wanted.ravel()], counts.ravel())
        local = np.repeat(np.arange(len(wanted)), counts.sum(axis=1))
        keys = local * len(encoding) + encoding.columns[positions]
        keys, places = np.unique(keys, return_inverse=True)
        sums = np.bincount(places.ravel(), encoding.values[positions])
        local, columns = np.divmod(keys, len(encoding))
        return (
            np.bincount(local, minlength=len(wanted)),
            columns.astype(np.int32),
            (sums / wanted.shape[1]).astype(np.float32),
        )

    return join_rows(map_in_threads(average, make_blocks(len(encoding), _BLOCK_POINTS)))


def _share(queries: SparseRows, by_member: SparseRows, num_gallery: int) -> np.ndarray:
    """Return the sums of minima of queries' and gallery's rows of V, [queries, gallery] float64.

    Args:
      queries: rows of V.
      by_member: the gallery's rows of V, transposed.
      num_gallery: number of gallery images.
    """
    counts = by_member.count_entries()[queries.columns]
    positions = find_positions(by_member.starts[queries.columns], counts)
    minima = np.minimum(np.repeat(queries.values, counts), by_member.values[positions])
    local = np.repeat(np.arange(len(queries)), queries.count_entries())
    places = np.repeat(local * num_gallery, counts) + by_member.columns[positions]
    sums = np.bincount(places, minima, minlength=len(queries) * num_gallery)
    return sums.reshape(len(queries), num_gallery)
