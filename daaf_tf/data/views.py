"""Views of an image at test time, whose embeddings are averaged: its mirror image, and crops.

Source of the ten views: Hermans et al., In Defense of the Triplet Loss for Person
Re-Identification, 2017, and their code.
"""

from __future__ import annotations

import tensorflow as tf

from daaf_tf.config import Config
from daaf_tf.sections.train import CROPS, NO_TTA

# How much larger than the network's input TriNet's images are before they are cropped: 288x144.
_ENLARGEMENT = 9 / 8


def compute_viewed_size(config: Config) -> tuple[int, int]:
    """Return the height and width of the images that views are taken from.

    Args:
      config: the run. For ten views, on each axis: the size to which training resizes where that
        leaves room for a crop, else 9/8 of the network's input (TriNet's ratio). For one view, or
        two: the network's input.
    """
    data = config.data
    inputs = (data.image_height, data.image_width)
    if config.eval.tta != CROPS:
        return inputs
    return tuple(
        resized if resized > size else round(size * _ENLARGEMENT)
        for size, resized in zip(inputs, (data.resize_height, data.resize_width))
    )


def make_views(images: tf.Tensor, config: Config) -> list[tf.Tensor]:
    """Return the views of each image of a batch.

    Args:
      images: [B, H, W, C], H and W being what `compute_viewed_size` returns.
      config: the run; tta and the size of the network's input are used.

    Returns:
      One, two or ten [B, image_height, image_width, C]: centre, upper left, upper right, lower
      left, lower right, and then the mirror images in the same order.
    """
    height, width = config.data.image_height, config.data.image_width
    bottom, right = images.shape[1] - height, images.shape[2] - width
    # Where nothing is cropped, the centre is the image.
    corners = [(bottom // 2, right // 2)]
    if config.eval.tta == CROPS:
        corners += [(0, 0), (0, right), (bottom, 0), (bottom, right)]
    views = [images[:, top : top + height, left : left + width] for top, left in corners]
    if config.eval.tta == NO_TTA:
        return views
    return views + [tf.reverse(view, [2]) for view in views]
