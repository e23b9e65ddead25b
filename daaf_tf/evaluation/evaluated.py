"""A data set on its way through an evaluation: embedded, then ranked."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Callable

import numpy as np

from daaf_tf.retrieval import Features, RetrievalResult

# The image at an index of a split (of schema.SPLITS), as uint8 RGB [H, W, 3].
ReadImage = Callable[[str, int], np.ndarray]


@dataclasses.dataclass(frozen=True)
class EmbeddedSet:
    """The images of a data set, embedded.

    Attributes:
      name: what the user calls it: a folder of records, `market1501 in D`, a feature file.
      features: {split: its embedded images}: query, gallery, and multi_query where it is used.
      read_image: see ReadImage; the index is the one in `features`. It raises a UserError where the
        image is not there any more. None: nobody knows where the images are.
      skipped: how many images of a folder could not be used.
      measured: what else the model was measured at on this set, by name; see
        `training.evaluation.measure_attention`.
    """

    name: str
    features: Mapping[str, Features]
    read_image: ReadImage | None = None
    skipped: int = 0
    measured: Mapping[str, float] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class EvaluatedSet:
    """A data set that was ranked.

    Attributes:
      name: as of `EmbeddedSet`.
      query: the queries, Q images, as they were embedded.
      gallery: the gallery, G images.
      result: what the ranking is worth.
      compute_distances: from [n] indices of queries to [n, G] float32, the distances that were
        ranked: re-ranked, of expanded or averaged queries, if those were asked for. It holds
        whatever it takes to be fast; call it with some hundred queries at a time.
      read_image: as of `EmbeddedSet`.
      skipped: as of `EmbeddedSet`.
      measured: as of `EmbeddedSet`.
    """

    name: str
    query: Features
    gallery: Features
    result: RetrievalResult
    compute_distances: Callable[[np.ndarray], np.ndarray]
    read_image: ReadImage | None = None
    skipped: int = 0
    measured: Mapping[str, float] = dataclasses.field(default_factory=dict)
