"""What a report is made of, beside features and scores."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from daaf_tf.errors import UserError
from daaf_tf.retrieval import Features, RetrievalResult

# Returns an image as uint8 RGB [H, W, 3], from its split (of schema.SPLITS) and its number in it.
ReadImage = Callable[[str, int], np.ndarray]


@dataclasses.dataclass(frozen=True)
class Figure:
    """A figure and the convention that it is to be read by.

    Attributes:
      name: e.g. "mAP".
      value: as it is to be read, e.g. "85.87 %".
      convention: how it was computed, e.g. "rectangle rule, single query".
    """

    name: str
    value: str
    convention: str


@dataclasses.dataclass(frozen=True)
class AttentionSample:
    """An image, what the attention branches predict on it, and the truth where it is known.

    Attributes:
      image: uint8 [H, W, 3], what the network saw.
      mask: [h, w, 1] float in 0..1, predicted; None without the branch.
      keypoints: [h, w, 17] float in 0..1, predicted maps; None without the branch.
      true_mask: [h, w, 1] float or bool; None where it is not known.
      true_joints: [17, 3] float, x and y in 0..1 of width and height, and visibility; or None.
      caption: a line of text.
    """

    image: np.ndarray
    mask: np.ndarray | None = None
    keypoints: np.ndarray | None = None
    true_mask: np.ndarray | None = None
    true_joints: np.ndarray | None = None
    caption: str = ""


@dataclasses.dataclass(frozen=True)
class Contents:
    """Everything that a report shows; see `write_report`."""

    title: str
    facts: Mapping[str, str]
    figures: Sequence[Figure]
    query: Features
    gallery: Features
    result: RetrievalResult
    read_image: ReadImage | None
    attention: Sequence[AttentionSample]


def check_features(query: Features, gallery: Features, result: RetrievalResult) -> None:
    """Refuse features, ids or names of different numbers, and the scores of other queries.

    Raises:
      UserError: such ones.
    """
    for name, features in (("query", query), ("gallery", gallery)):
        counts = [len(getattr(features, field.name)) for field in dataclasses.fields(features)]
        if len(set(counts)) > 1:
            raise UserError(
                f"{name}: expected as many features as person ids, camera ids and file names; "
                f"received {', '.join(map(str, counts))}"
            )
    if result.num_queries != len(query.person_ids):
        raise UserError(
            f"result: expected the scores of {len(query.person_ids)} queries, received "
            f"{result.num_queries}"
        )
