"""What is taken from the distances, in one pass: they are never whole in memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np

from daaf_tf.retrieval import (
    CameraPairs,
    Features,
    Hit,
    RetrievalResult,
    find_hits,
    score_camera_pairs,
)
from daaf_tf.retrieval.blocks import make_blocks
from daaf_tf.retrieval.matches import match_queries
from daaf_tf.retrieval.pair_histogram import PairHistogram

# Distances that are asked for at a time: 128 MB of them.
_BLOCK_NUMBERS = 2**25
_BLOCK_QUERIES = 512

# Queries that are shown: the worst first, some of the best, and some of the others.
NUM_WORST, NUM_BEST, NUM_RANDOM = 12, 4, 8
NUM_HITS = 10
_SEED = 0


@dataclasses.dataclass(frozen=True)
class Shown:
    """The queries whose results are shown, by number.

    Attributes:
      worst: those of the lowest AP, lowest first.
      best: those of the highest AP among the rest, highest first.
      random: drawn from the rest, ascending.
      unmatched: all queries without a match, ascending; not among the others.
    """

    worst: list[int]
    best: list[int]
    random: list[int]
    unmatched: list[int]


@dataclasses.dataclass(frozen=True)
class Survey:
    """What a report shows of the distances.

    Attributes:
      pairs: distances of same and of different people.
      cameras: mAP between cameras.
      hits: {number of a query that is shown: its results}.
    """

    pairs: PairHistogram
    cameras: CameraPairs
    hits: dict[int, list[Hit]]


def choose_queries(average_precision: np.ndarray) -> Shown:
    """Choose the queries to show; equal APs in the order of the queries.

    Args:
      average_precision: [Q], NaN for a query without a match.
    """
    matched = np.flatnonzero(~np.isnan(average_precision))
    order = matched[np.argsort(average_precision[matched], kind="stable")]
    worst, rest = order[:NUM_WORST], order[NUM_WORST:]
    best, rest = rest[::-1][:NUM_BEST], rest[: max(0, len(rest) - NUM_BEST)]
    count = min(NUM_RANDOM, len(rest))
    random = np.sort(np.random.default_rng(_SEED).choice(rest, count, replace=False))
    unmatched = np.flatnonzero(np.isnan(average_precision))
    return Shown(worst.tolist(), best.tolist(), random.tolist(), unmatched.tolist())


def survey_distances(
    query: Features,
    gallery: Features,
    result: RetrievalResult,
    shown: Shown,
    compute_distances: Callable[[np.ndarray], np.ndarray],
) -> Survey:
    """Ask for the distances of all queries, in order and each once, and take what is shown.

    Raises:
      UserError: distances of another shape, or that are not finite and 0 or more.
    """
    people = {
        "query_ids": query.person_ids,
        "gallery_ids": gallery.person_ids,
        "query_cameras": query.camera_ids,
        "gallery_cameras": gallery.camera_ids,
    }
    matches = match_queries(
        **people, num_queries=result.num_queries, num_gallery=len(gallery.person_ids)
    )
    pairs, hits = PairHistogram(matches), {}
    wanted = {*shown.worst, *shown.best, *shown.random}

    def pass_by() -> Iterator[np.ndarray]:
        rows = min(_BLOCK_QUERIES, max(1, _BLOCK_NUMBERS // matches.num_gallery))
        for some in make_blocks(result.num_queries, rows):
            block = compute_distances(np.arange(some.start, some.stop))
            yield block  # is checked, and scored by camera, before it is looked at here
            for number, distances in enumerate(block, start=some.start):
                pairs.add(number, distances)
                if number in wanted:
                    hits[number] = find_hits(
                        distances,
                        query_id=query.person_ids[number],
                        gallery_ids=gallery.person_ids,
                        query_camera=query.camera_ids[number],
                        gallery_cameras=gallery.camera_ids,
                        length=NUM_HITS,
                    )
            block = distances = None  # freed before the next one is made

    cameras = score_camera_pairs(pass_by(), **people)
    return Survey(pairs, cameras, hits)
