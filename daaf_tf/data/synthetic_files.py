"""The files of one synthetic image: JPEG, mask and keypoint maps, with their names."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from daaf_tf import schema
from daaf_tf.data.synthetic_image import HEIGHT, WIDTH, render
from daaf_tf.data.synthetic_plan import TRAIN_FOLDER, ImageSpec, Recipe
from daaf_tf.data.synthetic_scene import make_camera

# Folders of the real data set and of its annotations.
IMAGES, MASKS = "Market-1501", "mask-anno"
HEATMAPS = "Market_cpn_keypoints/bounding_box_train_256_2"

MAP_SIGMA = 6.0
_MAP_RADIUS = 22  # beyond it the Gaussian rounds to 0
_MASK_QUALITY = 95


def paths_of(spec: ImageSpec) -> list[str]:
    """Return the files of one image in the order of writing: mask, maps (training only), image."""
    stem = spec.name[: -len(".jpg")]
    maps = range(schema.NUM_JOINTS if spec.folder == TRAIN_FOLDER else 0)
    return [
        f"{MASKS}/{spec.folder}/{spec.name}",
        *(f"{HEATMAPS}/{stem}_{joint:02d}.png" for joint in maps),
        f"{IMAGES}/{spec.folder}/{spec.name}",
    ]


def make_files(recipe: Recipe, spec: ImageSpec) -> dict[str, bytes]:
    """Draw one image and return the content of its files by path, in the order of `paths_of`."""
    drawn = render(recipe, spec)
    contents = [_encode_jpeg(drawn.mask, _MASK_QUALITY)]
    if spec.folder == TRAIN_FOLDER:
        contents += encode_heatmaps(drawn.joints, drawn.visible)
    contents.append(_encode_jpeg(drawn.image, make_camera(recipe, spec.camera).quality))
    return dict(zip(paths_of(spec), contents))


def _encode_jpeg(image, quality):
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def encode_heatmaps(joints: np.ndarray, visible: np.ndarray) -> list[bytes]:
    """Return the 17 keypoint maps as grey PNG files of 256 x 128 pixels.

    A map is 255 exp(-d^2 / (2 sigma^2)) at distance d from the joint, sigma 6 pixels, and zero
    everywhere if the joint is not visible.

    Args:
      joints: float [17, 2], x and y in pixels of the map; need not be whole numbers.
      visible: bool [17].
    """
    return [
        _encode_png(_heatmap(x, y)) if seen else _EMPTY_MAP
        for (x, y), seen in zip(joints.tolist(), visible.tolist())
    ]


def _heatmap(x, y):
    heatmap = np.zeros((HEIGHT, WIDTH), np.uint8)
    columns = np.arange(max(0, round(x) - _MAP_RADIUS), min(WIDTH, round(x) + _MAP_RADIUS + 1))
    rows = np.arange(max(0, round(y) - _MAP_RADIUS), min(HEIGHT, round(y) + _MAP_RADIUS + 1))
    across = np.exp((columns - x) ** 2 / (-2 * MAP_SIGMA**2))
    down = np.exp((rows - y) ** 2 / (-2 * MAP_SIGMA**2))
    patch = np.rint(255 * np.outer(down, across))
    heatmap[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = patch
    return heatmap


def _encode_png(pixels):
    buffer = io.BytesIO()
    # Run-length coding at the lowest level: these maps are mostly zero, and speed counts.
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1, compress_type=3)
    return buffer.getvalue()


_EMPTY_MAP = _encode_png(np.zeros((HEIGHT, WIDTH), np.uint8))
