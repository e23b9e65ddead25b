"""Targets drawn from coordinates: the same as those from stored maps of the same joints."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from test_augment import (
    ALL_GEOMETRIES,
    STORED_SIZES,
    centres,
    draw_maps,
    in_dataset,
    make_transformation,
    move,
    row,
)

from daaf_tf import schema
from daaf_tf.config import Config
from daaf_tf.data.augment import augment_keypoints, draw_keypoints, draw_transformations


def make_joints(points, visibility=1.0):
    """Return [17, 3] joints at points (y, x in 0..1 of the image)."""
    heights = np.broadcast_to(visibility, len(points))
    return np.column_stack((points[:, ::-1], heights)).astype(np.float32)


@ALL_GEOMETRIES
@pytest.mark.parametrize("last_stride", [1, 2])
@pytest.mark.parametrize("stored_size", STORED_SIZES)
def test_drawn_targets_are_those_of_stored_maps(geometry, last_stride, stored_size):
    config = Config().replace(last_stride=last_stride, **geometry)
    how = (config.data, config.target_size)
    random = np.random.RandomState(3)
    transformations = draw_transformations(config.data, 5, 6)
    assert 0 < transformations.flipped.sum() < 6
    for index in range(6):
        # Anywhere in the image, so that some Gaussians are cut off by crop or border.
        points = random.uniform(0, 1, (schema.NUM_JOINTS, 2))
        transformation = row(transformations, index)
        stored = augment_keypoints(draw_maps(points, stored_size), transformation, *how).numpy()
        drawn = draw_keypoints(make_joints(points), transformation, *how).numpy()
        assert drawn.shape == stored.shape
        assert drawn.dtype == np.float32
        assert (drawn >= 0).all()
        assert (drawn <= 1).all()
        np.testing.assert_array_equal(drawn.max(axis=(0, 1)) > 0.5, stored.max(axis=(0, 1)) > 0.5)
        # Interpolated maps are a little blurred; at the border a pixel may be in or out.
        assert np.square(drawn - stored).sum() < 1e-3 * np.square(stored).sum()
        assert np.abs(drawn - stored).max() < 0.12


@ALL_GEOMETRIES
@pytest.mark.parametrize("last_stride", [1, 2])
def test_drawn_joints_go_where_the_image_goes(geometry, last_stride):
    config = Config().replace(last_stride=last_stride, **geometry)
    random = np.random.RandomState(0)
    transformations = draw_transformations(config.data, 5, 6)

    def draw(joints, transformation):
        return draw_keypoints(joints, transformation, config.data, config.target_size)

    for index in range(6):
        points = random.uniform((0.25, 0.4), (0.75, 0.6), (schema.NUM_JOINTS, 2))
        transformation = row(transformations, index)
        expected = move(points, transformation, config.data, config.target_size)
        if transformation.flipped:
            expected = expected[list(schema.FLIP_PERMUTATION)]
        joints = make_joints(points)
        eager, mapped = draw(joints, transformation), in_dataset(draw, joints, transformation)
        np.testing.assert_allclose(eager, mapped, atol=1e-5)
        np.testing.assert_allclose(centres(eager), expected, atol=0.1)


def test_a_hidden_joint_stays_empty_and_shifts_no_other():
    config = Config().replace(padding=10)
    points = np.random.RandomState(0).uniform(0.3, 0.7, (17, 2))
    joints = make_joints(points)
    for hidden in (0.0, -1.0):
        joints[6, 2] = hidden
        for flipped in (False, True):
            how = (make_transformation(3, 17, flipped), config.data, config.target_size)
            full, targets = (
                draw_keypoints(each, *how).numpy() for each in (make_joints(points), joints)
            )
            empty = schema.FLIP_PERMUTATION[6] if flipped else 6
            assert targets[..., empty].max() == 0
            full[..., empty] = 0
            np.testing.assert_array_equal(targets, full)


def test_a_joint_is_as_high_as_it_is_visible_and_as_wide_as_asked():
    points = np.tile([64.5 / 128, 32.5 / 64], (17, 1))  # the centre of a pixel
    heights = np.linspace(0.1, 1, 17)
    for sigma in (3.0, 6.0):
        config = Config().replace(keypoint_sigma=sigma)
        targets = draw_keypoints(
            make_joints(points, heights), make_transformation(), config.data, (128, 64)
        ).numpy()
        np.testing.assert_allclose(targets[64, 32], heights, rtol=1e-5)
        beside = np.exp(-0.5 * (1 / (sigma / 2)) ** 2)
        for row_, column in ((65, 32), (63, 32), (64, 33), (64, 31)):
            np.testing.assert_allclose(targets[row_, column], heights * beside, rtol=1e-4)


def test_two_flips_are_the_identity():
    points = np.random.RandomState(0).uniform(0, 1, (17, 2))
    joints = make_joints(points)
    size = (128, 64)
    keep, flip = (make_transformation(flipped=flipped) for flipped in (False, True))
    mirrored = joints[list(schema.FLIP_PERMUTATION)]
    mirrored[:, 0] = 1 - mirrored[:, 0]
    data = Config().data
    np.testing.assert_allclose(
        draw_keypoints(mirrored, flip, data, size),
        draw_keypoints(joints, keep, data, size),
        atol=1e-5,
    )


def test_nothing_is_drawn_outside_the_image():
    config = Config().replace(padding=10, last_stride=1)
    corner = make_joints(np.zeros((17, 2)))
    how = make_transformation(top=0, left=0)  # 10 rows above and 10 columns to the left
    targets = draw_keypoints(corner, how, config.data, (256, 128)).numpy()
    assert targets[:10].max() == 0
    assert targets[:, :10].max() == 0
    assert targets[10, 10].min() > 0.9


def test_drawing_holds_no_surprise_in_a_compiled_graph():
    config = Config().replace(padding=10)
    joints = make_joints(np.random.RandomState(0).uniform(0, 1, (17, 2)))
    how = make_transformation(7, 13, True)
    draw = tf.function(lambda j: draw_keypoints(j, how, config.data, config.target_size))
    np.testing.assert_allclose(
        draw(joints), draw_keypoints(joints, how, config.data, config.target_size), atol=1e-6
    )
