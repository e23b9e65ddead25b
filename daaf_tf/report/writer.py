"""Write a report: one HTML file that holds everything it shows."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from daaf_tf.errors import UserError
from daaf_tf.files import write_atomically
from daaf_tf.report.contents import (
    AttentionSample,
    Contents,
    Figure,
    ReadImage,
    check_features,
)
from daaf_tf.report.page import make_page
from daaf_tf.report.survey import choose_queries, survey_distances
from daaf_tf.retrieval import Features, RetrievalResult

PAGE = "index.html"


def write_report(
    folder: str | os.PathLike,
    *,
    title: str,
    facts: Mapping[str, str],
    figures: Sequence[Figure],
    query: Features,
    gallery: Features,
    result: RetrievalResult,
    compute_distances: Callable[[np.ndarray], np.ndarray],
    read_image: ReadImage | None,
    attention: Sequence[AttentionSample] = (),
) -> pathlib.Path:
    """Write `<folder>/index.html`: figures, charts, ranked lists, and what the branches see.

    The page needs no network and no other file, and runs no script. The same arguments give the
    same bytes. Distances are asked for in blocks of 128 MB; the page has a few megabytes, whatever
    the size of the data set.

    Args:
      folder: made if it is missing; a page that is there is replaced once the new one is whole.
      title: heading of the page.
      facts: {name: value} of what was evaluated, in the order shown.
      figures: each with its convention, in the order shown.
      query: what was asked for; the features themselves are not used.
      gallery: what was ranked, likewise.
      result: the scores of the ranking.
      compute_distances: returns the distances that were ranked, [n, G] finite numbers of 0 or more,
        of n queries that it is given the numbers of, [n] int64. It is asked for every query once,
        in order.
      read_image: returns an image as uint8 [H, W, 3], from its split (`schema.QUERY` or
        `schema.GALLERY`) and its number there; None: names are shown in place of pictures.
      attention: images with what the branches predict on them.

    Returns:
      The path of the page.

    Raises:
      UserError: a folder that cannot be written, arrays that do not belong together, distances of
        another form, or what `read_image` raises.
    """
    check_features(query, gallery, result)
    path = make_report_folder(folder) / PAGE
    contents = Contents(title, facts, figures, query, gallery, result, read_image, attention)
    shown = choose_queries(result.average_precision)
    survey = survey_distances(query, gallery, result, shown, compute_distances)
    page = make_page(contents, shown, survey)
    try:
        # A file name may hold bytes that are no text.
        write_atomically(path, page.encode("utf-8", "backslashreplace"))
    except OSError as error:
        raise UserError(f"{path}: cannot write the report ({error.strerror or error})") from error
    return path


def make_report_folder(folder: str | os.PathLike) -> pathlib.Path:
    """Make the folder of a report if it is missing; worth doing before hours of work.

    Raises:
      UserError: it cannot be made or written to.
    """
    path = pathlib.Path(folder)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{path}: cannot make the report's folder ({error.strerror})") from error
    if not os.access(path, os.W_OK):
        raise UserError(f"{path}: cannot write into the report's folder (no permission)")
    return path
