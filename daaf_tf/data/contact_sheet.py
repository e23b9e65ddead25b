"""A contact sheet: some images of each split, with the mask and the joints that are stored."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

from PIL import Image, ImageDraw, ImageFont, ImageOps

from daaf_tf.data.example import ImageRecord
from daaf_tf.data.stored import parse_heatmaps, parse_mask

_INK, _FAINT, _PAPER, _MAT = "#202124", "#6b7075", "#ffffff", "#eceef0"
_BODY, _HEAT = (18, 146, 76), (255, 176, 0)
_LEFT, _RIGHT, _MIDDLE = "#ff5a4f", "#35a7ff", "#ffffff"

# Pixels.
_WIDTH, _HEIGHT = 96, 192  # of one of a tile's three panels
_COLUMNS, _SEAM, _GAP, _MARGIN = 4, 2, 24, 32
_TILE = 3 * _WIDTH + 2 * _SEAM
_CAPTION, _HEADING = 44, 44
_FINE = 4  # lines are drawn so many times larger, and so get smooth edges

_LIMBS = (
    (0, 1), (0, 2), (1, 3), (2, 4), (5, 6), (11, 12), (5, 11), (6, 12),
    (5, 7), (7, 9), (6, 8), (8, 10), (11, 13), (13, 15), (12, 14), (14, 16),
)  # fmt: skip
_SEEN = 0.1  # a joint of lower visibility is not drawn


def draw_contact_sheet(samples: Mapping[str, Sequence[ImageRecord]], title: str) -> Image.Image:
    """Draw each sample as three panels: the image, its mask, its joints with the heat maps.

    The background is greyed where the mask says so. Maps glow under the joints, which are drawn
    from the stored coordinates: left limbs red, right ones blue. The same samples give the same
    pixels.

    Args:
      samples: {split: whole records}.
      title: first line of the sheet.

    Returns:
      An RGB picture.
    """
    rows = {split: -(-len(records) // _COLUMNS) for split, records in samples.items()}
    width = 2 * _MARGIN + _COLUMNS * _TILE + (_COLUMNS - 1) * _GAP
    row_height = _HEIGHT + _CAPTION + _GAP // 2
    height = 2 * _MARGIN + _HEADING + sum(_HEADING + n * row_height for n in rows.values())
    sheet = Image.new("RGB", (width, height), _PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((_MARGIN, _MARGIN - 6), title, _INK, font=ImageFont.load_default(size=22))
    _draw_legend(draw, width - _MARGIN)
    top = _MARGIN + _HEADING
    for split, records in samples.items():
        draw.text((_MARGIN, top + 4), split, _INK, font=ImageFont.load_default(size=18))
        draw.line((_MARGIN, top + 31, width - _MARGIN, top + 31), _MAT, 2)
        for number, record in enumerate(records):
            row, column = divmod(number, _COLUMNS)
            left = _MARGIN + column * (_TILE + _GAP)
            _draw_tile(sheet, draw, (left, top + _HEADING + row * row_height), record)
        top += _HEADING + rows[split] * row_height
    return sheet


def _draw_tile(
    sheet: Image.Image, draw: ImageDraw.ImageDraw, corner: tuple[int, int], record: ImageRecord
) -> None:
    left, top = corner
    crop = Image.open(io.BytesIO(record.encoded)).convert("RGB")
    panels = (_fit(crop), _draw_mask(crop, record), _draw_joints(crop, record))
    for number, (panel, missing) in enumerate(zip(panels, ("", "no mask", "no joints"))):
        x = left + number * (_WIDTH + _SEAM)
        if panel is None:
            draw.rectangle((x, top, x + _WIDTH - 1, top + _HEIGHT - 1), _MAT)
            centre = (x + _WIDTH // 2, top + _HEIGHT // 2)
            draw.text(centre, missing, _FAINT, font=_font(), anchor="mm")
        else:
            sheet.paste(panel, (x, top))
    who = f"id {record.person_id}, cam {record.camera_id}, {record.width}x{record.height}"
    draw.text((left, top + _HEIGHT + 4), who, _INK, font=_font())
    name = _shorten(draw, record.filename)
    draw.text((left, top + _HEIGHT + 20), name, _FAINT, font=_font())


def _draw_mask(crop: Image.Image, record: ImageRecord) -> Image.Image | None:
    """Return the crop in colour on the person, and grey and pale elsewhere."""
    if record.mask is None:
        return None
    mask = Image.fromarray(parse_mask(record.mask, record.height, record.width))
    mask = mask.convert("L").resize(crop.size)
    pale = Image.blend(
        ImageOps.grayscale(crop).convert("RGB"), Image.new("RGB", crop.size, _PAPER), 0.55
    )
    tinted = Image.blend(crop, Image.new("RGB", crop.size, _BODY), 0.25)
    return _fit(Image.composite(tinted, pale, mask))


def _draw_joints(crop: Image.Image, record: ImageRecord) -> Image.Image | None:
    """Return the darkened crop with the heat maps glowing and the joints over them."""
    if record.keypoints is None and record.heatmaps is None:
        return None
    picture = Image.blend(crop, Image.new("RGB", crop.size), 0.45)
    if record.heatmaps is not None:
        glow = Image.fromarray(parse_heatmaps(record.heatmaps).max(axis=0)).resize(
            crop.size, Image.Resampling.BILINEAR
        )
        picture.paste(Image.new("RGB", crop.size, _HEAT), mask=glow.point(lambda v: int(v * 0.7)))
    panel = _fit(picture)
    if record.keypoints is None:
        return panel
    fine = panel.resize((_WIDTH * _FINE, _HEIGHT * _FINE), Image.Resampling.BICUBIC)
    _draw_skeleton(ImageDraw.Draw(fine), _place(record, crop.size))
    return fine.resize(panel.size, Image.Resampling.LANCZOS)


def _place(record: ImageRecord, size: tuple[int, int]) -> dict[int, tuple[float, float]]:
    """Return where the visible joints lie in the fine panel, in which the crop is centred."""
    scale = min(_WIDTH / size[0], _HEIGHT / size[1])
    left, top = (_WIDTH - scale * size[0]) / 2, (_HEIGHT - scale * size[1]) / 2
    return {
        joint: (
            _FINE * (left + float(x) * scale * size[0]),
            _FINE * (top + float(y) * scale * size[1]),
        )
        for joint, (x, y, visibility) in enumerate(record.keypoints)
        if visibility > _SEEN
    }


def _draw_skeleton(draw: ImageDraw.ImageDraw, joints: dict[int, tuple[float, float]]) -> None:
    for start, end in _LIMBS:
        if start in joints and end in joints:
            same_side = _colour(start) if _colour(start) == _colour(end) else _MIDDLE
            draw.line((*joints[start], *joints[end]), same_side, 2 * _FINE)
    for joint, (x, y) in joints.items():
        radius = 2.4 * _FINE
        box = (x - radius, y - radius, x + radius, y + radius)
        draw.ellipse(box, _colour(joint), _INK, _FINE // 2)


def _colour(joint: int) -> str:
    """Return the colour of a joint's side: COCO numbers the left ones odd, and the nose 0."""
    if joint == 0:
        return _MIDDLE
    return _LEFT if joint % 2 else _RIGHT


def _draw_legend(draw: ImageDraw.ImageDraw, right: int) -> None:
    for text, colour in (
        ("heat map", "#ffb000"), ("right", _RIGHT), ("left", _LEFT), ("mask", "#12924c"),
    ):  # fmt: skip
        right -= round(draw.textlength(text, font=_font()))
        draw.text((right, _MARGIN), text, _FAINT, font=_font())
        right -= 16
        draw.ellipse((right, _MARGIN + 2, right + 10, _MARGIN + 12), colour)
        right -= 16


def _fit(picture: Image.Image) -> Image.Image:
    size = (_WIDTH, _HEIGHT)
    return ImageOps.pad(picture, size, Image.Resampling.BICUBIC, color=_MAT)


def _shorten(draw: ImageDraw.ImageDraw, name: str) -> str:
    """Return a name that fits under its tile: its end says more than its beginning."""
    # A file name may hold bytes or letters that the font cannot show.
    name = name.encode("latin-1", "replace").decode("latin-1")
    if draw.textlength(name, font=_font()) <= _TILE:
        return name
    while draw.textlength(f"...{name}", font=_font()) > _TILE:
        name = name[1:]
    return f"...{name}"


def _font():
    return ImageFont.load_default(size=12)
