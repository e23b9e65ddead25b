"""Figures of rankings, from rows of distances.

Only the positives of a query are ever sorted: the rank of one is the number of images that lie
ahead of it, which is counted. Equal distances keep the order of the gallery.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import numpy as np

from daaf_tf.retrieval.checks import check_whole_number
from daaf_tf.retrieval.matches import Matches

NUM_RANKS = 50
SHOWN_RANKS = (1, 5, 10, 20)


@dataclasses.dataclass(frozen=True)
class RetrievalResult:
    """What a ranking is worth; all figures are shares in 0..1.

    Attributes:
      cmc: [50] float64, share of queries with a match at rank 1, 2, .. or before: `cmc[0]` is
        rank-1, `cmc[9]` is rank-10. Under CUHK03's single-gallery-shot protocol, its mean over the
        draws.
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

    def summarize(self) -> dict[str, float]:
        """Return the figures that are printed and logged, in percent, by their usual names."""
        figures = {
            "mAP": self.mean_ap,
            "mAP_trapezoid": self.mean_ap_trapezoid,
            "mINP": self.mean_inp,
            **{f"rank{k}": self.cmc[k - 1] for k in SHOWN_RANKS},
        }
        return {name: round(100 * float(value), 4) for name, value in figures.items()}


@dataclasses.dataclass(frozen=True)
class SingleShot:
    """CUHK03's single-gallery-shot protocol: CMC of galleries with one image of each person.

    For each query, and `repeats` times, one image of every person id in its gallery is drawn
    (ignored images are left out before), and the drawn images are ranked; CMC is the mean over the
    draws. AP is that of the whole gallery. So do torchreid's `eval_cuhk03` (10 repeats) and, for
    CMC, open-reid's `cmc(single_gallery_shot=True)`, after W. Li, R. Zhao, T. Xiao, X. Wang:
    DeepReID, CVPR 2014. Distractors, where there are any, share one person id and so one draw.

    The draws of query number q (from 0) depend on `seed` and q alone: row r of
    `np.random.default_rng([seed, q]).random((repeats, persons))` has a number u for each person id
    that is in the gallery and is no junk, ascending; image `floor(u * n)` of its n images is drawn.
    """

    repeats: int = 10
    seed: int = 0

    def __post_init__(self):
        check_whole_number("SingleShot repeats", self.repeats, 1)
        check_whole_number("SingleShot seed", self.seed, 0)


def score(
    blocks: Iterable[np.ndarray], matches: Matches, single_shot: SingleShot | None
) -> RetrievalResult:
    """Score rankings by blocks of distances [queries, kept gallery images], in order."""
    ranks, shots = [], []
    for block in blocks:
        for row in block:
            query = len(ranks)
            positives = matches.positives[query]
            ranks.append(compute_ranks(row, positives, matches.own_camera[query]))
            if single_shot and len(positives):
                shots.append(_draw_ranks(row, matches, query, single_shot))
        block = row = None  # freed before the next block is made, else there would be two
    result = _summarize(ranks)
    if single_shot:
        return dataclasses.replace(result, cmc=_compute_cmc(np.concatenate(shots)))
    return result


def compute_ranks(row: np.ndarray, positives: np.ndarray, own_camera: np.ndarray) -> np.ndarray:
    """Return the ranks of the positives in a row of distances, from 1, ascending.

    Args:
      row: [columns] distances.
      positives: columns of the query's person.
      own_camera: columns that are not ranked.
    """
    if len(own_camera):
        row = row.astype(np.result_type(row, np.float32))  # a copy that can hold infinity
        row[own_camera] = np.inf
    ahead = [
        np.count_nonzero(row[:column] <= distance) + np.count_nonzero(row[column:] < distance)
        for column, distance in zip(positives.tolist(), row[positives])
    ]
    return np.sort(np.array(ahead, np.int64)) + 1


def _draw_ranks(row: np.ndarray, matches: Matches, query: int, single_shot: SingleShot):
    """Return the rank of the query's person in each draw, [repeats] int64, from 1."""
    positives, own = matches.positives[query], matches.own_person[query]
    counts = np.diff(matches.starts, append=len(matches.by_id))
    generator = np.random.default_rng([single_shot.seed, query])
    draws = generator.random((single_shot.repeats, len(counts)))
    columns = matches.by_id[matches.starts + (draws * counts).astype(np.int64)]
    columns[:, own] = positives[(draws[:, own] * len(positives)).astype(np.int64)]
    match = columns[:, own, None]
    distances, limit = row[columns], row[match]
    ahead = (distances < limit) | ((distances == limit) & (columns < match))
    return ahead.sum(axis=1) + 1


def _compute_cmc(first: np.ndarray) -> np.ndarray:
    return (first[:, None] <= np.arange(1, NUM_RANKS + 1)).mean(axis=0)


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
        cmc=_compute_cmc(n[starts]),
        mean_ap=float(average_precision[matched].mean()),
        mean_ap_trapezoid=float(trapezoid.mean()),
        mean_inp=float((counts / n[ends - 1]).mean()),
        num_queries=len(ranks),
        queries_without_match=int((~matched).sum()),
        average_precision=average_precision,
        first_match=first_match,
    )
