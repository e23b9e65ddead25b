"""Counts of distances: all pairs but the ignored ones, however they come."""

from __future__ import annotations

import math

import numpy as np
import pytest

from daaf_tf.errors import UserError
from daaf_tf.retrieval.matches import is_ignored, match_queries
from daaf_tf.retrieval.pair_histogram import NUM_BINS, PairHistogram


def make_case(seed, scale=1.0):
    random = np.random.default_rng(seed)
    people = {
        "query_ids": random.integers(1, 4, size=9),
        "gallery_ids": random.integers(-1, 4, size=60),
        "query_cameras": random.integers(-1, 3, size=9),
        "gallery_cameras": random.integers(-1, 3, size=60),
    }
    distances = scale * random.gamma(2.0, size=(9, 60)) * 10.0 ** random.integers(-4, 3, (9, 1))
    return distances.astype(np.float32), people


def count(distances, people, order):
    matches = match_queries(**people, num_queries=9, num_gallery=60)
    pairs = PairHistogram(matches)
    for query in order:
        pairs.add(query, distances[query])
    return pairs


@pytest.mark.parametrize("scale", [1e-30, 0.01, 1.0, 1e12])
def test_equals_a_slow_twin(scale):
    for seed in range(20):
        distances, people = make_case(seed, scale)
        pairs = count(distances, people, range(9))
        values = {True: [], False: []}
        for query in range(9):
            ignored = is_ignored(
                query_id=people["query_ids"][query],
                gallery_ids=people["gallery_ids"],
                query_camera=people["query_cameras"][query],
                gallery_cameras=people["gallery_cameras"],
            )
            same = people["gallery_ids"] == people["query_ids"][query]
            for index in np.flatnonzero(~ignored):
                values[bool(same[index])].append(float(distances[query, index]))
        edges = np.arange(NUM_BINS + 1) * pairs.width
        assert pairs.same.tolist() == np.histogram(values[True], edges)[0].tolist()
        assert pairs.different.tolist() == np.histogram(values[False], edges)[0].tolist()
        assert pairs.same.sum() == len(values[True])
        assert pairs.different.sum() == len(values[False])
        # The bins are not wider than the largest distance asks for.
        largest = distances[:, people["gallery_ids"] >= 0].max()
        assert NUM_BINS // 2 * pairs.width <= largest < NUM_BINS * pairs.width


def test_the_order_of_the_queries_changes_nothing():
    distances, people = make_case(3)
    there, back = (count(distances, people, order) for order in (range(9), range(8, -1, -1)))
    assert there.width == back.width
    assert there.same.tolist() == back.same.tolist()
    assert there.different.tolist() == back.different.tolist()


def test_distances_of_zero_are_counted():
    distances, people = make_case(3)
    whole = count(distances, people, range(9))
    zeros = count(np.zeros_like(distances), people, range(9))
    assert zeros.same[0] == whole.same.sum() > 0
    assert zeros.different[0] == whole.different.sum() > 0


@pytest.mark.parametrize("value", [-0.1, math.nan, math.inf])
def test_other_distances_are_refused(value):
    distances, people = make_case(3)
    distances[4, np.flatnonzero(people["gallery_ids"] >= 0)[2]] = value
    with pytest.raises(UserError, match="finite numbers of 0 or more; those of query 4 are from"):
        count(distances, people, range(9))
