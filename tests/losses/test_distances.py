"""Distances: equality with plain numpy, and gradients where distances vanish."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from daaf_tf.errors import UserError
from daaf_tf.losses import compute_pairwise_distances, compute_row_distances
from daaf_tf.losses.distances import METRICS


def slow_distance(a: np.ndarray, b: np.ndarray, metric: str) -> float:
    a, b = a.astype(np.float64), b.astype(np.float64)
    if metric == "cosine":
        return 1.0 - a @ b / (np.linalg.norm(a) * np.linalg.norm(b))
    squared = ((a - b) ** 2).sum()
    return squared if metric == "squared_euclidean" else np.sqrt(squared)


@pytest.mark.parametrize("metric", METRICS)
def test_both_forms_equal_a_slow_twin(metric):
    random = np.random.default_rng(1)
    for dimension in (1, 3, 128):
        a = random.normal(size=(6, dimension)).astype(np.float32)
        b = random.normal(size=(9, dimension)).astype(np.float32)
        expected = np.array([[slow_distance(x, y, metric) for y in b] for x in a])
        pairwise = compute_pairwise_distances(a, b, metric=metric)
        rows = compute_row_distances(np.repeat(a, 9, axis=0), np.tile(b, (6, 1)), metric=metric)
        # Near cosine distance 0 and in one dimension the matrix product may lose half the digits.
        np.testing.assert_allclose(pairwise, expected, rtol=1e-4, atol=2e-3)
        np.testing.assert_allclose(tf.reshape(rows, [6, 9]), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("metric", METRICS)
def test_pairwise_gradients_equal_those_by_rows(metric):
    random = np.random.default_rng(2)
    a = tf.constant(random.normal(size=(5, 8)), tf.float32)
    b = tf.constant(random.normal(size=(7, 8)), tf.float32)
    weights = tf.constant(random.normal(size=(5, 7)), tf.float32)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch((a, b))
        pairwise = tf.reduce_sum(weights * compute_pairwise_distances(a, b, metric=metric))
        rows = compute_row_distances(tf.repeat(a, 7, axis=0), tf.tile(b, [5, 1]), metric=metric)
        row_sum = tf.reduce_sum(tf.reshape(weights, [-1]) * rows)
    for x, y in zip(tape.gradient(pairwise, (a, b)), tape.gradient(row_sum, (a, b))):
        np.testing.assert_allclose(x, y, atol=1e-4)


@pytest.mark.parametrize("metric", METRICS)
def test_equal_rows_have_distance_and_gradient_zero(metric):
    rows = np.random.default_rng(3).normal(size=(4, 16)).astype(np.float32)
    rows[0] = 0.0
    a, b = tf.constant(rows), tf.constant(rows)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch((a, b))
        distances = compute_row_distances(a, b, metric=metric)
        pairwise = compute_pairwise_distances(a, b, metric=metric)
    assert np.all(distances.numpy() == 0.0)
    for gradient in tape.gradient(distances, (a, b)):
        assert np.all(gradient.numpy() == 0.0)
    for gradient in tape.gradient(pairwise, (a, b)):
        assert np.all(np.isfinite(gradient))


@pytest.mark.parametrize("metric", ["euclidean", "squared_euclidean"])
def test_a_common_offset_does_not_drown_small_differences(metric):
    # Multiples of 1/64 plus 1000 are exact in float32, so the offset itself rounds nothing away.
    random = np.random.default_rng(4)
    small = random.integers(-64, 65, size=(5, 32)).astype(np.float32) / 64
    expected = [[slow_distance(x, y, metric) for y in small] for x in small]
    shifted = compute_pairwise_distances(small + 1000.0, small + 1000.0, metric=metric)
    np.testing.assert_allclose(shifted, expected, atol=5e-3)


def test_small_float_types_are_computed_in_float32():
    rows = tf.constant([[1.0, 2.0], [3.0, 4.5]], tf.bfloat16)
    for metric in METRICS:
        assert compute_pairwise_distances(rows, rows, metric=metric).dtype == tf.float32
        assert compute_row_distances(rows, rows, metric=metric).dtype == tf.float32


def test_an_unknown_metric_is_named():
    with pytest.raises(UserError, match="'manhattan': expected one of euclidean"):
        compute_pairwise_distances(tf.ones([1, 1]), tf.ones([1, 1]), metric="manhattan")
