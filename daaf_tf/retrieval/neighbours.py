"""The nearest neighbours of every point of a set, exact and without a matrix of all distances."""

from __future__ import annotations

import numpy as np

from daaf_tf.retrieval.blocks import make_blocks, map_in_threads
from daaf_tf.retrieval.sparse import find_positions, find_starts

# Points on each side of a tile of the matrix of distances.
_TILE_POINTS = 2048
# The least numbers of a tile's row are looked for in this many groups for each that is wanted.
_GROUPS = 6
# Rows of features that are held in float64 at a time.
_CHUNK_ROWS = 1024
# Rows whose median is taken for the middle of all.
_SAMPLE_ROWS = 256
# Half the distance from 1 to the next float32, and more than the squares that it rounds to 0.
_ROUNDING = 2.0**-24
_LEAST_NOISE = 1e-30


def find_neighbours(features: np.ndarray, cuts: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Find the nearest neighbours of every point, the point itself among them, by Euclid.

    Products in float32 choose the candidates. Where their noise leaves open which are the nearest,
    differences in float64 decide; equal distances keep the order of the points. Equal points are
    looked at once, so that many of them (a network that answers the same to everything) take no
    more time and memory than others.

    Args:
      features: [N, D] finite numbers, up to 1e15.
      cuts: numbers of neighbours that are asked for, from 1 to N.

    Returns:
      [N, max(cuts)] int32, of which for every cut the first so many are the nearest, in whichever
      order; and [N] float64, the largest squared distance of each point to any, with the precision
      of float32.
    """
    first, place = find_distinct(features)
    points = _Points(features if len(first) == len(features) else features[first])
    search = _Search(points, min(max(cuts), len(points)))
    blocks = list(make_blocks(len(points), _TILE_POINTS))
    # The matrix is symmetric: the tiles below its diagonal would say nothing new.
    pairs = [(rows, columns) for i, rows in enumerate(blocks) for columns in blocks[i:]]
    tiles = map_in_threads(lambda pair: points.compute_squares(*pair), pairs)
    for (rows, columns), tile in zip(pairs, tiles):
        search.add(rows, columns, tile)
        if rows != columns:
            search.add(columns, rows, tile.T)
    farthest = search.farthest.astype(np.float64) * points.scale
    return search.choose(cuts, place)[place], farthest[place]


def compute_pair_squares(features: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Return the squared distances of pairs of points, [pairs] float64.

    Exchanging the points of a pair, or taking others that are equal to them, changes no digit.
    """
    squares = np.empty(len(rows))
    for chunk in make_blocks(len(rows), _CHUNK_ROWS):
        difference = features[rows[chunk]].astype(np.float64)
        difference -= features[columns[chunk]]
        np.einsum("nd,nd->n", difference, difference, out=squares[chunk])
    return squares


def find_distinct(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the first of each set of equal points, ascending, and for each point its set."""
    rows = np.ascontiguousarray(features + features.dtype.type(0))  # -0 becomes 0
    keys = rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1])))[:, 0]
    _, first, place = np.unique(keys, return_index=True, return_inverse=True)
    order = np.argsort(first)
    return first[order], np.argsort(order)[place]


class _Points:
    """Points, prepared for products in float32.

    Attributes:
      features: [N, D] numbers, as they were given.
      norms: [N] float64, distance of each point to the middle of all, 1 for the farthest.
      scale: squares of `compute_squares` times this are those of the features.
    """

    def __init__(self, features: np.ndarray):
        self.features = features
        # Any point near most of the others would do; the mean may be near none, for an outlier.
        sample = features[:: len(features) // _SAMPLE_ROWS + 1].astype(np.float64)
        middle = np.median(sample, axis=0)
        self.norms = np.empty(len(features))
        for rows in make_blocks(len(features), _CHUNK_ROWS):
            self.norms[rows] = np.linalg.norm(features[rows] - middle, axis=1)
        # Around the middle, and of norm 1 at most: then float32 has digits and room enough.
        largest = self.norms.max() or 1.0
        self.norms /= largest
        self.scale = largest**2
        self._right = np.ones((len(features), features.shape[1] + 2), np.float32)
        self._right[:, -1] = self.norms**2
        for rows in make_blocks(len(features), _CHUNK_ROWS):
            self._right[rows, :-2] = (features[rows] - middle) / largest

    def __len__(self) -> int:
        return len(self.features)

    def compute_squares(self, rows: slice, columns: slice) -> np.ndarray:
        """Return squared distances of some points to others, [rows, columns] float32, up to noise.

        They are in units of `scale`.
        """
        right = self._right[rows]
        # The two columns more make the product |a|^2 + |b|^2 - 2ab itself, in one pass.
        left = np.column_stack([-2 * right[:, :-2], right[:, -1], right[:, -2]])
        return left @ self._right[columns].T

    def find_noise(self, rows: slice, squares: np.ndarray) -> np.ndarray:
        """Return by how much two small squares of a row may stand in the wrong order.

        It is twice the bound for a product of D + 2 terms, with room for the rounding of its
        factors. The bound grows with the norms of the two points. Those that are near to a point
        have no norm far from its own, so that one outlier does not blur all others.

        Args:
          rows: the points.
          squares: [rows] float32, how large a small square may be.

        Returns:
          [rows] float32.
        """
        error = (self._right.shape[1] + 6) * _ROUNDING
        norms = self.norms[rows]
        near = np.sqrt(np.maximum(squares, 0.0)) + 4.0 * np.sqrt(error) * norms
        reach = np.minimum(norms + 1.25 * near, 1.0)
        noise = 2.0 * error * (norms + reach) ** 2
        return np.maximum(noise, _LEAST_NOISE).astype(np.float32)


class _Search:
    """Collects what may be among the nearest of each point, while tiles of squares come in.

    Attributes:
      farthest: [N] float32, the largest square of each point so far.
    """

    def __init__(self, points: _Points, count: int):
        self._points = points
        self._least = np.full((len(points), count), np.inf, np.float32)  # of the squares so far
        self._found: list[tuple[np.ndarray, ...]] = []  # point, neighbour, square
        self.farthest = np.zeros(len(points), np.float32)

    def add(self, rows: slice, columns: slice, squares: np.ndarray) -> None:
        """Look through the squares [rows, columns]."""
        self.farthest[rows] = np.maximum(self.farthest[rows], squares.max(axis=1))
        count = self._least.shape[1]
        groups = min(squares.shape[1], _GROUPS * count)
        width = -(-squares.shape[1] // groups)
        padding = width * groups - squares.shape[1]
        if padding:  # then there are groups enough to make the limits finite
            squares = np.pad(squares, ((0, 0), (0, padding)), constant_values=np.inf)
        grouped = squares.reshape(len(squares), width, groups)
        # The minima of groups are squares of different pairs, so the least of them are no less
        # than the least squares; and they are few.
        minima = grouped.min(axis=1)
        known = np.concatenate([self._least[rows], minima], axis=1)
        self._least[rows] = np.partition(known, count - 1, axis=1)[:, :count]
        limits = self._find_limits(rows)
        row, group = np.nonzero(minima <= limits[:, None])
        values = grouped[row, :, group]
        hit, place = np.nonzero(values <= limits[row, None])
        row, column = row[hit] + rows.start, place * groups + group[hit] + columns.start
        self._found.append((row.astype(np.int32), column.astype(np.int32), values[hit, place]))

    def choose(self, cuts: tuple[int, ...], place: np.ndarray) -> np.ndarray:
        """Return the neighbours of each point once all tiles were seen.

        Args:
          cuts: see `find_neighbours`.
          place: for each of the original points, which of the points it is; the neighbours are
            original points.
        """
        point, neighbour, square = map(np.concatenate, zip(*self._found))
        (kept,) = np.nonzero(square <= self._find_limits(slice(None))[point])
        kept, original = _name_originals(kept, neighbour[kept], place, max(cuts))
        order = np.lexsort((original, square[kept], point[kept]))
        kept, original = kept[order], original[order]
        point, neighbour, square = point[kept], neighbour[kept], square[kept]
        starts = np.searchsorted(point, np.arange(len(self._points)))
        (mixed,) = np.nonzero(self._find_unclear(square, starts, cuts)[point])
        exact = compute_pair_squares(self._points.features, point[mixed], neighbour[mixed])
        order = np.lexsort((original[mixed], exact, point[mixed]))
        original[mixed] = original[mixed[order]]
        return original[starts[:, None] + np.arange(max(cuts))].astype(np.int32)

    def _find_limits(self, rows: slice) -> np.ndarray:
        """Return the largest square that a point's nearest may have, noise included."""
        largest = self._least[rows].max(axis=1)
        return largest + self._points.find_noise(rows, largest)

    def _find_unclear(self, square, starts, cuts) -> np.ndarray:
        """Tell for which points noise may have changed who is before a cut."""
        unclear = np.zeros(len(starts), bool)
        counts = np.diff(starts, append=len(square))
        noise = self._points.find_noise(slice(None), self._least.max(axis=1))
        for cut in cuts:
            (more,) = np.nonzero(counts > cut)
            outer = starts[more] + cut
            unclear[more] |= square[outer] - square[outer - 1] <= noise[more]
        return unclear


def _name_originals(
    pairs: np.ndarray, neighbour: np.ndarray, place: np.ndarray, most: int
) -> tuple[np.ndarray, np.ndarray]:
    """Repeat each pair for every original point that its neighbour stands for, up to `most`."""
    originals = np.argsort(place, kind="stable")
    counts = np.bincount(place)
    repeats = np.minimum(counts, most)[neighbour]
    positions = find_positions(find_starts(counts)[neighbour], repeats)
    return np.repeat(pairs, repeats), originals[positions]
