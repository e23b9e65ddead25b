from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from daaf_tf import schema
from daaf_tf.config import Config
from daaf_tf.data.augment import (
    Transformation,
    augment_image,
    augment_keypoints,
    augment_mask,
    draw_transformations,
)
from daaf_tf.data.preprocess import normalize_image, resize_image
from daaf_tf.sections.data import DataConfig

# The recipes' geometries, and one with everything at once in odd sizes.
GEOMETRIES = {
    "plain": {},
    "bot": {"padding": 10},
    "trinet": {"resize_height": 288, "resize_width": 144},
    "odd": {
        "image_height": 224,
        "image_width": 96,
        "resize_height": 251,
        "resize_width": 101,
        "padding": 7,
    },
}
ALL_GEOMETRIES = pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=GEOMETRIES.keys())
STORED_SIZES = [(256, 128), (128, 64)]


def row(transformations, index):
    """Return the Transformation of one image out of a batch's."""
    return Transformation(*(tf.constant(values[index]) for values in transformations))


def make_transformation(top=0, left=0, flipped=False, erased=(0, 0, 0, 0)):
    return row(
        Transformation(
            *(np.int32([top]), np.int32([left]), np.array([flipped]), np.int32([erased])),
        ),
        0,
    )


def in_dataset(function, image, transformation):
    """Return function(image, transformation), computed inside a tf.data pipeline."""
    dataset = tf.data.Dataset.from_tensors((image, *transformation))
    return next(iter(dataset.map(lambda image, *rest: function(image, Transformation(*rest)))))


def move(points, transformation, data, target_size):
    """Return where points (y, x in 0..1 of the image) are in the target, in its pixels."""
    resized = np.array(
        [data.resize_height or data.image_height, data.resize_width or data.image_width]
    )
    cropped = np.array([data.image_height, data.image_width])
    offset = np.array([int(transformation.top), int(transformation.left)])
    moved = points * resized + data.padding - offset
    if transformation.flipped:
        moved[:, 1] = cropped[1] - moved[:, 1]
    return moved * np.array(target_size) / cropped


def draw_maps(points, size):
    """Return [17, H, W] uint8 Gaussians, sigma 6 at a height of 256; peak 255."""
    rows, columns = (np.arange(length) + 0.5 for length in size)
    y, x = (points * size).T[..., None]
    sigma = 6 * size[0] / 256
    vertical = np.exp(-((rows - y) ** 2) / (2 * sigma**2))
    horizontal = np.exp(-((columns - x) ** 2) / (2 * sigma**2))
    return np.rint(255 * vertical[:, :, None] * horizontal[:, None]).astype(np.uint8)


def centres(maps):
    """Return the centre of mass (y, x in pixels) of each channel of [h, w, C]."""
    maps = np.asarray(maps, np.float64)
    rows, columns = (np.arange(length) + 0.5 for length in maps.shape[:2])
    mass = maps.sum(axis=(0, 1))
    y = (maps.sum(axis=1) * rows[:, None]).sum(axis=0) / mass
    x = (maps.sum(axis=0) * columns[:, None]).sum(axis=0) / mass
    return np.stack((y, x), axis=-1)


@ALL_GEOMETRIES
@pytest.mark.parametrize("last_stride", [1, 2])
@pytest.mark.parametrize("stored_size", STORED_SIZES)
def test_joints_go_where_the_image_goes(geometry, last_stride, stored_size):
    config = Config().replace(flip_probability=0.5, last_stride=last_stride, **geometry)
    target_size = config.target_size
    random = np.random.RandomState(0)
    transformations = draw_transformations(config.data, 5, 6)
    assert 0 < transformations.flipped.sum() < 6

    def augment(maps, transformation):
        return augment_keypoints(maps, transformation, config.data, target_size)

    for index in range(6):
        # Far enough from the edges that no crop cuts off a part of a Gaussian.
        points = random.uniform((0.25, 0.35), (0.75, 0.65), (schema.NUM_JOINTS, 2))
        transformation = row(transformations, index)
        expected = move(points, transformation, config.data, target_size)
        if transformation.flipped:
            expected = expected[list(schema.FLIP_PERMUTATION)]
        maps = draw_maps(points, stored_size)
        for targets in (augment(maps, transformation), in_dataset(augment, maps, transformation)):
            assert targets.shape == (*target_size, schema.NUM_JOINTS)
            np.testing.assert_allclose(centres(targets), expected, atol=0.1)
            peaks = np.asarray(targets).max(axis=(0, 1))
            assert (peaks > 0.9).all()
            assert (peaks <= 1).all()


def test_odd_crop_moves_a_target_of_half_resolution_by_half_a_pixel():
    config = Config().replace(padding=10)
    maps = draw_maps(np.full((17, 2), 0.5), (256, 128))
    even, odd = (
        augment_keypoints(maps, make_transformation(10, left), config.data, (128, 64))
        for left in (10, 11)
    )
    shift = centres(even) - centres(odd)
    np.testing.assert_allclose(shift, np.tile([0, 0.5], (17, 1)), atol=1e-3)


@pytest.mark.parametrize("stored_size", STORED_SIZES)
def test_two_flips_are_the_identity(stored_size):
    config = Config()
    random = np.random.RandomState(0)
    points = random.uniform(0.1, 0.9, (schema.NUM_JOINTS, 2))
    maps = draw_maps(points, stored_size)
    image = random.randint(0, 256, (128, 64, 3)).astype(np.uint8)
    flip, keep = make_transformation(flipped=True), make_transformation()

    def flip_targets(maps, how):
        return augment_keypoints(maps, how, config.data, stored_size)

    once = np.rint(255 * flip_targets(maps, flip)).astype(np.uint8)
    twice = flip_targets(np.transpose(once, (2, 0, 1)), flip)
    np.testing.assert_allclose(twice, flip_targets(maps, keep), atol=1e-6)
    mask = maps[:1].transpose(1, 2, 0)
    once = np.rint(255 * augment_mask(mask, flip, config.data, stored_size)).astype(np.uint8)
    twice = augment_mask(once, flip, config.data, stored_size)
    np.testing.assert_allclose(twice, mask / 255, atol=1e-6)
    twice = augment_image(image[:, ::-1], flip, config.data)
    np.testing.assert_allclose(twice, augment_image(image, keep, config.data), atol=1e-5)


def test_flip_swaps_left_and_right_and_nothing_else():
    maps = np.zeros((17, 8, 4), np.uint8)
    maps[schema.JOINTS.index("left_wrist")] = 255
    maps[schema.JOINTS.index("nose")] = 102
    targets = augment_keypoints(maps, make_transformation(flipped=True), DataConfig(), (8, 4))
    expected = np.zeros(17)
    expected[schema.JOINTS.index("right_wrist")] = 1
    expected[schema.JOINTS.index("nose")] = 0.4
    np.testing.assert_allclose(targets, np.broadcast_to(expected, (8, 4, 17)), atol=1e-6)


def test_a_hidden_joint_stays_empty_and_shifts_no_other():
    points = np.random.RandomState(0).uniform(0.3, 0.7, (17, 2))
    config = Config().replace(padding=10)
    maps = draw_maps(points, (256, 128))
    hidden = maps.copy()
    hidden[6] = 0
    for flipped in (False, True):
        how = make_transformation(3, 17, flipped)
        full, targets = (
            augment_keypoints(each, how, config.data, config.target_size).numpy()
            for each in (maps, hidden)
        )
        empty = schema.FLIP_PERMUTATION[6] if flipped else 6
        assert targets[..., empty].max() == 0
        full[..., empty] = 0
        np.testing.assert_array_equal(targets, full)


@ALL_GEOMETRIES
@pytest.mark.parametrize("last_stride", [1, 2])
def test_image_and_mask_of_the_same_content_stay_aligned(geometry, last_stride):
    config = Config().replace(last_stride=last_stride, **geometry)
    data, target_size = config.data, config.target_size
    image_size = (data.image_height, data.image_width)
    content = np.zeros((128, 64, 3), np.uint8)
    content[30:100, 20:50] = 255
    mean, std = np.array(schema.IMAGE_MEAN), np.array(schema.IMAGE_STD)
    transformations = draw_transformations(data, 2, 6)
    for index in range(6):
        how = row(transformations, index)
        image = augment_image(content, how, data).numpy() * std + mean
        mask = augment_mask(content[..., :1], how, data, target_size).numpy()
        assert mask.min() >= 0
        assert mask.max() <= 1
        shrunk = tf.image.resize(image, target_size, antialias=True).numpy()
        # The two are interpolated in another order, which shows at the edges alone.
        assert np.abs(shrunk - mask).mean() < 0.01
        scale = np.array(image_size) / target_size
        np.testing.assert_allclose(centres(image)[:1], centres(mask) * scale, atol=0.05)


def test_without_augmentation_it_is_the_evaluation_path():
    data = DataConfig(image_height=96, image_width=40)
    image = np.random.RandomState(0).randint(0, 256, (128, 64, 3)).astype(np.uint8)
    expected = normalize_image(resize_image(image, 96, 40))
    np.testing.assert_array_equal(augment_image(image, make_transformation(), data), expected)


def test_padding_is_black_around_image_and_empty_around_targets():
    config = Config().replace(padding=10, last_stride=1)
    white = np.full((128, 64, 3), 255, np.uint8)
    black = -np.array(schema.IMAGE_MEAN) / schema.IMAGE_STD
    how = make_transformation(top=0, left=20)  # 10 rows above, 10 columns to the right
    outside = np.ones((256, 128), bool)
    outside[10:, :-10] = False
    image = augment_image(white, how, config.data).numpy()
    np.testing.assert_allclose(
        image[outside], np.broadcast_to(black, (outside.sum(), 3)), atol=1e-6
    )
    assert image[~outside].min() > 2
    mask = augment_mask(white[..., :1], how, config.data, (256, 128)).numpy()
    maps = augment_keypoints(
        np.full((17, 64, 32), 255, np.uint8), how, config.data, (256, 128)
    ).numpy()
    for target in (mask, maps):
        np.testing.assert_allclose(target, np.broadcast_to(~outside[..., None], target.shape), 1e-6)


def test_erasing_sets_a_box_of_the_image_to_the_mean_and_leaves_the_targets():
    config = Config().replace(erasing_probability=1.0)
    random = np.random.RandomState(0)
    image = random.randint(0, 256, (128, 64, 3)).astype(np.uint8)
    maps = random.randint(0, 256, (17, 64, 32)).astype(np.uint8)
    erasing = make_transformation(erased=(20, 30, 70, 90))

    def augment_all(how):
        return (
            augment_image(image, how, config.data).numpy(),
            augment_mask(image[..., :1], how, config.data, (128, 64)),
            augment_keypoints(maps, how, config.data, (128, 64)),
        )

    (erased, *targets), (whole, *expected) = (
        augment_all(erasing),
        augment_all(make_transformation()),
    )
    box = (slice(20, 70), slice(30, 90))
    assert (erased[box] == 0).all()
    erased[box] = whole[box]
    np.testing.assert_array_equal(erased, whole)
    for target, same in zip(targets, expected):
        np.testing.assert_array_equal(target, same)


def test_drawn_boxes_follow_the_recipe():
    data = DataConfig(erasing_probability=0.5)
    boxes = np.concatenate([draw_transformations(data, step, 64).erased for step in range(100)])
    assert boxes.dtype == np.int32
    top, left, bottom, right = boxes.T
    height, width = bottom - top, right - left
    drawn = (height > 0) & (width > 0)
    assert abs(drawn.mean() - 0.5) < 0.02
    assert (boxes[~drawn] == 0).all()
    assert (boxes >= 0).all()
    assert (bottom <= 256).all()
    assert (right <= 128).all()
    area = (height * width)[drawn] / (256 * 128)
    aspect = (height / np.maximum(width, 1))[drawn]
    assert 0.019 < area.min() < 0.025
    assert 0.38 < area.max() < 0.41
    assert 0.28 < aspect.min() < 0.4
    assert 3.1 < aspect.max() < 3.5
    # Wherever it fits: the free space before and behind the box is equal on average.
    assert abs((top / (256 - height))[drawn].mean() - 0.5) < 0.02
    assert abs((left / (128 - width))[drawn].mean() - 0.5) < 0.02


def test_a_box_that_never_fits_erases_nothing():
    data = DataConfig(erasing_probability=1.0, erasing_min_area=1.0, erasing_max_area=1.0)
    assert (draw_transformations(data, 0, 64).erased == 0).all()


@ALL_GEOMETRIES
def test_crops_are_drawn_from_everywhere(geometry):
    data = Config().replace(**geometry).data
    drawn = [draw_transformations(data, step, 64) for step in range(60)]
    for name, resized, image in (
        ("top", data.resize_height or data.image_height, data.image_height),
        ("left", data.resize_width or data.image_width, data.image_width),
    ):
        offsets = np.concatenate([getattr(each, name) for each in drawn])
        assert set(offsets) == set(range(resized + 2 * data.padding - image + 1))


@pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
def test_flips_are_drawn_as_often_as_asked(probability):
    data = DataConfig(flip_probability=probability)
    flipped = np.concatenate([draw_transformations(data, step, 64).flipped for step in range(100)])
    assert abs(flipped.mean() - probability) <= (0 if probability in (0, 1) else 0.02)


def test_what_is_drawn_depends_on_seed_step_and_place_alone():
    data = DataConfig(padding=10, erasing_probability=0.5, seed=4)
    drawn = draw_transformations(data, 7, 64)
    for again, fewer in zip(draw_transformations(data, 7, 16), drawn):
        np.testing.assert_array_equal(again, fewer[:16])
    for other in (
        draw_transformations(data, 8, 64),
        draw_transformations(DataConfig(padding=10, erasing_probability=0.5, seed=5), 7, 64),
    ):
        assert not any(np.array_equal(a, b) for a, b in zip(other, drawn))
