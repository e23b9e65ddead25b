"""Distances for ranking: exact values, exact ties, no TensorFlow."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from daaf_tf.errors import UserError
from daaf_tf.retrieval import compute_distances, distances

METRICS = ("euclidean", "cosine")


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int64, np.uint8])
def test_equals_differences(metric, dtype):
    random = np.random.default_rng(1)
    query = random.uniform(1, 100, size=(7, 33)).astype(dtype)
    gallery = random.uniform(1, 100, size=(9, 33)).astype(dtype)
    a, b = query.astype(np.float64), gallery.astype(np.float64)
    if metric == "cosine":
        norms = np.linalg.norm(a, axis=1)[:, None] * np.linalg.norm(b, axis=1)
        expected = 1.0 - a @ b.T / norms
    else:
        expected = np.linalg.norm(a[:, None] - b[None], axis=2)
    result = compute_distances(query, gallery, metric=metric)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, expected, rtol=1e-6)


def test_chunks_of_the_gallery_leave_no_seam(monkeypatch):
    random = np.random.default_rng(2)
    query, gallery = random.normal(size=(5, 16)), random.normal(size=(23, 16))
    whole = compute_distances(query, gallery)
    monkeypatch.setattr(distances, "_CHUNK_ROWS", 4)
    assert np.array_equal(compute_distances(query, gallery), whole)
    gallery[22, 3] = np.nan
    with pytest.raises(UserError, match="row 22"):
        compute_distances(query, gallery)


@pytest.mark.parametrize("metric", METRICS)
def test_equal_rows_tie_exactly_wherever_they_stand(metric):
    random = np.random.default_rng(3)
    query = random.normal(size=(50, 300)).astype(np.float32)
    gallery = random.normal(size=(101, 300)).astype(np.float32)
    positions = random.integers(0, 101, size=203)
    result = compute_distances(query, gallery[positions], metric=metric)
    assert np.array_equal(result, compute_distances(query, gallery, metric=metric)[:, positions])


@pytest.mark.parametrize("metric", METRICS)
def test_a_copy_of_the_query_is_at_distance_zero(metric):
    features = np.random.default_rng(4).normal(size=(60, 200)).astype(np.float32) * 1000
    result = compute_distances(features, features, metric=metric)
    assert np.all(np.diag(result) == 0.0)
    assert np.all(result[~np.eye(60, dtype=bool)] > 0.0)


def test_a_common_offset_costs_no_digits():
    random = np.random.default_rng(5)
    small = random.integers(-64, 65, size=(6, 32)).astype(np.float32) / 64
    expected = compute_distances(small, small[:3])
    np.testing.assert_allclose(
        compute_distances(small + 100, small[:3] + 100), expected, rtol=1e-6, atol=1e-3
    )


def test_a_row_of_zeros_has_no_cosine_distance():
    query, gallery = np.ones((2, 3)), np.ones((4, 3))
    gallery[2] = 0.0
    assert compute_distances(query, gallery)[0, 2] == pytest.approx(np.sqrt(3))
    with pytest.raises(UserError, match="gallery_features: row 2 is all zeros"):
        compute_distances(query, gallery, metric="cosine")


def test_no_tensorflow_is_imported():
    program = "import sys, daaf_tf.retrieval; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
