"""mAP between cameras: which pairs of views a model has difficulties with."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import numpy as np

from daaf_tf.retrieval.matches import Matches, match_queries
from daaf_tf.retrieval.metrics import check_blocks
from daaf_tf.retrieval.scoring import compute_ranks

# Stands for all cameras below 0, which are not known.
UNKNOWN_CAMERA = -1


@dataclasses.dataclass(frozen=True)
class CameraPairs:
    """mAP of every pair of a query camera and a gallery camera.

    The AP of a query for a gallery camera is that of ranking the images of this camera alone, by
    the rectangle rule and with the protocol's ignored images left out; the mean is over the queries
    of the query camera that have a match there. Within one known camera nothing is left to match.

    Attributes:
      query_cameras: [R] int64, ascending; UNKNOWN_CAMERA for all that are not known.
      gallery_cameras: [C] int64, likewise, of the images that are no junk.
      mean_ap: [R, C] float64 in 0..1; NaN where no query has a match.
      num_queries: [R, C] int64, the queries that each is the mean of.
    """

    query_cameras: np.ndarray
    gallery_cameras: np.ndarray
    mean_ap: np.ndarray
    num_queries: np.ndarray


def score_camera_pairs(
    blocks: Iterable[np.ndarray],
    *,
    query_ids: np.ndarray,
    gallery_ids: np.ndarray,
    query_cameras: np.ndarray,
    gallery_cameras: np.ndarray,
) -> CameraPairs:
    """Score the rankings of each gallery camera's images for each query camera.

    >>> ids = {"query_ids": [1], "gallery_ids": [5, 1, 1]}
    >>> cameras = {"query_cameras": [1], "gallery_cameras": [2, 2, 3]}
    >>> score_camera_pairs(([[0.2, 0.7, 0.9]],), **ids, **cameras).mean_ap
    array([[0.5, 1. ]])

    Args:
      blocks: of the rows of all queries' distances, in order, each [some, G] numbers.
      query_ids: [Q] integers, as in `evaluate`.
      gallery_ids: [G] integers, as in `evaluate`.
      query_cameras: [Q] integers, as in `evaluate`.
      gallery_cameras: [G] integers, as in `evaluate`.

    Returns:
      CameraPairs.

    Raises:
      UserError: as `evaluate_blocks`.
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
    rows, row = _number_cameras(np.asarray(query_cameras))
    segments = _Segments(np.asarray(gallery_cameras), matches)
    sums = np.zeros((len(rows), len(segments.cameras)))
    counts = np.zeros(sums.shape, np.int64)
    query = 0
    for block in check_blocks(blocks, num_queries, matches):
        for distances in block:
            for column, average_precision in segments.score(distances, matches.positives[query]):
                sums[row[query], column] += average_precision
                counts[row[query], column] += 1
            query += 1
        block = distances = None  # freed before the next one is made
    mean_ap = np.where(counts, sums / np.maximum(counts, 1), np.nan)
    return CameraPairs(rows, segments.cameras, mean_ap, counts)


class _Segments:
    """The kept gallery images camera by camera, in gallery order within each."""

    def __init__(self, gallery_cameras: np.ndarray, matches: Matches):
        self.cameras, self._camera = _number_cameras(gallery_cameras[matches.kept])
        self._order = np.argsort(self._camera, kind="stable")
        self._place = np.argsort(self._order)
        self._ends = np.cumsum(np.bincount(self._camera))

    def score(self, distances: np.ndarray, positives: np.ndarray) -> list[tuple[int, float]]:
        """Return (camera's number, AP) for the cameras that have one of the positives."""
        distances, cameras = distances[self._order], self._camera[positives]
        scores = []
        for camera in np.unique(cameras).tolist():
            start = self._ends[camera - 1] if camera else 0
            local = self._place[positives[cameras == camera]] - start
            # What is ignored for being of the query's camera is where there are no positives.
            nobody = np.empty(0, np.int64)
            ranks = compute_ranks(distances[start : self._ends[camera]], local, nobody)
            scores.append((camera, float(np.mean(np.arange(1, len(ranks) + 1) / ranks))))
        return scores


def _number_cameras(cameras: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the cameras that there are, and for each image which of them is its own."""
    known = np.maximum(cameras.astype(np.int64), UNKNOWN_CAMERA)
    return np.unique(known, return_inverse=True)
