"""A data set on its way through an evaluation: embedded, then ranked."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Callable

import numpy as np

from daaf_tf import schema
from daaf_tf.report import ReadImage
from daaf_tf.retrieval import Features, FeatureSet, RetrievalResult


@dataclasses.dataclass(frozen=True)
class EmbeddedSet:
    """The images of a data set, embedded.

    Attributes:
      name: what the user calls it: a folder of records, `market1501 in D`, a feature file.
      embedded: the features of query, gallery and, where it is used, multi_query; and which model
        they belong to.
      read_image: see ReadImage; the index is the one in the features. It raises a UserError where
        the image is not there any more. None: nobody knows where the images are.
      skipped: how many images of a folder could not be used.
      measured: what else the model was measured at on this set, by name; see
        `training.evaluation.measure_attention`.
    """

    name: str
    embedded: FeatureSet
    read_image: ReadImage | None
    skipped: int
    measured: Mapping[str, float]

    @property
    def query(self) -> Features:
        """The queries as they were embedded, Q images."""
        return self.embedded.splits[schema.QUERY]

    @property
    def gallery(self) -> Features:
        """The gallery as it was embedded, G images."""
        return self.embedded.splits[schema.GALLERY]


@dataclasses.dataclass(frozen=True)
class EvaluatedSet(EmbeddedSet):
    """A data set that was ranked; further attributes are those of `EmbeddedSet`.

    Attributes:
      result: what the ranking is worth.
      compute_distances: from [n] indices of queries to [n, G] float32, the distances that were
        ranked: of averaged or expanded queries, re-ranked, if those were asked for. What they hang
        on is computed already; ask for some hundred queries at a time.
    """

    result: RetrievalResult
    compute_distances: Callable[[np.ndarray], np.ndarray]
