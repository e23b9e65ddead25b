"""Pictures of a report for TensorBoard, which shows no pages."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

from daaf_tf import schema
from daaf_tf.report.contents import AttentionSample, ReadImage
from daaf_tf.report.samples import draw_panels
from daaf_tf.report.survey import NUM_HITS, choose_queries
from daaf_tf.retrieval import Features, RetrievalResult, draw_ranked_results, make_ranked_row

_PANEL_WIDTH, _PANEL_HEIGHT, _GAP = 96, 192, 4
_PAPER = (24, 24, 28)


def draw_sheets(
    *,
    query: Features,
    gallery: Features,
    result: RetrievalResult,
    compute_distances: Callable[[np.ndarray], np.ndarray],
    read_image: ReadImage | None,
    attention: Sequence[AttentionSample] = (),
) -> dict[str, np.ndarray]:
    """Draw what the page shows as pictures; the arguments are those of `write_report`.

    Returns:
      {name: uint8 [H, W, 3]}: the ranked lists of the worst, the best and random queries where
      there are images, and the attention samples where there are any.
    """
    pictures = {}
    shown = choose_queries(result.average_precision)
    for name in ("worst", "best", "random") if read_image else ():
        queries = np.array(getattr(shown, name), np.int64)
        if len(queries):
            rows = [
                make_ranked_row(
                    read_image(schema.QUERY, int(number)),
                    distances,
                    query_id=query.person_ids[number],
                    gallery_ids=gallery.person_ids,
                    query_camera=query.camera_ids[number],
                    gallery_cameras=gallery.camera_ids,
                    gallery_image=lambda index: read_image(schema.GALLERY, index),
                    length=NUM_HITS,
                )
                for number, distances in zip(queries, compute_distances(queries))
            ]
            pictures[f"ranked/{name}"] = np.asarray(draw_ranked_results(rows))
    if attention:
        pictures["attention"] = _draw_samples(attention)
    return pictures


def _draw_samples(samples: Sequence[AttentionSample]) -> np.ndarray:
    """Draw a line for each sample: the image, and what is predicted and known of it."""
    rows = [list(draw_panels(sample)) for sample in samples]
    columns = max(map(len, rows))
    size = (
        _GAP + columns * (_PANEL_WIDTH + _GAP),
        _GAP + len(rows) * (_PANEL_HEIGHT + _GAP),
    )
    sheet = Image.new("RGB", size, _PAPER)
    for row, panels in enumerate(rows):
        for column, (_, pixels) in enumerate(panels):
            panel = Image.fromarray(pixels).resize((_PANEL_WIDTH, _PANEL_HEIGHT))
            left = _GAP + column * (_PANEL_WIDTH + _GAP)
            sheet.paste(panel, (left, _GAP + row * (_PANEL_HEIGHT + _GAP)))
    return np.asarray(sheet)
