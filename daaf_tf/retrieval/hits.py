"""What a ranking puts first for one query, and what each of these images is to it."""

from __future__ import annotations

import dataclasses

import numpy as np

from daaf_tf.retrieval.matches import is_ignored

SAME, OTHER, IGNORED = "same person", "another person", "ignored by the protocol"


@dataclasses.dataclass(frozen=True)
class Hit:
    """A gallery image in the results of a query.

    Attributes:
      index: of the image in the gallery.
      distance: from the query.
      verdict: SAME, OTHER or IGNORED.
      rank: from 1; 0 for an ignored image, which has none.
    """

    index: int
    distance: float
    verdict: str
    rank: int


def find_hits(
    distances: np.ndarray,
    *,
    query_id: int,
    gallery_ids: np.ndarray,
    query_camera: int,
    gallery_cameras: np.ndarray,
    length: int = 10,
) -> list[Hit]:
    """Return the nearest images of one query, nearest first; equal distances in gallery order.

    Args:
      distances: [G] of the query to every gallery image.
      query_id: person id of the query.
      gallery_ids: [G] integers, below 0 for junk.
      query_camera: camera of the query; below 0: not known.
      gallery_cameras: [G] integers.
      length: images to return, ignored ones included.
    """
    ignored = is_ignored(
        query_id=query_id,
        gallery_ids=gallery_ids,
        query_camera=query_camera,
        gallery_cameras=gallery_cameras,
    )
    hits, rank = [], 0
    for index in np.argsort(distances, kind="stable")[:length].tolist():
        verdict = SAME if gallery_ids[index] == query_id else OTHER
        if ignored[index]:
            verdict = IGNORED
        rank += verdict != IGNORED
        place = 0 if verdict == IGNORED else rank
        hits.append(Hit(index, float(distances[index]), verdict, place))
    return hits
