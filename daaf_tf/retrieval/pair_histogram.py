"""How far the same and different people lie apart, over all pairs, in bounded memory."""

from __future__ import annotations

import math

import numpy as np

from daaf_tf.errors import UserError
from daaf_tf.retrieval.matches import Matches

NUM_BINS = 1024


class PairHistogram:
    """Counts of the distances between queries and the gallery images that count for them.

    Pairs that the protocol ignores are left out. The width of a bin is the least power of two with
    which the largest distance so far fits, junk apart: so bins that have been counted can be merged
    exactly, and the result depends neither on the order of the queries nor on how many come at a
    time.

    Attributes:
      width: of a bin; bin number b holds distances from b * width to (b + 1) * width.
      same: [NUM_BINS] int64, pairs of images of the same person, by different cameras.
      different: [NUM_BINS] int64, pairs of different people.
    """

    def __init__(self, matches: Matches):
        """Start with nothing counted; `matches` as `match_queries` found them."""
        self.same = np.zeros(NUM_BINS, np.int64)
        self.different = np.zeros(NUM_BINS, np.int64)
        self._exponent = -1000  # less than that of any float32
        self._matches = matches

    @property
    def width(self) -> float:
        """Return the width of a bin."""
        return math.ldexp(1.0, self._exponent)

    def add(self, query: int, distances: np.ndarray) -> None:
        """Count the distances of a query to all gallery images.

        Args:
          query: its number.
          distances: [G] finite numbers, 0 or more.

        Raises:
          UserError: another distance.
        """
        kept = distances[self._matches.kept].astype(np.float64)
        if not len(kept):
            return
        least, largest = float(kept.min()), float(kept.max())
        if not 0.0 <= least <= largest < math.inf:  # true for NaN
            raise UserError(
                f"distances: expected finite numbers of 0 or more; those of query {query} are from "
                f"{least:g} to {largest:g}"
            )
        self._make_room(largest)
        bins = (kept / self.width).astype(np.int64)
        same = _count(bins[self._matches.positives[query]])
        ignored = _count(bins[self._matches.own_camera[query]])
        self.same += same
        self.different += _count(bins) - same - ignored

    def _make_room(self, largest: float) -> None:
        """Widen the bins until the largest distance fits."""
        _, exponent = math.frexp(largest / NUM_BINS)
        growth = exponent - self._exponent
        if largest and growth > 0:
            merged = np.arange(NUM_BINS) >> min(growth, NUM_BINS.bit_length())
            for name in ("same", "different"):
                counts = getattr(self, name)
                widened = np.zeros_like(counts)
                np.add.at(widened, merged, counts)
                setattr(self, name, widened)
            self._exponent = exponent


def _count(bins: np.ndarray) -> np.ndarray:
    return np.bincount(bins, minlength=NUM_BINS)
