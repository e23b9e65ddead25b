"""Pictures of what the attention branches see."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from daaf_tf import schema
from daaf_tf.overlays import overlay_keypoints, overlay_mask

CELL_HEIGHT = 192
GAP = 4
TITLE_WIDTH = 120
BACKGROUND, INK = (24, 24, 28), (230, 230, 230)


def draw_attention(batch: dict, outputs: dict) -> np.ndarray:
    """Draw images with their true and predicted masks and keypoint maps.

    Args:
      batch: a training batch (see `daaf_tf.data.make_train_batches`) of B images; an annotation
        that an image does not have is drawn as a crossed-out cell.
      outputs: the model's outputs for it.

    Returns:
      uint8 [H, W, 3]: a column an image; rows image, true mask, predicted mask, true keypoints,
      predicted keypoints (the last pairs where the model has the branch).
    """
    images = compute_pixels(np.asarray(batch[schema.IMAGE]))
    rows = [("image", list(images))]
    for name, presence, overlay in (
        (schema.MASK, schema.MASK_PRESENCE, overlay_mask),
        (schema.KEYPOINTS, schema.KEYPOINTS_PRESENCE, overlay_keypoints),
    ):
        if name in batch and name in outputs:
            pairs = zip(images, np.asarray(batch[name]), np.asarray(batch[presence]))
            truth = [overlay(*pair[:2]) if pair[2] else _crossed(pair[0]) for pair in pairs]
            guess = [overlay(*pair) for pair in zip(images, np.asarray(outputs[name]))]
            rows += [(f"true {name}", truth), (f"predicted {name}", guess)]
    return _draw_grid(rows)


def compute_pixels(images: np.ndarray) -> np.ndarray:
    """Compute uint8 pixels back from normalised images, any shape [..., 3]."""
    pixels = 255.0 * (images * np.float32(schema.IMAGE_STD) + np.float32(schema.IMAGE_MEAN))
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


def _crossed(image):
    cell = Image.fromarray(np.full_like(image, 60))
    right, bottom = cell.width - 1, cell.height - 1
    draw = ImageDraw.Draw(cell)
    draw.line((0, 0, right, bottom), fill=(140, 140, 140))
    draw.line((0, bottom, right, 0), fill=(140, 140, 140))
    return np.asarray(cell)


def _draw_grid(rows):
    height, width = rows[0][1][0].shape[:2]
    cell_width = round(CELL_HEIGHT * width / height)
    columns = len(rows[0][1])
    size = (
        TITLE_WIDTH + columns * (cell_width + GAP),
        GAP + len(rows) * (CELL_HEIGHT + GAP),
    )
    sheet = Image.new("RGB", size, BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    for row, (title, cells) in enumerate(rows):
        top = GAP + row * (CELL_HEIGHT + GAP)
        draw.text((GAP, top + CELL_HEIGHT // 2), title, fill=INK, font=ImageFont.load_default())
        for column, cell in enumerate(cells):
            resized = Image.fromarray(cell).resize((cell_width, CELL_HEIGHT))
            sheet.paste(resized, (TITLE_WIDTH + column * (cell_width + GAP), top))
    return np.asarray(sheet)
