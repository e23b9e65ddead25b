"""Mask IoU and joint accuracy against slow twins and by hand."""

import numpy as np
import pytest

from daaf_tf.training.attention_metrics import (
    compute_joint_accuracy,
    compute_mask_iou,
    locate_joints,
)


def test_mask_iou_equals_counting_pixels():
    random = np.random.default_rng(0)
    predicted, true = random.random((6, 5, 4)), random.random((6, 5, 4)) < 0.4
    expected = []
    for p, t in zip(predicted, true):
        found = {place for place in np.ndindex(5, 4) if p[place] >= 0.5}
        wanted = {place for place in np.ndindex(5, 4) if t[place]}
        expected.append(len(found & wanted) / len(found | wanted))
    np.testing.assert_allclose(compute_mask_iou(predicted, true), expected)


def test_mask_iou_of_empty_masks():
    empty, full = np.zeros((1, 2, 2)), np.ones((1, 2, 2))
    assert compute_mask_iou(empty, empty > 0) == [1.0]
    assert compute_mask_iou(empty, full > 0) == [0.0]
    assert compute_mask_iou(full, empty > 0) == [0.0]


def test_joints_are_located_at_pixel_centres():
    maps = np.zeros((2, 4, 8, 3))
    peaks = {(0, 0): (1, 2), (0, 1): (3, 7), (0, 2): (0, 0), (1, 0): (2, 5), (1, 1): (0, 6)}
    for (image, joint), (row, column) in peaks.items():
        maps[image, row, column, joint] = 0.3
    maps[1, 1, 1, 2] = maps[1, 3, 3, 2] = 0.2  # of equal peaks the first
    found = locate_joints(maps)
    for (image, joint), (row, column) in {**peaks, (1, 2): (1, 1)}.items():
        np.testing.assert_allclose(found[image, joint], ((column + 0.5) / 8, (row + 0.5) / 4))


@pytest.mark.parametrize(
    ("offset", "right"),
    [((0.0, 0.049), 1.0), ((0.0, 0.051), 0.0), ((0.099, 0.0), 1.0), ((0.101, 0.0), 0.0)],
)
def test_distance_is_measured_in_image_heights(offset, right):
    true = np.array([[[0.4, 0.6, 1.0]]])
    predicted = true[..., :2] + offset
    assert compute_joint_accuracy(predicted, true, aspect=0.5) == right


def test_hidden_joints_are_not_asked_for():
    true = np.zeros((2, 2, 3))
    true[:, :, 2] = [[1.0, 0.0], [0.9, 0.4]]
    predicted = np.zeros((2, 2, 2))
    predicted[1, 0] = 1.0  # wrong, and visible
    predicted[0, 1] = 1.0  # wrong, and hidden
    assert compute_joint_accuracy(predicted, true, aspect=0.5) == 0.5
    true[..., 2] = 0.0
    assert np.isnan(compute_joint_accuracy(predicted, true, aspect=0.5))
