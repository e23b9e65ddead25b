"""Multiple query and query expansion against slow literal twins, and bad input."""

from __future__ import annotations

import numpy as np
import pytest

from daaf_tf.errors import UserError
from daaf_tf.retrieval import average_multi_query, evaluate, expand_queries


def make_multi_query(random):
    num_queries, num_images, width = random.integers(1, 6), random.integers(1, 30), 3
    people = {
        "query_ids": random.integers(-1, 3, size=num_queries),
        "multi_ids": random.integers(-1, 3, size=num_images),
        "query_cameras": random.integers(-1, 3, size=num_queries),
        "multi_cameras": random.integers(-1, 3, size=num_images),
    }
    query, multi = random.normal(size=(num_queries, width)), random.normal(size=(num_images, width))
    return query.astype(np.float32), multi.astype(np.float32), people


def slow_average(query, multi, query_ids, multi_ids, query_cameras, multi_cameras):
    """Return the averages; None where a query of a known camera has no image."""
    rows = []
    for features, person, camera in zip(query, query_ids, query_cameras):
        mine = [
            row
            for row, who, by in zip(multi, multi_ids, multi_cameras)
            if (who, by) == (person, camera)
        ]
        if camera < 0:
            mine = [features]
        if not mine:
            return None
        rows.append(sum(row.astype(np.float64) for row in mine) / len(mine))
    return np.array(rows)


def test_averages_equal_a_slow_twin():
    random = np.random.default_rng(1)
    refused = 0
    for _ in range(1000):
        query, multi, people = make_multi_query(random)
        expected = slow_average(query, multi, **people)
        if expected is None:
            refused += 1
            with pytest.raises(UserError, match="expected one or more images of it"):
                average_multi_query(query, multi, **people)
            continue
        result = average_multi_query(query, multi, **people)
        assert result.dtype == np.float32
        np.testing.assert_allclose(result, expected, rtol=1e-6, atol=1e-6)
    assert 200 < refused < 900


def test_several_images_find_what_one_misses():
    # The query itself is nearer to person 2, the mean of its images to person 1.
    multi = average_multi_query(
        [[3.0]],
        [[3.0], [0.0], [0.0], [9.0]],
        query_ids=[1],
        multi_ids=[1, 1, 1, 2],
        query_cameras=[1],
        multi_cameras=[1, 1, 1, 1],
    )
    people = {"query_ids": [1], "gallery_ids": [2, 1], "query_cameras": [1]}
    gallery, cameras = [[3.5], [0.5]], [2, 2]
    assert evaluate([[3.0]], gallery, **people, gallery_cameras=cameras).first_match[0] == 2
    assert evaluate(multi, gallery, **people, gallery_cameras=cameras).first_match[0] == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"multi": np.ones((3, 2))}, "query_features are 1 wide and multi_features 2"),
        ({"multi": np.full((3, 1), np.nan)}, "multi_features: row 0 holds NaN"),
        ({"multi": np.ones((0, 1))}, r"multi_features: expected numbers .* \[0, 1\]"),
        ({"query": np.ones((0, 1))}, r"query_features: expected numbers .* \[0, 1\]"),
        ({"multi_ids": [1, 1]}, r"multi_ids: expected 3 whole numbers.* shape \[2\]"),
        ({"query_cameras": [1.0]}, "query_cameras: .* received float64"),
        ({"multi_ids": [2, 2, 2]}, r"query 0 \(person id 1, camera 1\): .* found none"),
    ],
)
def test_bad_multiple_queries_are_named(changes, message):
    arguments = {
        "query": np.ones((1, 1)),
        "multi": np.ones((3, 1)),
        "query_ids": [1],
        "multi_ids": [1, 1, 1],
        "query_cameras": [1],
        "multi_cameras": [1, 1, 1],
        **changes,
    }
    query, multi = arguments.pop("query"), arguments.pop("multi")
    with pytest.raises(UserError, match=message):
        average_multi_query(query, multi, **arguments)


def slow_expand(query, gallery, num_neighbours, alpha):
    query, gallery = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (query, gallery))
    rows = []
    for row in query:
        cosines = np.round([float(row @ other) for other in gallery], 12)
        total = row.copy()
        for index in sorted(range(len(gallery)), key=lambda i: (-cosines[i], i))[:num_neighbours]:
            total += max(cosines[index], 0.0) ** alpha * gallery[index]
        rows.append(total / np.linalg.norm(total))
    return np.array(rows)


@pytest.mark.parametrize("alpha", [0.0, 1.0, 3.0])
def test_expansion_equals_a_slow_twin(alpha):
    random = np.random.default_rng(2)
    for _ in range(200):
        query, gallery = (
            random.integers(-2, 3, size=(random.integers(1, 12), 4)) + 0.25 for _ in range(2)
        )
        count = int(random.integers(1, 14))
        expected = slow_expand(query, gallery, count, alpha)
        result = expand_queries(query, gallery, num_neighbours=count, alpha=alpha)
        assert result.dtype == np.float32
        np.testing.assert_allclose(result, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_neighbours": 0}, "num_neighbours 0: expected a whole number, 1 or more"),
        ({"alpha": -1.0}, "alpha -1.0: expected a number, 0 or more"),
        ({"alpha": float("nan")}, "alpha nan"),
        ({"gallery": np.zeros((3, 2))}, "gallery_features: row 0 is all zeros"),
        ({"gallery": np.ones((3, 3))}, "query_features are 2 wide and gallery_features 3"),
        (
            {"query": np.array([[1.0, 0.0]]), "gallery": np.array([[-1.0, 0.0]])},
            "query_features: row 0 and its neighbours cancel out",
        ),
    ],
)
def test_bad_expansions_are_named(changes, message):
    arguments = {"query": np.ones((2, 2)), "gallery": np.ones((3, 2)), **changes}
    query, gallery = arguments.pop("query"), arguments.pop("gallery")
    with pytest.raises(UserError, match=message):
        expand_queries(query, gallery, **arguments)
