"""Ranked results as a picture: each query with the gallery images that the ranking put first."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from daaf_tf.errors import UserError
from daaf_tf.retrieval.hits import IGNORED, OTHER, SAME, find_hits

if TYPE_CHECKING:  # Pillow is imported where a picture is drawn: scoring needs numpy alone
    from PIL import Image, ImageDraw

KNOWN, UNKNOWN = "within the threshold", "not known"

_COLOURS = {
    SAME: "#12924c",
    OTHER: "#d6322b",
    IGNORED: "#9aa0a6",
    KNOWN: "#12924c",
    UNKNOWN: "#9aa0a6",
}
# Verdicts that go together, where it is known who is on an image, and where it is asked.
_LEGENDS = ((SAME, OTHER, IGNORED), (KNOWN, UNKNOWN))
_INK, _FAINT, _PAPER, _MAT = "#202124", "#6b7075", "#ffffff", "#eceef0"

# Pixels.
_FRAME, _GAP, _MARGIN, _CAPTION = 4, 10, 20, 38
_TILE_WIDTH, _TILE_HEIGHT = 96 + 2 * _FRAME, 192 + 2 * _FRAME
_QUERY_GAP = 26  # between the query and its results
_TEXT, _LINE = 12, 16


@dataclasses.dataclass(frozen=True)
class RankedRow:
    """One query and its results, nearest first.

    Attributes:
      query_image: uint8 [H, W, 3] of any size.
      query_caption: lines of text.
      gallery_images: uint8 [H, W, 3] each.
      verdicts: SAME, OTHER or IGNORED for each; or, of a search, KNOWN or UNKNOWN.
      captions: lines of text for each.
    """

    query_image: np.ndarray
    query_caption: str
    gallery_images: Sequence[np.ndarray]
    verdicts: Sequence[str]
    captions: Sequence[str]


def make_ranked_row(
    query_image: np.ndarray,
    distances: np.ndarray,
    *,
    query_id: int,
    gallery_ids: np.ndarray,
    query_camera: int,
    gallery_cameras: np.ndarray,
    gallery_image: Callable[[int], np.ndarray],
    length: int = 10,
) -> RankedRow:
    """Make the row of one query from its distances; ignored images are shown but have no rank.

    Args:
      query_image: uint8 [H, W, 3].
      distances: [G] of the query to every gallery image.
      query_id: person id of the query.
      gallery_ids: [G] integers, below 0 for junk.
      query_camera: camera of the query; below 0: not known.
      gallery_cameras: [G] integers.
      gallery_image: returns image number i as uint8 [H, W, 3]; called for the images shown only.
      length: images to show, ignored ones included.
    """
    hits = find_hits(
        distances,
        query_id=query_id,
        gallery_ids=gallery_ids,
        query_camera=query_camera,
        gallery_cameras=gallery_cameras,
        length=length,
    )
    captions = []
    for hit in hits:
        place = "-" if hit.verdict == IGNORED else f"#{hit.rank}"
        who = f"id {gallery_ids[hit.index]}, cam {gallery_cameras[hit.index]}"
        captions.append(f"{place}  {hit.distance:.3f}\n{who}")
    return RankedRow(
        query_image=query_image,
        query_caption=f"query\nid {query_id}, cam {query_camera}",
        gallery_images=[gallery_image(hit.index) for hit in hits],
        verdicts=[hit.verdict for hit in hits],
        captions=captions,
    )


def draw_ranked_results(rows: Sequence[RankedRow]) -> Image.Image:
    """Draw one line for each query: the query, then its results framed by what they are.

    Green frames the query's person, red another, grey what the protocol ignores; or green what a
    threshold takes for the query's person, grey the rest. Images keep their
    proportions. The same rows give the same pixels.

    Args:
      rows: one or more queries; rows may differ in length. Their verdicts are of one kind.

    Returns:
      An RGB picture, 1300 pixels wide for ten results.

    Raises:
      UserError: no rows, or an image that is not uint8 [H, W, 3].
    """
    from PIL import Image, ImageDraw

    if not rows:
        raise UserError("rows: expected one query or more, received none")
    columns = max(len(row.gallery_images) for row in rows)
    row_height = _TILE_HEIGHT + _CAPTION + _GAP
    width = max(_column_left(columns) - _GAP + _MARGIN, 400)  # the legend needs its place
    height = 2 * _MARGIN + len(rows) * row_height + _LINE
    picture = Image.new("RGB", (width, height), _PAPER)
    draw = ImageDraw.Draw(picture)
    for number, row in enumerate(rows):
        top = _MARGIN + number * row_height
        _draw_tile(picture, draw, (_MARGIN, top), row.query_image, row.query_caption, _INK)
        for column, image in enumerate(row.gallery_images):
            corner = (_column_left(column), top)
            colour = _COLOURS[row.verdicts[column]]
            _draw_tile(picture, draw, corner, image, row.captions[column], colour)
    used = {verdict for row in rows for verdict in row.verdicts}
    legend = next(verdicts for verdicts in _LEGENDS if used <= set(verdicts))
    _draw_legend(draw, (_MARGIN, height - _MARGIN - _LINE + 4), legend)
    return picture


def _column_left(column: int) -> int:
    return _MARGIN + _TILE_WIDTH + _QUERY_GAP + column * (_TILE_WIDTH + _GAP)


def _draw_tile(
    picture: Image.Image,
    draw: ImageDraw.ImageDraw,
    corner: tuple[int, int],
    image: np.ndarray,
    caption: str,
    colour: str,
) -> None:
    from PIL import Image, ImageOps

    left, top = corner
    right, bottom = left + _TILE_WIDTH - 1, top + _TILE_HEIGHT - 1
    draw.rectangle((left, top, right, bottom), _MAT, colour, _FRAME)
    crop = Image.fromarray(check_image(image))
    room = (_TILE_WIDTH - 2 * _FRAME, _TILE_HEIGHT - 2 * _FRAME)
    crop = ImageOps.pad(crop, room, Image.Resampling.BICUBIC, color=_MAT)
    picture.paste(crop, (left + _FRAME, top + _FRAME))
    for number, line in enumerate(caption.split("\n")):
        position = (left + 1, top + _TILE_HEIGHT + 4 + number * _LINE)
        draw.text(position, line, colour if number == 0 else _FAINT, font=_font())


def _draw_legend(
    draw: ImageDraw.ImageDraw, corner: tuple[int, int], verdicts: Sequence[str]
) -> None:
    left, top = corner
    for verdict in verdicts:
        colour = _COLOURS[verdict]
        draw.rectangle((left, top, left + _TEXT - 1, top + _TEXT - 1), _PAPER, colour, 3)
        draw.text((left + _TEXT + 6, top - 1), verdict, _INK, font=_font())
        left += _TEXT + 6 + round(draw.textlength(verdict, font=_font())) + 20


def _font():
    from PIL import ImageFont

    return ImageFont.load_default(size=_TEXT)


def check_image(image: np.ndarray) -> np.ndarray:
    """Return an image as an array if it is uint8 [H, W, 3].

    Raises:
      UserError: otherwise.
    """
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise UserError(
            "image: expected uint8 of shape [height, width, 3], "
            f"received {image.dtype} of shape {list(image.shape)}"
        )
    return image
