"""From an image file to what the page shows of it: hits, their images, overlays. No web here."""

from __future__ import annotations

import dataclasses
import io
import pathlib

import numpy as np
from PIL import Image

from daaf_tf import schema
from daaf_tf.errors import UserError
from daaf_tf.overlays import overlay_keypoints, overlay_mask
from daaf_tf.serving.gallery import Gallery, Hit

# Height in pixels of the crop and of hits on the page; the width follows.
HEIGHT = 256
# A strip is cut to this many times its height.
_WIDEST = 2


@dataclasses.dataclass(frozen=True)
class Found:
    """A hit and its image.

    Attributes:
      hit: from the gallery.
      image: uint8 [HEIGHT, W, 3]; None: the file is no longer where it was.
    """

    hit: Hit
    image: np.ndarray | None


@dataclasses.dataclass(frozen=True)
class Answer:
    """What the gallery says to an image; whether somebody is known depends on a threshold beside.

    Attributes:
      crop: uint8 [HEIGHT, W, 3], the image that was asked for.
      overlays: {"mask" or "keypoints": the crop with what that branch sees}; empty where the model
        has no branches.
      found: nearest first.
    """

    crop: np.ndarray
    overlays: dict[str, np.ndarray]
    found: list[Found]


def find(gallery: Gallery, path: str, *, top: int) -> Answer:
    """Search a gallery for the person in an image file.

    Args:
      gallery: an open one.
      path: of a JPEG, PNG or one-frame GIF.
      top: hits, 1 or more.

    Raises:
      UserError: the file is no image (by its name, without its folder), or the gallery cannot be
        searched.
    """
    try:
        maps = _attend(gallery, path)
        crop = read_image(pathlib.Path(path).read_bytes())
    except UserError as error:
        # The page keeps files in a folder that its visitor does not know.
        raise UserError(str(error).replace(str(path), pathlib.Path(path).name)) from error
    (hits,) = gallery.search(maps[schema.EMBEDDING], top)
    overlays = {
        name: draw(crop, maps[name][0])
        for name, draw in ((schema.MASK, overlay_mask), (schema.KEYPOINTS, overlay_keypoints))
        if name in maps
    }
    return Answer(crop, overlays, [Found(hit, _read_hit(gallery, hit)) for hit in hits])


def describe(found: list[Found], threshold: float, *, calibrated: bool) -> str:
    """Return one sentence on whether the nearest hit is near enough.

    Args:
      found: nearest first, one or more.
      threshold: the largest distance at which somebody counts as known.
      calibrated: whether this is the threshold that the gallery was calibrated to.
    """
    hit = found[0].hit
    kind = "the calibrated threshold" if calibrated else "the threshold"
    if not is_known(hit, threshold):
        return f"Unknown: the nearest image is at {hit.distance:.3f}, beyond {kind} {threshold:.3f}"
    person = "A known person" if hit.person_id is None else f"Person {hit.person_id}"
    return f"{person}: the nearest image is at {hit.distance:.3f}, within {kind} {threshold:.3f}"


def is_known(hit: Hit, threshold: float) -> bool:
    """Tell whether a hit lies within a threshold."""
    return hit.distance <= threshold


def read_image(encoded: bytes) -> np.ndarray:
    """Decode an image file for the page: uint8 RGB [HEIGHT, W, 3], in the file's proportions.

    Raises:
      UserError: Pillow cannot read it.
    """
    try:
        with Image.open(io.BytesIO(encoded)) as image:
            share = max(1, min(image.width, _WIDEST * image.height)) / image.height
            size = (max(1, round(HEIGHT * share)), HEIGHT)
            return np.asarray(image.convert("RGB").resize(size, Image.Resampling.BICUBIC))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UserError(f"the image cannot be shown ({error})") from error


def _attend(gallery: Gallery, path: str) -> dict[str, np.ndarray]:
    """Return the embedding [1, D] of a file and, if the model has branches, their maps."""
    embedder = gallery.embedder
    if embedder.has_attention:
        return embedder.attend(path)
    return {schema.EMBEDDING: embedder.embed(path)}


def _read_hit(gallery: Gallery, hit: Hit) -> np.ndarray | None:
    try:
        return read_image(gallery.read_image(hit.id))
    except UserError:
        # The hit is none the worse; the page says that its picture is gone.
        return None
