"""How well the attention branches have learned: mask IoU and joint accuracy, in numpy."""

from __future__ import annotations

import numpy as np

# Names of the figures, as they are logged.
MASK_IOU, JOINT_ACCURACY = "mask_iou", "joint_accuracy"
ATTENTION_FIGURES = (MASK_IOU, JOINT_ACCURACY)

# A map's level from which on a pixel is the person's.
MASK_LEVEL = 0.5
# A joint whose visibility is lower is not asked for: a heat map's peak is its maker's confidence.
LEAST_VISIBILITY = 0.5
# How far a predicted joint may be from the true one, as a share of the image's height.
TOLERANCE = 0.05


def compute_mask_iou(predicted: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Compute the intersection over union of predicted and true masks, image by image.

    Args:
      predicted: [N, h, w] float in 0..1; the person is where it is MASK_LEVEL or more.
      true: [N, h, w] bool.

    Returns:
      [N] float64 in 0..1; 1 where both masks are empty.
    """
    found = predicted >= MASK_LEVEL
    union = (found | true).sum(axis=(1, 2))
    both = (found & true).sum(axis=(1, 2))
    return np.where(union, both / np.maximum(union, 1), 1.0)


def locate_joints(maps: np.ndarray) -> np.ndarray:
    """Return where each map has its peak.

    Args:
      maps: [N, h, w, J] float.

    Returns:
      [N, J, 2] float64, x and y in 0..1 of width and height: the centre of the highest pixel, of
      the first in reading order where several are equal.
    """
    count, height, width, joints = maps.shape
    rows, columns = np.divmod(maps.reshape(count, height * width, joints).argmax(axis=1), width)
    return np.stack([(columns + 0.5) / width, (rows + 0.5) / height], axis=-1)


def compute_joint_accuracy(
    predicted: np.ndarray, true: np.ndarray, *, aspect: float, tolerance: float = TOLERANCE
) -> float:
    """Compute the share of visible joints that are predicted where they are.

    Args:
      predicted: [N, J, 2] float, x and y in 0..1 of width and height.
      true: [N, J, 3] float, the same and visibility; joints of less than LEAST_VISIBILITY are left
        out.
      aspect: width over height of the image in which distance is measured.
      tolerance: largest distance that counts as right, as a share of the image's height.

    Returns:
      The share in 0..1 over all visible joints of all images; NaN where there is none.
    """
    offsets = (predicted - true[..., :2]) * (aspect, 1.0)
    visible = true[..., 2] >= LEAST_VISIBILITY
    right = np.hypot(offsets[..., 0], offsets[..., 1]) <= tolerance
    return float(right[visible].mean()) if visible.any() else float("nan")
