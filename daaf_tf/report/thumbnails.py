"""Images small enough to be part of a page or of a sprite."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image

from daaf_tf.retrieval.pictures import check_image

# Pixels that an image is fitted into, twice what the page shows, for fine screens; it is never
# enlarged. Ten kilobytes at most but for noise, so that a page has a few megabytes.
WIDTH, HEIGHT = 96, 192
_QUALITY = 82


def make_data_uri(image: np.ndarray) -> str:
    """Return a small JPEG of an image as a data URI.

    Args:
      image: uint8 [H, W, 3] of any size.

    Raises:
      UserError: another array.
    """
    picture = Image.fromarray(check_image(image))
    picture.thumbnail((WIDTH, HEIGHT), Image.Resampling.LANCZOS)
    return f"data:image/jpeg;base64,{base64.b64encode(encode_jpeg(picture)).decode('ascii')}"


def encode_jpeg(picture: Image.Image) -> bytes:
    """Return the bytes of a JPEG file."""
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=_QUALITY, optimize=True)
    return buffer.getvalue()
