"""Embedded images, with what the protocol needs to know of them."""

from __future__ import annotations

import dataclasses

import numpy as np

from daaf_tf.retrieval.metrics import evaluate
from daaf_tf.retrieval.scoring import RetrievalResult


@dataclasses.dataclass(frozen=True)
class Features:
    """The embedded images of one split, in order: N images.

    Attributes:
      features: [N, D] float32.
      person_ids: [N] int64, the file's own ids (-1 junk, 0 distractor).
      camera_ids: [N] int64, below 0 where the camera is not known.
      filenames: [N] str.
    """

    features: np.ndarray
    person_ids: np.ndarray
    camera_ids: np.ndarray
    filenames: np.ndarray


def rank_features(query: Features, gallery: Features, *, metric: str) -> RetrievalResult:
    """Rank the gallery for each query by the Market-1501 protocol; see `metrics.evaluate`."""
    return evaluate(
        query.features,
        gallery.features,
        query_ids=query.person_ids,
        gallery_ids=gallery.person_ids,
        query_cameras=query.camera_ids,
        gallery_cameras=gallery.camera_ids,
        metric=metric,
    )
