"""Views of an image against plain numpy slices."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from daaf_tf.config import Config
from daaf_tf.data.views import compute_viewed_size, make_views

SMALL = Config().replace(image_height=32, image_width=48)


def numbered(height, width):
    """Return two images whose every value is another number."""
    return np.arange(2 * height * width * 3, dtype=np.float32).reshape(2, height, width, 3)


@pytest.mark.parametrize("size", [(36, 54), (37, 51), (33, 48), (32, 48)])
def test_ten_views_equal_numpy(size):
    images = numbered(*size)
    top, left = (size[0] - 32) // 2, (size[1] - 48) // 2
    crops = [
        images[:, top : top + 32, left : left + 48],
        images[:, :32, :48],
        images[:, :32, size[1] - 48 :],
        images[:, size[0] - 32 :, :48],
        images[:, size[0] - 32 :, size[1] - 48 :],
    ]
    views = make_views(tf.constant(images), SMALL.replace(tta="crops"))
    np.testing.assert_array_equal(views, crops + [crop[:, :, ::-1] for crop in crops])


def test_flip_is_the_image_and_its_mirror_image():
    images = numbered(32, 48)
    views = make_views(tf.constant(images), SMALL.replace(tta="flip"))
    np.testing.assert_array_equal(views, [images, images[:, :, ::-1]])


def test_one_is_the_image():
    images = numbered(32, 48)
    (view,) = make_views(tf.constant(images), SMALL.replace(tta="none"))
    np.testing.assert_array_equal(view, images)


@pytest.mark.parametrize(
    ("values", "size"),
    [
        ({}, (288, 144)),  # TriNet's own sizes
        ({"resize_height": 300, "resize_width": 150}, (300, 150)),
        ({"resize_height": 300}, (300, 144)),
        ({"resize_height": 256, "resize_width": 128}, (288, 144)),
        ({"resize_height": 250, "resize_width": 127, "padding": 10}, (288, 144)),
        ({"image_height": 65, "image_width": 33}, (73, 37)),
        ({"resize_height": 300, "tta": "flip"}, (256, 128)),
        ({"resize_height": 300, "tta": "none"}, (256, 128)),
    ],
)
def test_size_that_views_are_taken_from(values, size):
    assert compute_viewed_size(Config().replace(**{"tta": "crops", **values})) == size
