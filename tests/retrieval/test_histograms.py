"""Colour histograms: a slow twin, what they ignore on purpose, bad input."""

from __future__ import annotations

import math

import numpy as np
import pytest

from daaf_tf.errors import UserError
from daaf_tf.retrieval import compute_colour_histograms, compute_distances, evaluate


def make_image(seed: int, height: int = 24, width: int = 12) -> np.ndarray:
    return np.random.default_rng(seed).integers(20, 120, (height, width, 3)).astype(np.uint8)


def slow_histogram(image: np.ndarray) -> np.ndarray:
    height, width, _ = image.shape
    means = [image[:, :, channel].mean() for channel in range(3)]
    counts = np.zeros((6, 6, 6, 6))
    for y in range(height):
        for x in range(width):
            levels = [min(5, int(image[y, x, c] / means[c] * 0.45 * 6)) for c in range(3)]
            offset = ((x + 0.5) / width - 0.5) / 0.15
            counts[(y * 6 // height, *levels)] += math.exp(-0.5 * offset**2)
    counts /= counts.sum(axis=(1, 2, 3), keepdims=True)
    return np.sqrt(counts).ravel()


def test_equals_a_slow_twin():
    images = [make_image(1), make_image(2, height=37, width=9), make_image(3, height=6, width=1)]
    features = compute_colour_histograms(iter(images))
    assert features.shape == (3, 1296)
    assert features.dtype == np.float32
    np.testing.assert_allclose(features, np.stack([slow_histogram(i) for i in images]), atol=1e-6)


def test_every_stripe_has_norm_one_even_in_one_colour():
    images = [make_image(4), np.zeros((8, 4, 3), np.uint8), np.full((8, 4, 3), 255, np.uint8)]
    stripes = compute_colour_histograms(images).reshape(3, 6, -1)
    np.testing.assert_allclose(np.linalg.norm(stripes, axis=2), 1.0, rtol=1e-5)


def test_exposure_and_colour_cast_change_nothing():
    image = make_image(5)
    seen_by_another_camera = image * np.array([2, 1, 2], np.uint8)
    features = compute_colour_histograms([image, seen_by_another_camera])
    # Doubling is exact here, so every pixel keeps its level.
    np.testing.assert_allclose(features[0], features[1], atol=1e-6)


def test_the_border_weighs_less_than_the_middle():
    image = np.full((12, 12, 3), 100, np.uint8)
    border, middle = image.copy(), image.copy()
    # Two colours that leave the mean, and so all other pixels, as they were.
    border[:, 0], border[:, 11] = (20, 100, 180), (180, 100, 20)
    middle[:, 5], middle[:, 6] = (20, 100, 180), (180, 100, 20)
    features = compute_colour_histograms([image, border, middle])
    distances = compute_distances(features, features)
    assert 0.0 < distances[0, 1] < 0.5 * distances[0, 2]


def test_people_in_different_clothes_are_told_apart():
    random = np.random.default_rng(6)
    clothes = random.integers(0, 256, size=(5, 6, 1, 3))
    people = np.tile(np.repeat(clothes, 4, axis=1), (1, 1, 12, 1))
    noise = random.integers(-6, 7, size=(2, *people.shape))
    query, gallery = (np.clip(people + n, 0, 255).astype(np.uint8) for n in noise)
    ids, ones = np.arange(5), np.ones(5, int)
    result = evaluate(
        compute_colour_histograms(query),
        compute_colour_histograms(gallery),
        query_ids=ids,
        gallery_ids=ids,
        query_cameras=ones,
        gallery_cameras=2 * ones,
    )
    assert result.cmc[0] == 1.0


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([], "received none"),
        (
            [make_image(7), np.zeros((8, 4, 3))],
            r"image 1: .* received float64 of shape \[8, 4, 3\]",
        ),
        ([np.zeros((8, 4), np.uint8)], r"image 0: .* received uint8 of shape \[8, 4\]"),
        ([np.zeros((5, 4, 3), np.uint8)], r"6 rows or more, received uint8 of shape \[5, 4, 3\]"),
    ],
)
def test_bad_images_are_named(images, message):
    with pytest.raises(UserError, match=message):
        compute_colour_histograms(images)
