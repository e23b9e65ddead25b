"""The nearest vectors of a gallery: exactly, by one pass over all, or out of an approximate index.

Either way a fast search names candidates, and their distances are then computed as evaluation
computes them (`retrieval.compute_distances`): an approximate index may miss a neighbour, but no
distance that is returned is approximate.
"""

from __future__ import annotations

import math
import pathlib

import numpy as np

from daaf_tf.errors import UserError
from daaf_tf.imports import import_optional
from daaf_tf.retrieval import compute_distances
from daaf_tf.retrieval.blocks import make_blocks

FLAT, IVFPQ, HNSW = "flat", "ivfpq", "hnsw"
INDEX_TYPES = (FLAT, IVFPQ, HNSW)

# Without as many images to learn from, product quantization is worse than useless, and a flat
# gallery is searched in a millisecond.
LEAST_FOR_IVFPQ = 10_000
# Lists visited, and length of the list of candidates, unless a query says otherwise.
NPROBE = 768
EF_SEARCH = 128

# Candidates of an approximate index for each neighbour that is wanted, and the fewest.
_CANDIDATES, _FEWEST_CANDIDATES = 10, 100
# Vectors that k-means sees for each of its centres.
_SAMPLES_A_CENTRE = 40
# Floats that one code of a product-quantized vector stands for, or fewer, and its bits: a table of
# 16 entries fits a register, so that codes are scanned at the speed of memory. In the time that
# codes of 8 bits leave for 32 lists these look at hundreds.
_FLOATS_A_CODE, _CODE_BITS = 4, 4
# Links of a point in the graph, and candidates that are looked at when a point is linked.
_HNSW_LINKS, _HNSW_CONSTRUCTION = 32, 80
# Queries whose scores are held at a time, rows of a gallery that are read at a time.
_QUERY_ROWS, _CHUNK_ROWS = 16, 1 << 16
# Groups of scores whose largest bound the score of the last neighbour, for each neighbour.
_GROUPS = 8
# Half the distance from 1 to the next float32.
_ROUNDING = 2.0**-24


class Flat:
    """Exact search: one matrix product with the vectors, where they lie, in whichever memory."""

    def __init__(self, vectors: np.ndarray, metric: str):
        """Take vectors [N, D] float32, of norm 1 if the metric is cosine."""
        self._vectors = vectors
        # Of unit vectors the nearest has the largest product; of others, the largest product less
        # half its squared norm.
        self._half_squares = None if metric == "cosine" else _compute_half_squares(vectors)
        self._largest = 1.0
        if self._half_squares is not None and len(vectors):
            self._largest = math.sqrt(2.0 * self._half_squares.max())

    def find_candidates(self, queries: np.ndarray, count: int) -> list[np.ndarray]:
        """Return for each query the rows among which its `count` nearest are, ascending.

        More than `count` come back where rounding leaves open which the nearest are.

        Args:
          queries: [Q, D] float32, prepared as the vectors are.
          count: 1 to N.
        """
        found = []
        for rows in make_blocks(len(queries), _QUERY_ROWS):
            for query, scores in zip(queries[rows], self._score(queries[rows])):
                least = _find_least(scores, count) - self._find_noise(query)
                found.append(np.flatnonzero(scores >= least))
        return found

    def _score(self, queries: np.ndarray) -> np.ndarray:
        """Return [Q, N] float32 that order the vectors by nearness, the nearest largest."""
        if len(queries) == 1:
            scores = (self._vectors @ queries[0])[None]
        else:
            scores = np.empty((len(queries), len(self._vectors)), np.float32)
            for rows in make_blocks(len(self._vectors), _CHUNK_ROWS):
                scores[:, rows] = queries @ self._vectors[rows].T
        if self._half_squares is not None:
            scores -= self._half_squares
        return scores

    def _find_noise(self, query: np.ndarray) -> np.float32:
        """Return by how much two scores may stand in the wrong order for rounding."""
        norms = float(np.linalg.norm(query)) + self._largest
        return np.float32(2.0 * (len(query) + 4) * _ROUNDING * norms * self._largest)


def find_nearest(
    vectors: np.ndarray, queries: np.ndarray, candidates: list[np.ndarray], count: int, metric: str
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return for each query its nearest among its candidates: their rows and distances.

    Equal distances keep the order of the rows.

    Args:
      vectors: [N, D].
      queries: [Q, D].
      candidates: for each query rows of the vectors, ascending.
      count: neighbours at most.
      metric: of `retrieval`.
    """
    results = []
    for query, rows in zip(queries, candidates):
        if not len(rows):
            results.append((rows, np.empty(0, np.float32)))
            continue
        (distances,) = compute_distances(query[None], vectors[rows], metric=metric)
        order = np.argsort(distances, kind="stable")[:count]
        results.append((rows[order], distances[order]))
    return results


def build_index(index_type: str, vectors: np.ndarray):
    """Return a trained faiss index without vectors, of a size that fits a gallery.

    Args:
      index_type: IVFPQ: inverted lists of product-quantized residuals; up to 4 sqrt(N) lists, 4
        bits for every 4 floats. HNSW: a graph over vectors of 8 bits a float, 32 links a point.
      vectors: [N, D], the gallery, to learn from.

    Raises:
      UserError: too few images for IVFPQ, or faiss is not installed.
    """
    faiss = _import_faiss()
    size = vectors.shape[1]
    if index_type == HNSW:
        index = faiss.IndexHNSWSQ(size, faiss.ScalarQuantizer.QT_8bit, _HNSW_LINKS)
        index.hnsw.efConstruction = _HNSW_CONSTRUCTION
        sample = _sample(vectors, LEAST_FOR_IVFPQ)
    else:
        if len(vectors) < LEAST_FOR_IVFPQ:
            raise UserError(
                f"--index_type={IVFPQ}: expected {LEAST_FOR_IVFPQ:,} images or more to learn the "
                f"quantization from, received {len(vectors):,}; --index_type={FLAT} is exact and "
                "fast enough for them"
            )
        most = min(4 * math.sqrt(len(vectors)), len(vectors) / _SAMPLES_A_CENTRE)
        lists = 2 ** int(math.log2(most))
        floats = max(n for n in range(1, _FLOATS_A_CODE + 1) if size % n == 0)
        centres = faiss.IndexFlatL2(size)
        index = faiss.IndexIVFPQFastScan(centres, size, lists, size // floats, _CODE_BITS)
        sample = _sample(vectors, _SAMPLES_A_CENTRE * lists)
    index.train(np.ascontiguousarray(sample, np.float32))
    return index


def extend_index(index, vectors: np.ndarray, start: int) -> None:
    """Add the vectors from row `start` on to an index that holds those before it."""
    for rows in make_blocks(len(vectors) - start, _CHUNK_ROWS):
        chunk = vectors[start + rows.start : start + rows.stop]
        index.add(np.ascontiguousarray(chunk, np.float32))


def write_index(index, path: pathlib.Path) -> None:
    """Write an index to a file."""
    try:
        _import_faiss().write_index(index, str(path))
    except RuntimeError as error:  # faiss tells a full disk so
        raise OSError(str(error).strip().splitlines()[-1]) from error


def read_index(path: pathlib.Path):
    """Read what `write_index` wrote.

    Raises:
      UserError: another version of faiss wrote it.
    """
    faiss = _import_faiss()
    try:
        return faiss.read_index(str(path))
    except RuntimeError as error:
        raise UserError(
            f"{path}: faiss {faiss.__version__} cannot read this index; build the gallery again"
        ) from error


def find_approximately(
    index, queries: np.ndarray, count: int, *, nprobe: int = 0, ef_search: int = 0
) -> list[np.ndarray]:
    """Return for each query candidates out of an index, ascending rows.

    Args:
      index: of `build_index`, filled.
      queries: [Q, D] float32.
      count: neighbours that are wanted.
      nprobe: lists that an IVFPQ index visits; 0: NPROBE.
      ef_search: length of the candidate list in an HNSW index; 0: EF_SEARCH.
    """
    faiss = _import_faiss()
    wanted = min(max(_CANDIDATES * count, _FEWEST_CANDIDATES), index.ntotal)
    if isinstance(index, faiss.IndexIVF):
        parameters = faiss.SearchParametersIVF(nprobe=nprobe or NPROBE)
    else:
        wanted = min(wanted, max(ef_search or EF_SEARCH, count))
        parameters = faiss.SearchParametersHNSW(efSearch=ef_search or EF_SEARCH)
    queries = np.ascontiguousarray(queries, np.float32)
    _, found = index.search(queries, wanted, params=parameters)
    return [np.sort(rows[rows >= 0]) for rows in found]


def _compute_half_squares(vectors: np.ndarray) -> np.ndarray:
    """Return half the squared norm of each vector, [N] float32."""
    halves = np.empty(len(vectors), np.float32)
    for rows in make_blocks(len(vectors), _CHUNK_ROWS):
        chunk = vectors[rows].astype(np.float64)
        halves[rows] = 0.5 * np.einsum("nd,nd->n", chunk, chunk)
    return halves


def _find_least(scores: np.ndarray, count: int) -> np.float32:
    """Return a score that `count` or a few more reach, without sorting all of them.

    The largest of each of several groups are scores of different rows, so the `count`-th of them is
    no more than the `count`-th of all.
    """
    width = max(1, len(scores) // (_GROUPS * count))
    groups = len(scores) // width
    largest = scores[: groups * width].reshape(groups, width).max(axis=1)
    return np.partition(largest, groups - count)[groups - count]


def _sample(vectors: np.ndarray, most: int) -> np.ndarray:
    """Return up to `most` vectors, evenly spread: the same ones whenever it is asked."""
    return vectors[:: -(-len(vectors) // most)]


def _import_faiss():
    return import_optional("faiss", "pip install -e .[search]; --index_type=flat does without it")
