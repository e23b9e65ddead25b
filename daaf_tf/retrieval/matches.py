"""Who matches whom, apart from any distance: the rules of the Market-1501 protocol.

For each query, gallery images of junk (person id below 0) and those of the query's own person by
the query's own camera are ignored; everything else counts. Distractors are negatives simply because
no query has their id.

A camera number below 0 says that the camera of an image is not known. Such an image is the only
one of its camera, whatever the number: it is never ignored for being of the query's camera.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from daaf_tf.errors import UserError
from daaf_tf.retrieval.checks import check_integers


@dataclasses.dataclass(frozen=True)
class Matches:
    """Who is who among Q queries and those gallery images that are no junk.

    Columns number the kept images only, in the order of the gallery.

    Attributes:
      num_gallery: gallery images, junk included.
      kept: indices of the gallery images that are not junk.
      positives: for each query, columns of its person by other cameras, ascending.
      own_camera: for each query, columns of its person by its own camera, ascending.
      by_id: the columns by person id, and ascending for each.
      starts: for each person id, where its columns start in `by_id`.
      own_person: for each query with a positive, which of the person ids is its own.
    """

    num_gallery: int
    kept: np.ndarray
    positives: list[np.ndarray]
    own_camera: list[np.ndarray]
    by_id: np.ndarray
    starts: np.ndarray
    own_person: np.ndarray


def match_queries(
    *,
    query_ids: np.ndarray,
    gallery_ids: np.ndarray,
    query_cameras: np.ndarray,
    gallery_cameras: np.ndarray,
    num_queries: int,
    num_gallery: int,
) -> Matches:
    """Find the matches of every query.

    Raises:
      UserError: ids or cameras of another length or type, or no query that has a match.
    """
    query_ids = check_integers("query_ids", query_ids, num_queries)
    query_cameras = check_integers("query_cameras", query_cameras, num_queries)
    gallery_ids = check_integers("gallery_ids", gallery_ids, num_gallery)
    gallery_cameras = check_integers("gallery_cameras", gallery_cameras, num_gallery)
    kept = np.flatnonzero(gallery_ids >= 0)
    ids, cameras = gallery_ids[kept], gallery_cameras[kept]
    by_id = np.argsort(ids, kind="stable")
    persons, starts = np.unique(ids[by_id], return_index=True)
    first = np.searchsorted(ids[by_id], query_ids, side="left")
    last = np.searchsorted(ids[by_id], query_ids, side="right")
    positives, own_camera = [], []
    for start, stop, camera in zip(first, last, query_cameras):
        same_id = by_id[start:stop]
        same_camera = is_own_camera(camera, cameras[same_id])
        positives.append(same_id[~same_camera])
        own_camera.append(same_id[same_camera])
    if not any(map(len, positives)):
        raise UserError(
            f"none of the {num_queries} queries has a match among the {num_gallery} gallery "
            "images: expected some of the same person by another camera; do query and gallery "
            "belong together?"
        )
    own_person = np.searchsorted(persons, query_ids)
    return Matches(num_gallery, kept, positives, own_camera, by_id, starts, own_person)


def is_own_camera(query_camera: int, gallery_cameras: np.ndarray) -> np.ndarray:
    """Tell which gallery images the query's own camera has made; none if it is not known."""
    return (gallery_cameras == query_camera) & (gallery_cameras >= 0)


def is_ignored(
    *,
    query_id: int,
    gallery_ids: np.ndarray,
    query_camera: int,
    gallery_cameras: np.ndarray,
) -> np.ndarray:
    """Tell which gallery images do not count for a query, [G] bool."""
    gallery_ids, gallery_cameras = np.asarray(gallery_ids), np.asarray(gallery_cameras)
    own = (gallery_ids == query_id) & is_own_camera(query_camera, gallery_cameras)
    return own | (gallery_ids < 0)
