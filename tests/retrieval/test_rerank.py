"""Re-ranking against the dense original, its corner cases, its memory, and bad input."""

from __future__ import annotations

import importlib
import importlib.util
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from daaf_tf.errors import UserError
from daaf_tf.retrieval import (
    Reranker,
    compute_distances,
    evaluate_blocks,
    evaluate_distances,
    rerank_blocks,
)
from daaf_tf.retrieval import rerank as rerank_points

# The package's attribute of this name is the function.
RERANK = importlib.import_module("daaf_tf.retrieval.rerank")
NEIGHBOURS = importlib.import_module("daaf_tf.retrieval.neighbours")
CASE = pathlib.Path(__file__).parents[2] / "tools" / "benchmark_retrieval_case.py"


@pytest.fixture(scope="module")
def dense():
    """The module that holds the dense original."""
    spec = importlib.util.spec_from_file_location(CASE.stem, CASE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    # Exact for whole numbers in any order, and equal for equal pairs.
    module.compute_squares = lambda points: ((points[:, None] - points) ** 2).sum(axis=2)
    return module


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(RERANK, "_BLOCK_POINTS", 3)
    monkeypatch.setattr(RERANK, "_BLOCK_NUMBERS", 20)
    monkeypatch.setattr(NEIGHBOURS, "_TILE_POINTS", 7)
    monkeypatch.setattr(NEIGHBOURS, "_CHUNK_ROWS", 5)


def make_points(random: np.random.Generator, kind: str, count: int) -> np.ndarray:
    width = int(random.integers(1, 6))
    points = random.normal(size=(count, width)).astype(np.float32)
    if kind == "ties":
        return random.integers(0, 3, size=(count, width)).astype(np.float32)
    if kind == "duplicates":
        return points[random.integers(0, count // 3 + 1, size=count)]
    if kind == "outlier":
        points[random.integers(count)] *= 1e4
    if kind == "offset":
        return points * np.float32(0.01) + 100
    return points


@pytest.mark.parametrize("kind", ["plain", "ties", "duplicates", "outlier", "offset"])
@pytest.mark.usefixtures("small_blocks")
def test_equals_the_dense_original(dense, kind):
    random = np.random.default_rng(len(kind))
    compared = 0
    for _ in range(100):
        num_queries, num_gallery = (int(random.integers(1, most)) for most in (12, 40))
        points = make_points(random, kind, num_queries + num_gallery)
        if np.all(points == points[0]):
            continue  # 0 / 0 in the original
        query, gallery = points[:num_queries], points[num_queries:]
        parameters = {
            "k1": int(random.integers(1, 25)),
            "k2": int(random.integers(1, 9)),
            "lambda_value": float(random.choice([0.0, 0.3, random.uniform(), 1.0])),
        }
        expected = dense.rerank_densely(query, gallery, **parameters, dtype=np.float64)
        result = rerank_points(query, gallery, **parameters)
        assert result.dtype == np.float32
        np.testing.assert_allclose(result, expected, rtol=0, atol=1e-5, err_msg=str(parameters))
        compared += 1
    assert compared > 60


def make_people(random, num_people, images, width=24, noise=0.6):
    """Return features that cluster by person, [num_people * images, width]."""
    centres = np.repeat(random.normal(size=(num_people, width)), images, axis=0)
    return (centres + noise * random.normal(size=centres.shape)).astype(np.float32)


def test_equals_the_dense_original_on_people(dense):
    points = make_people(np.random.default_rng(1), 40, 15)[
        np.random.default_rng(2).permutation(600)
    ]
    for k1, k2, lambda_value in ((20, 6, 0.3), (21, 1, 0.1), (7, 3, 0.5)):
        parameters = {"k1": k1, "k2": k2, "lambda_value": lambda_value}
        expected = dense.rerank_densely(points[:90], points[90:], **parameters, dtype=np.float64)
        result = rerank_points(points[:90], points[90:], **parameters)
        np.testing.assert_allclose(result, expected, rtol=0, atol=1e-5)
        # Many pairs share nothing, so these parameters say something of the others only.
        assert 0.01 < np.mean(expected < (1 - lambda_value)) < 0.6


def test_the_original_distance_alone_keeps_the_ranking():
    random = np.random.default_rng(3)
    query, gallery = random.normal(size=(9, 5)), random.normal(size=(30, 5))
    order = np.argsort(compute_distances(query, gallery), axis=1)
    reranked = rerank_points(query, gallery, lambda_value=1.0)
    assert np.array_equal(np.argsort(reranked, axis=1), order)
    assert 0.0 <= reranked.min() < reranked.max() <= 1.0


def test_ranking_of_people_gets_better():
    random = np.random.default_rng(4)
    points, ids = make_people(random, 50, 10, noise=1.0), np.repeat(np.arange(50), 10)
    query = np.arange(500) % 10 < 2
    people = {
        "query_ids": ids[query],
        "gallery_ids": ids[~query],
        "query_cameras": np.ones(100, int),
        "gallery_cameras": np.full(400, 2),
    }
    before = evaluate_distances(compute_distances(points[query], points[~query]), **people)
    distances = rerank_points(points[query], points[~query], k1=10, k2=4)
    after = evaluate_distances(distances, **people)
    assert before.mean_ap + 0.05 < after.mean_ap
    blocks = evaluate_blocks(rerank_blocks(points[query], points[~query], k1=10, k2=4), **people)
    assert np.array_equal(blocks.average_precision, after.average_precision)


@pytest.mark.parametrize("tile", [5, 64, 2048])
def test_blocks_of_any_size_give_the_same(monkeypatch, tile):
    points = make_people(np.random.default_rng(5), 20, 10)
    whole = rerank_points(points[:50], points[50:])
    monkeypatch.setattr(NEIGHBOURS, "_TILE_POINTS", tile)
    monkeypatch.setattr(RERANK, "_BLOCK_NUMBERS", 450)
    monkeypatch.setattr(RERANK, "_BLOCK_POINTS", 17)
    blocks = list(rerank_blocks(points[:50], points[50:]))
    assert [len(block) for block in blocks] == [3] * 16 + [2]
    np.testing.assert_allclose(np.concatenate(blocks), whole, rtol=0, atol=1e-6)


@pytest.mark.parametrize("scale", [1e-30, 1e-12, 1.0, 1e12])
def test_scale_changes_nothing(scale):
    points = make_people(np.random.default_rng(6), 10, 10).astype(np.float64)
    expected = rerank_points(points[:20], points[20:])
    result = rerank_points(points[:20] * scale, points[20:] * scale)
    np.testing.assert_allclose(result, expected, rtol=0, atol=1e-5)


def test_some_queries_get_the_distances_that_they_get_among_all():
    points = make_points(np.random.default_rng(3), "uniform", 40)
    query, gallery = points[:15], points[15:]
    ranked = Reranker(query, gallery, k1=5, k2=3)
    whole = rerank_points(query, gallery, k1=5, k2=3)
    some = np.array([14, 0, 3, 3])
    np.testing.assert_array_equal(ranked.compute_distances(some), whole[some])
    assert ranked.compute_distances(np.array([], int)).shape == (0, 25)
    blocks = list(ranked.compute_blocks(4))
    assert [len(block) for block in blocks] == [4, 4, 4, 3]
    np.testing.assert_array_equal(np.concatenate(blocks), whole)


def test_equal_points_all_over():
    """A network that answers the same to everything."""
    result = rerank_points(np.zeros((3, 4)), np.zeros((60, 4)), k1=5, k2=1, lambda_value=0.3)
    # The six nearest of everybody are the first six points, so only those have any reciprocal.
    np.testing.assert_allclose(result[:, :3], 0.0, atol=1e-6)
    np.testing.assert_allclose(result[:, 3:], 0.7, atol=1e-6)


def test_many_equal_points_cost_no_more_than_others():
    points = np.repeat(np.arange(5.0), 4000)[:, None]
    assert len(NEIGHBOURS.find_distinct(points)[0]) == 5
    neighbours, farthest = NEIGHBOURS.find_neighbours(points, (21,))
    assert np.array_equal(neighbours[8000], np.arange(8000, 8021))
    assert np.array_equal(neighbours[11999], neighbours[8000])
    np.testing.assert_allclose(farthest[[0, 8000]], [16.0, 4.0])


def test_a_gallery_of_one_image():
    assert rerank_points([[1.0, 0.0]], [[0.0, 2.0]]).shape == (1, 1)


def test_input_is_left_as_it_was():
    points = make_people(np.random.default_rng(7), 5, 4)
    query, gallery = points[:4].copy(), points[4:].copy()
    rerank_points(query, gallery)
    assert np.array_equal(query, points[:4])
    assert np.array_equal(gallery, points[4:])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"k1": 0}, "k1 0: expected a whole number, 1 or more"),
        ({"k1": 2.5}, "k1 2.5: expected a whole number"),
        ({"k2": -1}, "k2 -1: expected a whole number, 1 or more"),
        ({"lambda_value": 1.5}, "lambda_value 1.5: expected a number from 0 to 1"),
        ({"lambda_value": float("nan")}, "lambda_value nan"),
        ({"query_features": np.ones((0, 3))}, r"query_features: expected numbers .* \[0, 3\]"),
        ({"gallery_features": np.ones((0, 3))}, r"gallery_features: expected numbers .* \[0, 3\]"),
        ({"gallery_features": np.ones((5, 2))}, "query_features are 3 wide and gallery_features 2"),
        ({"query_features": np.full((5, 3), np.nan)}, "query_features: row 0 holds NaN"),
        ({"gallery_features": np.full((5, 3), None)}, "gallery_features: .* received object"),
    ],
)
@pytest.mark.parametrize("function", [rerank_points, rerank_blocks])
def test_bad_input_is_named(function, changes, message):
    arguments = {"query_features": np.ones((5, 3)), "gallery_features": np.ones((5, 3)), **changes}
    query, gallery = arguments.pop("query_features"), arguments.pop("gallery_features")
    with pytest.raises(UserError, match=message):
        function(query, gallery, **arguments)


MEMORY = """
import numpy as np
from daaf_tf import retrieval
from daaf_tf.benchmarks import read_peak_memory

points = np.random.default_rng(1).standard_normal((13_000, 4), np.float32)
retrieval.rerank(points[:500], points[500:1000])  # what libraries take once
before = read_peak_memory()
for block in retrieval.rerank_blocks(points[:1000], points[1000:]):
    pass
print(read_peak_memory() - before)
"""


def test_memory_is_that_of_the_neighbours():
    done = subprocess.run(
        [sys.executable, "-c", MEMORY], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    # All distances in float32 would be 645 MB.
    assert float(done.stdout) < 450
