"""The pictures inside a record, as `daaf_tf.data.annotations` made them, back into arrays."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from daaf_tf import schema


def parse_mask(encoded: bytes, height: int, width: int) -> np.ndarray:
    """Return a stored mask as [height, width] bool, True on the person.

    Raises:
      ValueError: no grey PNG of that size with no other values than 0 and 255.
    """
    mask = _parse_grey("mask", encoded)
    if mask.shape != (height, width):
        raise ValueError(f"mask has {mask.shape} (height, width), expected {(height, width)}")
    if not np.isin(mask, (0, 255)).all():
        raise ValueError("mask has other values than 0 and 255")
    return mask == 255


def parse_heatmaps(encoded: bytes) -> np.ndarray:
    """Return stored heat maps as [17, h, w] uint8.

    Raises:
      ValueError: no grey PNG of 17 maps of one size.
    """
    stack = _parse_grey("heat maps", encoded)
    if len(stack) % schema.NUM_JOINTS:
        raise ValueError(f"heat maps have {len(stack)} rows, expected a multiple of 17")
    return stack.reshape(schema.NUM_JOINTS, -1, stack.shape[1])


def _parse_grey(what: str, encoded: bytes) -> np.ndarray:
    try:
        image = Image.open(io.BytesIO(encoded), formats=("PNG",))
        image.load()
    except Exception as error:
        # Pillow's parsers raise whatever they stumble over in damaged bytes.
        raise ValueError(f"{what} cannot be decoded ({error})") from error
    if image.mode != "L":
        raise ValueError(f"{what}: colour mode {image.mode}, expected 8-bit grey")
    return np.asarray(image)
