"""Colour histograms: what is reached without learning anything, the floor to beat."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from daaf_tf.errors import UserError

NUM_STRIPES = 6  # head to feet
LEVELS = 6  # of each of red, green and blue

# A plain histogram ranks at chance where the gallery is seen by other cameras, so these two steps
# are what makes the floor an honest one: colours relative to the image's own mean take away the
# camera's colour cast and exposure, and a weight that falls off from the middle column takes away
# most of the background.
_MEAN_LEVEL = 0.45  # of each channel, in 0..1
_WEIGHT_WIDTH = 0.15  # standard deviation of the weight, in image widths


def compute_colour_histograms(images: Iterable[np.ndarray]) -> np.ndarray:
    """Compute joint RGB histograms of six horizontal stripes, to be compared by either metric.

    The entries are roots of shares (so the Euclidean distance is Hellinger's), each stripe has norm
    1, and all rows have the same norm, so Euclidean and cosine ranking agree.

    Args:
      images: any number of uint8 arrays [H, W, 3], RGB, of any sizes with six rows or more.

    Returns:
      [N, 1296] float32.

    Raises:
      UserError: no images, or something else than such an array.
    """
    features = [_compute_histogram(_check_image(n, image)) for n, image in enumerate(images)]
    if not features:
        raise UserError("images: expected one or more, received none")
    return np.stack(features)


def _compute_histogram(image: np.ndarray) -> np.ndarray:
    height, width, _ = image.shape
    means = np.maximum(image.mean(axis=(0, 1)), 1.0)  # a black channel stays black
    levels = (image * (_MEAN_LEVEL * LEVELS / means).astype(np.float32)).astype(np.int64)
    red, green, blue = np.moveaxis(np.minimum(levels, LEVELS - 1), 2, 0)
    stripe = (np.arange(height) * NUM_STRIPES // height)[:, None]
    cell = ((stripe * LEVELS + red) * LEVELS + green) * LEVELS + blue
    offset = (np.arange(width) + 0.5) / width - 0.5
    weight = np.exp(-0.5 * (offset / _WEIGHT_WIDTH) ** 2)
    counts = np.bincount(
        cell.ravel(),
        weights=np.broadcast_to(weight, cell.shape).ravel(),
        minlength=NUM_STRIPES * LEVELS**3,
    ).reshape(NUM_STRIPES, -1)
    shares = counts / counts.sum(axis=1, keepdims=True)
    return np.sqrt(shares).ravel().astype(np.float32)


def _check_image(number: int, image: np.ndarray) -> np.ndarray:
    image = np.asarray(image)
    if (
        image.dtype != np.uint8
        or image.ndim != 3
        or image.shape[2] != 3
        or image.shape[0] < NUM_STRIPES
        or image.shape[1] < 1
    ):
        raise UserError(
            f"image {number}: expected uint8 of shape [height, width, 3] with {NUM_STRIPES} rows "
            f"or more, received {image.dtype} of shape {list(image.shape)}"
        )
    return image
