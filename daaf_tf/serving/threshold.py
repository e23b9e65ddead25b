"""The distance up to which two images count as one person, at a chosen rate of errors.

All pairs of a set of images with known persons are compared. The threshold is the largest one that
accepts no more than the chosen share of the pairs of different persons. That is a rate for each
comparison: a stranger is compared with every image of a gallery, and the more there are, the
likelier one of them accepts him. So the rates of whole queries are measured beside it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from daaf_tf.errors import UserError
from daaf_tf.retrieval.blocks import make_blocks
from daaf_tf.retrieval.distances import check_rows, compute_checked_distances

# With fewer errors to count, a rate is known no better than within 30 % nine times out of ten
# (G. Doddington's rule of 30).
LEAST_FALSE_ACCEPTS = 30

_BLOCK_ROWS = 256


@dataclasses.dataclass(frozen=True)
class Calibration:
    """A threshold and what was measured with it.

    Attributes:
      threshold: the largest distance at which a pair is accepted as one person.
      false_accept_rate: the share of pairs of different persons that was allowed.
      negative_pairs: pairs of different persons.
      false_accepts: of those, the accepted ones.
      positive_pairs: pairs of images of one person by different cameras, or unknown ones.
      true_accept_rate: share of those that is accepted.
      images: compared with each other.
      persons: on them.
      stranger_accept_rate: share of images that would be taken for somebody else if all others were
        the gallery, less the image's own person: the rate of false alarms for each query, at this
        size of a gallery.
      identification_rate: share of images with a positive pair whose nearest image, those of its
        person by its own camera left out, is of its person and accepted.
    """

    threshold: float
    false_accept_rate: float
    negative_pairs: int
    false_accepts: int
    positive_pairs: int
    true_accept_rate: float
    images: int
    persons: int
    stranger_accept_rate: float
    identification_rate: float


def calibrate(
    features: np.ndarray,
    *,
    person_ids: Sequence[int],
    camera_ids: Sequence[int],
    metric: str,
    false_accept_rate: float,
) -> Calibration:
    """Find the threshold for a false-accept rate.

    Args:
      features: [N, D], of images and persons that the network was not trained on.
      person_ids: [N].
      camera_ids: [N], below 0 where the camera is not known.
      metric: of `retrieval.METRICS`.
      false_accept_rate: between 0 and 1, for each pair of different persons.

    Raises:
      UserError: a rate that is none, or smaller than so many pairs can support; no pair of one
        person; or persons that cannot be told apart at this rate.
    """
    persons, cameras = np.asarray(person_ids, np.int64), np.asarray(camera_ids, np.int64)
    negatives = _count_negatives(persons)
    allowed = _count_allowed(false_accept_rate, negatives)
    pairs = _Pairs(persons, cameras, allowed + 1)
    features = check_rows("features", features, metric)
    for rows in make_blocks(len(features), _BLOCK_ROWS):
        block = features[rows]
        distances = compute_checked_distances(block, features[rows.start :], metric=metric)
        pairs.add(rows.start, distances)
    threshold = _find_threshold(pairs.smallest, allowed)
    positives = np.concatenate(pairs.positives)
    if not len(positives):
        raise UserError(
            "no two images of one person by different cameras: expected some, to tell how many of "
            "them the threshold accepts"
        )
    found = np.isfinite(pairs.nearest_own)
    right = (pairs.nearest_own < pairs.nearest_other) & (pairs.nearest_own <= threshold)
    return Calibration(
        threshold=float(threshold),
        false_accept_rate=false_accept_rate,
        negative_pairs=negatives,
        false_accepts=int((pairs.smallest <= threshold).sum()),
        positive_pairs=len(positives),
        true_accept_rate=float(np.mean(positives <= threshold)),
        images=len(persons),
        persons=len(np.unique(persons)),
        stranger_accept_rate=float(np.mean(pairs.nearest_other <= threshold)),
        identification_rate=float(np.mean(right[found])),
    )


class _Pairs:
    """Collects the distances of pairs, each pair once.

    Attributes:
      smallest: the smallest distances of pairs of different persons, `count` of them or more.
      positives: distances of pairs of one person by different cameras, in parts.
      nearest_own: [N], the smallest of those of each image; infinite: it has none.
      nearest_other: [N], the smallest distance of each image to another person.
    """

    def __init__(self, persons: np.ndarray, cameras: np.ndarray, count: int):
        self._persons, self._cameras, self._count = persons, cameras, count
        self.smallest = np.empty(0, np.float32)
        self.positives: list[np.ndarray] = []
        self.nearest_own = np.full(len(persons), np.inf, np.float32)
        self.nearest_other = np.full(len(persons), np.inf, np.float32)

    def add(self, start: int, distances: np.ndarray) -> None:
        """Take the distances of the rows from `start` on to all rows from `start` on."""
        rows, columns = slice(start, start + len(distances)), slice(start, None)
        later = np.arange(distances.shape[1]) > np.arange(len(distances))[:, None]
        same_person = self._persons[rows, None] == self._persons[columns]
        camera, others = self._cameras[rows, None], self._cameras[columns]
        same_camera = (camera == others) & (others >= 0)
        own, other = later & same_person & ~same_camera, later & ~same_person
        _lower(self.nearest_own, rows, columns, np.where(own, distances, np.inf))
        _lower(self.nearest_other, rows, columns, np.where(other, distances, np.inf))
        self.positives.append(distances[own])
        self.smallest = np.concatenate([self.smallest, distances[other]])
        if len(self.smallest) > self._count:
            kept = np.partition(self.smallest, self._count - 1)
            self.smallest = kept[: self._count].copy()


def _find_threshold(smallest: np.ndarray, allowed: int) -> np.float32:
    """Return the largest threshold that accepts no more than `allowed` of some distances."""
    refused = np.partition(smallest, allowed)[allowed]
    if refused <= 0:
        raise UserError(
            f"{allowed + 1:,} pairs of different persons or more have equal embeddings: no "
            "threshold accepts as few of them as was asked for"
        )
    # The largest number below the first distance that must not be accepted.
    return np.nextafter(refused, np.float32(0.0))


def _lower(nearest: np.ndarray, rows: slice, columns: slice, distances: np.ndarray) -> None:
    """Lower the smallest distances of both images of each pair."""
    nearest[rows] = np.minimum(nearest[rows], distances.min(axis=1))
    nearest[columns] = np.minimum(nearest[columns], distances.min(axis=0))


def _count_negatives(persons: np.ndarray) -> int:
    """Return how many pairs of images show different persons."""
    images = np.unique(persons, return_counts=True)[1]
    return (len(persons) ** 2 - int((images**2).sum())) // 2


def _count_allowed(rate: float, negatives: int) -> int:
    """Return how many pairs of different persons may be accepted."""
    if not 0.0 < rate < 1.0:
        raise UserError(f"--false_accept_rate={rate}: expected a number between 0 and 1")
    if rate * negatives < LEAST_FALSE_ACCEPTS:
        least = f"down to {LEAST_FALSE_ACCEPTS / negatives:.1e}" if negatives else "of no size"
        raise UserError(
            f"--false_accept_rate={rate:g}: {negatives:,} pairs of different persons support "
            f"rates {least} (that is {LEAST_FALSE_ACCEPTS} errors to count); give more images or "
            "a larger rate"
        )
    return int(rate * negatives)
