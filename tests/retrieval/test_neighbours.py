"""Neighbours against all distances, and the blocks and threads that find them."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from daaf_tf.retrieval import neighbours
from daaf_tf.retrieval.blocks import make_blocks, map_in_threads


def slow_neighbours(points):
    points = points.astype(np.float64)
    squares = ((points[:, None] - points) ** 2).sum(axis=2)
    return np.argsort(squares, axis=1, kind="stable"), squares.max(axis=1)


def make_points(random, kind, count):
    points = random.normal(size=(count, 6))
    if kind == "ties":
        return random.integers(0, 2, size=(count, 6))
    if kind == "equal":
        return np.repeat(points[: count // 20], 20, axis=0)
    if kind == "near":  # closer to each other than float32 can tell beside the outlier
        points *= 1e-5
        points[0] = 1.0
    return points


@pytest.mark.parametrize("tile", [13, 100, 2048])
@pytest.mark.parametrize("kind", ["plain", "ties", "equal", "near"])
def test_equal_those_of_all_distances(monkeypatch, kind, tile):
    monkeypatch.setattr(neighbours, "_TILE_POINTS", tile)
    random = np.random.default_rng(tile)
    points = make_points(random, kind, 300)[random.permutation(300)]
    cuts = (21, 11, 6, 1)
    found, farthest = neighbours.find_neighbours(points, cuts)
    expected, squares = slow_neighbours(points)
    assert found.shape == (300, 21)
    for cut in cuts:
        assert np.array_equal(np.sort(found[:, :cut]), np.sort(expected[:, :cut]))
    np.testing.assert_allclose(farthest, squares, rtol=1e-5)


@pytest.mark.parametrize("distance", [1e3, 1e6])
def test_an_outlier_does_not_blur_the_others(monkeypatch, distance):
    points = np.random.default_rng(1).normal(size=(1000, 8))
    points[500] *= distance
    compute, pairs = neighbours.compute_pair_squares, []
    monkeypatch.setattr(
        neighbours,
        "compute_pair_squares",
        lambda features, rows, columns: pairs.append(len(rows)) or compute(features, rows, columns),
    )
    found, _ = neighbours.find_neighbours(points, (21,))
    expected, _ = slow_neighbours(points)
    assert np.array_equal(np.sort(found), np.sort(expected[:, :21]))
    # Some 25 candidates each, and few of them unclear.
    assert sum(pairs) < 10_000


@pytest.mark.parametrize("count", [1, 2, 5, 12])
def test_few_points_are_all_neighbours(count):
    points = np.random.default_rng(count).normal(size=(count, 3))
    found, _ = neighbours.find_neighbours(points, (count,))
    assert np.array_equal(np.sort(found), np.tile(np.arange(count), (count, 1)))


def test_zero_and_minus_zero_are_the_same_point():
    first, place = neighbours.find_distinct(np.array([[1.0, 0.0], [0.0, 2.0], [1.0, -0.0]]))
    assert first.tolist() == [0, 1]
    assert place.tolist() == [0, 1, 0]


def test_blocks_cover_the_rows():
    blocks = list(make_blocks(7, 3))
    assert [(rows.start, rows.stop) for rows in blocks] == [(0, 3), (3, 6), (6, 7)]
    assert list(make_blocks(0, 3)) == []


def test_results_come_in_order_and_do_not_pile_up():
    started, most_waiting, lock = [], [], threading.Lock()

    def work(item):
        with lock:
            started.append(item)
        return item * item

    for number, result in enumerate(map_in_threads(work, range(50))):
        assert result == number * number
        most_waiting.append(len(started) - number)
    # Those that run or wait, and the one that was taken: at most 4 threads.
    assert max(most_waiting) <= 6


def test_an_error_in_a_thread_arrives():
    with pytest.raises(ZeroDivisionError):
        list(map_in_threads(lambda item: 1 // (3 - item), range(10)))
