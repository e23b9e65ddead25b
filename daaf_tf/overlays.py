"""A person's mask, heat maps and joints, drawn over the image."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from daaf_tf import schema

# One colour a joint group, chosen to stay apart on people and streets (after matplotlib's tab10).
GROUP_COLOURS = (
    (255, 221, 51),
    (255, 127, 14),
    (44, 200, 44),
    (51, 187, 255),
    (227, 80, 220),
    (255, 60, 60),
)
MASK_COLOUR = (60, 255, 120)
# A true joint of lower visibility is not drawn: it was not seen, or not found with any confidence.
LEAST_VISIBILITY = 0.5

_FINE = 4  # dots are drawn so many times larger, and so get smooth edges


def overlay_mask(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Tint an image where the mask is high: uint8 [H, W, 3], float [h, w, 1] in 0..1 to uint8."""
    return _blend(image, [(mask[..., 0], MASK_COLOUR)], strength=0.55)


def overlay_keypoints(image: np.ndarray, maps: np.ndarray) -> np.ndarray:
    """Tint an image by its 17 maps in the colours of their groups: [H, W, 3], [h, w, 17]."""
    layers = [
        (maps[..., list(joints)].max(axis=-1), colour)
        for (_, joints), colour in zip(schema.JOINT_GROUPS, GROUP_COLOURS)
    ]
    return _blend(image // 2, layers, strength=1.0)


def overlay_joints(image: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """Draw visible joints as dots in the colours of their groups.

    Args:
      image: uint8 [H, W, 3]; darkened, as `overlay_keypoints` does.
      joints: [17, 3] float, x and y in 0..1 of width and height, and visibility.

    Returns:
      uint8 [H, W, 3].
    """
    height, width = image.shape[:2]
    picture = Image.fromarray(image // 2).resize((width * _FINE, height * _FINE))
    draw, radius = ImageDraw.Draw(picture), _FINE * height * 0.022
    for (_, group), colour in zip(schema.JOINT_GROUPS, GROUP_COLOURS):
        for x, y, visibility in joints[list(group)].tolist():
            if visibility >= LEAST_VISIBILITY:
                x, y = x * picture.width, y * picture.height
                draw.ellipse((x - radius, y - radius, x + radius, y + radius), colour)
    return np.asarray(picture.resize((width, height), Image.Resampling.LANCZOS))


def _blend(image, layers, strength):
    height, width = image.shape[:2]
    blended = image.astype(np.float32)
    for weights, colour in layers:
        resized = Image.fromarray(weights.astype(np.float32)).resize(
            (width, height), Image.Resampling.BILINEAR
        )
        share = strength * np.clip(np.asarray(resized), 0, 1)[..., np.newaxis]
        blended = (1 - share) * blended + share * np.float32(colour)
    return np.rint(blended).astype(np.uint8)
