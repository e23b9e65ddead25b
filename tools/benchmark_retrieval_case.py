"""Measure one case of retrieval in a process of its own and print the figures as JSON.

python tools/benchmark_retrieval_case.py --case=features [--queries=3368] [--gallery=15913]

Features are drawn: a centre for each of 750 persons and noise around it, six cameras, distractors
where the gallery has more than 13,115 images. Memory is that of the whole process, features
included.
"""

from __future__ import annotations

import json
import time

import numpy as np

from daaf_tf import flags, retrieval
from daaf_tf.benchmarks import read_peak_memory

PERSONS, CAMERAS, GOOD_IMAGES = 750, 6, 13_115  # as in Market-1501
NOISE = 2.0  # of each feature, where the spread of the centres is 1
CHUNK_ROWS = 4096


def main() -> None:
    """Draw features, measure, and print JSON."""
    values = flags.FLAGS
    query, gallery, people = draw(values.queries, values.gallery, values.width, values.seed)
    if values.case == "distances":
        distances = retrieval.compute_distances(query, gallery)
        del query, gallery
        run = lambda: retrieval.evaluate_distances(distances, **people)  # noqa: E731
    else:
        run = lambda: CASES[values.case](query, gallery, people)  # noqa: E731
    start = time.perf_counter()
    result = run()
    seconds = time.perf_counter() - start
    peak = read_peak_memory()
    if isinstance(result, np.ndarray):
        if values.output:
            np.save(values.output, result)
        result = retrieval.evaluate_distances(result, **people)
    figures = {"seconds": seconds, "peak_mb": peak, "mean_ap": result.mean_ap}
    print(json.dumps(figures))


def draw(
    num_queries: int, num_gallery: int, width: int, seed: int
) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """Return features of queries and gallery, and their ids and cameras."""
    random = np.random.default_rng(seed)
    centres = random.standard_normal((PERSONS + 1, width), np.float32)
    good = min(num_gallery, GOOD_IMAGES)
    people = {
        "query_ids": np.sort(random.integers(1, PERSONS + 1, num_queries)),
        "gallery_ids": np.concatenate(
            [
                np.zeros(num_gallery - good, np.int64),
                np.sort(random.integers(1, PERSONS + 1, good)),
            ]
        ),
        "query_cameras": random.integers(1, CAMERAS + 1, num_queries),
        "gallery_cameras": random.integers(1, CAMERAS + 1, num_gallery),
    }
    query, gallery = (
        draw_around(centres, people[name], random) for name in ("query_ids", "gallery_ids")
    )
    return query, gallery, people


def draw_around(centres: np.ndarray, ids: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return a row near the centre of each id; distractors, 0, have a centre each."""
    features = np.empty((len(ids), centres.shape[1]), np.float32)
    for start in range(0, len(ids), CHUNK_ROWS):
        chunk = ids[start : start + CHUNK_ROWS]
        own, noise = random.standard_normal((2, len(chunk), centres.shape[1]), np.float32)
        own[chunk > 0] = centres[chunk[chunk > 0]]
        features[start : start + CHUNK_ROWS] = own + NOISE * noise
    return features


def rerank_densely(
    query: np.ndarray,
    gallery: np.ndarray,
    *,
    k1: int = 20,
    k2: int = 6,
    lambda_value: float = 0.3,
    dtype: type = np.float32,
) -> np.ndarray:
    """Do what `daaf_tf.retrieval.rerank` does, as the paper's own program does it, in dense arrays.

    All distances between all points are held, all rankings, and V whole (of which most is 0), and
    every point is worked on by itself. In float32 as in common use; in float64 it is the measure of
    exactness.

    Returns:
      [Q, G] of `dtype`.
    """
    points = np.concatenate([query, gallery]).astype(dtype)
    original = compute_squares(points)
    original = (original / original.max(axis=0)).T
    rankings = np.argsort(original, axis=1, kind=SORTS[dtype]).astype(np.int32)
    encoding = np.zeros_like(original)
    for point in range(len(points)):
        near = find_reciprocal(rankings, point, k1)
        members = near
        for candidate in near:
            offered = find_reciprocal(rankings, candidate, int(np.around(k1 / 2)))
            if len(np.intersect1d(offered, near)) > 2 / 3 * len(offered):
                members = np.append(members, offered)
        members = np.unique(members)
        weights = np.exp(-original[point, members])
        encoding[point, members] = weights / weights.sum()
    original = original[: len(query)].copy()
    if k2 > 1:
        encoding = np.stack([encoding[row[:k2]].mean(axis=0) for row in rankings])
    owners = [np.flatnonzero(column) for column in encoding.T]
    jaccard = np.empty_like(original)
    for number in range(len(query)):
        shared = np.zeros(len(points), dtype)
        for member in np.flatnonzero(encoding[number]):
            others = owners[member]
            shared[others] += np.minimum(encoding[number, member], encoding[others, member])
        jaccard[number] = 1 - shared / (2 - shared)
    return ((1 - lambda_value) * jaccard + lambda_value * original)[:, len(query) :]


# The quick sort of common use leaves the order of equal distances open.
SORTS = {np.float32: "quicksort", np.float64: "stable"}


def compute_squares(points: np.ndarray) -> np.ndarray:
    """Return the squared distances of all points to all, [N, N]."""
    norms = np.einsum("nd,nd->n", points, points)
    squares = norms[:, None] + norms - 2 * points @ points.T
    return np.maximum(squares, 0, out=squares)


def find_reciprocal(rankings: np.ndarray, point: int, k: int) -> np.ndarray:
    """Return those of the k + 1 nearest of a point that have it among their k + 1 nearest."""
    forward = rankings[point, : k + 1]
    return forward[(rankings[forward, : k + 1] == point).any(axis=1)]


def score_blocks(query: np.ndarray, gallery: np.ndarray, people: dict[str, np.ndarray]):
    """Score a re-ranking of which no more than a block is held."""
    return retrieval.evaluate_blocks(retrieval.rerank_blocks(query, gallery), **people)


CASES = {
    "features": lambda query, gallery, people: retrieval.evaluate(query, gallery, **people),
    "rerank": lambda query, gallery, _: retrieval.rerank(query, gallery),
    "rerank_blocks": score_blocks,
    "dense": lambda query, gallery, _: rerank_densely(query, gallery),
    "dense_exact": lambda query, gallery, _: rerank_densely(query, gallery, dtype=np.float64),
}

if __name__ == "__main__":
    flags.DEFINE_enum("case", None, ("distances", *CASES), "What is measured.")
    flags.DEFINE_integer("queries", 3368, "Query images.")
    flags.DEFINE_integer("gallery", 15913, "Gallery images.")
    flags.DEFINE_integer("width", 512, "Features of an image.")
    flags.DEFINE_integer("seed", 1, "Of the drawn features.")
    flags.DEFINE_string("output", "", "File for re-ranked distances, in numpy's format.")
    flags.mark_flags_as_required(["case"])
    flags.run(main)
