"""The protocol against a slow literal twin, its corner cases, its memory, and bad input."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from daaf_tf.errors import UserError
from daaf_tf.retrieval import (
    compute_distances,
    evaluate,
    evaluate_blocks,
    evaluate_distances,
    rank_gallery,
)


def slow_evaluate(distances, query_ids, gallery_ids, query_cameras, gallery_cameras):
    """Walk down every ranking, as the official program does; None where no query has a match.

    A camera below 0 is that of no other image.
    """
    first_ranks, rectangles, trapezoids, inps = [], [], [], []
    for query, (person, camera) in enumerate(zip(query_ids, query_cameras)):
        counted = [
            index
            for index in range(len(gallery_ids))
            if gallery_ids[index] >= 0
            and not (gallery_ids[index] == person and gallery_cameras[index] == camera >= 0)
        ]
        counted.sort(key=lambda index: (distances[query][index], index))
        num_positives = sum(gallery_ids[index] == person for index in counted)
        if num_positives == 0:
            continue
        found, rectangle, trapezoid, old_recall, old_precision = 0, 0.0, 0.0, 0.0, 1.0
        for rank, index in enumerate(counted, start=1):
            if gallery_ids[index] == person:
                found += 1
                rectangle += found / rank
                last = rank
                if found == 1:
                    first_ranks.append(rank)
            recall, precision = found / num_positives, found / rank
            trapezoid += (recall - old_recall) * (old_precision + precision) / 2
            old_recall, old_precision = recall, precision
        rectangles.append(rectangle / num_positives)
        trapezoids.append(trapezoid)
        inps.append(num_positives / last)
    if not first_ranks:
        return None
    return {
        "cmc": [np.mean([rank <= k for rank in first_ranks]) for k in range(1, 51)],
        "mean_ap": np.mean(rectangles),
        "mean_ap_trapezoid": np.mean(trapezoids),
        "mean_inp": np.mean(inps),
        "queries_without_match": len(query_ids) - len(first_ranks),
    }


def make_case(random: np.random.Generator, *, levels: int) -> tuple[np.ndarray, dict]:
    """Return distances of few levels (many ties) or of many, with junk and distractors."""
    num_queries, num_gallery = random.integers(1, 7), random.integers(1, 16)
    distances = random.integers(0, levels, size=(num_queries, num_gallery)) / 8
    people = {
        "query_ids": random.integers(1, 4, size=num_queries),
        "gallery_ids": random.integers(-1, 4, size=num_gallery),
        "query_cameras": random.integers(-2, 4, size=num_queries),
        "gallery_cameras": random.integers(-2, 4, size=num_gallery),
    }
    return distances.astype(random.choice([np.float32, np.float64])), people


@pytest.mark.parametrize("levels", [1, 2, 5, 1_000_000])
def test_equals_a_slow_twin(levels):
    random = np.random.default_rng(levels)
    unmatched = 0
    for _ in range(700):
        distances, people = make_case(random, levels=levels)
        expected = slow_evaluate(distances.tolist(), **{k: v.tolist() for k, v in people.items()})
        block_size = int(random.integers(1, 8))
        if expected is None:
            unmatched += 1
            with pytest.raises(UserError, match="has a match"):
                evaluate_distances(distances, **people)
            continue
        result = evaluate_distances(distances, **people, block_size=block_size)
        for name, value in expected.items():
            np.testing.assert_allclose(getattr(result, name), value, rtol=1e-12, err_msg=name)
        assert result.num_queries == len(distances)
    assert 10 < unmatched < 600


def test_per_query_figures_are_the_means():
    random = np.random.default_rng(1)
    distances, people = (
        random.uniform(size=(20, 30)),
        {
            "query_ids": random.integers(1, 12, size=20),
            "gallery_ids": random.integers(-1, 12, size=30),
            "query_cameras": random.integers(1, 3, size=20),
            "gallery_cameras": random.integers(1, 3, size=30),
        },
    )
    result = evaluate_distances(distances, **people)
    unmatched = np.isnan(result.average_precision)
    assert unmatched.sum() == result.queries_without_match > 0
    assert np.nanmean(result.average_precision) == pytest.approx(result.mean_ap)
    assert np.array_equal(result.first_match == 0, unmatched)
    assert np.mean(result.first_match[~unmatched] == 1) == pytest.approx(result.cmc[0])
    assert np.all(np.diff(result.cmc) >= 0)
    assert result.cmc[-1] == 1.0


def one_query(distances, gallery_ids, gallery_cameras=None):
    return evaluate_distances(
        [distances],
        query_ids=[1],
        gallery_ids=gallery_ids,
        query_cameras=[1],
        gallery_cameras=gallery_cameras or [2] * len(gallery_ids),
    )


def test_the_two_conventions_by_hand():
    # Matches at ranks 1 and 3: rectangle (1/1 + 2/3)/2, trapezoid (1 + (2/3 + 1/2)/2)/2.
    result = one_query([1.0, 2.0, 3.0], [1, 5, 1])
    assert result.mean_ap == pytest.approx(5 / 6)
    assert result.mean_ap_trapezoid == pytest.approx(19 / 24)
    assert result.mean_inp == pytest.approx(2 / 3)


def test_junk_and_the_own_camera_are_ignored_and_distractors_count():
    assert one_query([1.0, 2.0], [-1, 1]).cmc[0] == 1.0
    assert one_query([1.0, 2.0], [1, 1], [1, 2]).cmc[0] == 1.0
    assert one_query([1.0, 2.0], [5, 1], [1, 2]).cmc[0] == 0.0  # another person, same camera
    assert one_query([1.0, 2.0], [0, 1]).cmc[0] == 0.0


def test_an_image_of_an_unknown_camera_is_its_own_camera():
    # With a camera in common nothing would be left, and the query would be without a match.
    result = evaluate_distances(
        [[1.0, 2.0]],
        query_ids=[1],
        gallery_ids=[1, 5],
        query_cameras=[-1],
        gallery_cameras=[-1, -1],
    )
    assert (result.mean_ap, result.queries_without_match) == (1.0, 0)
    assert one_query([1.0, 2.0], [5, 1], [1, -7]).first_match[0] == 2


def test_equal_distances_keep_the_order_of_the_gallery():
    assert one_query([1.0, 1.0, 1.0], [1, 5, 5]).first_match[0] == 1
    assert one_query([1.0, 1.0, 1.0], [5, 5, 1]).first_match[0] == 3


def test_one_gallery_image_is_enough():
    result = one_query([7.0], [1])
    assert (result.mean_ap, result.mean_ap_trapezoid, result.mean_inp) == (1.0, 1.0, 1.0)
    assert np.all(result.cmc == 1.0)


def test_a_match_beyond_rank_50_counts_at_no_rank():
    result = one_query(list(range(60)), [5] * 59 + [1])
    assert np.all(result.cmc == 0.0)
    assert result.first_match[0] == 60


def make_features(seed: int):
    random = np.random.default_rng(seed)
    people = {
        "query_ids": random.integers(1, 6, size=15),
        "gallery_ids": random.integers(-1, 6, size=40),
        "query_cameras": random.integers(1, 4, size=15),
        "gallery_cameras": random.integers(1, 4, size=40),
    }
    query = random.normal(size=(15, 8)).astype(np.float32)
    gallery = random.normal(size=(40, 8)).astype(np.float32)
    return query, gallery, people


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_features_and_their_distances_give_the_same(metric):
    query, gallery, people = make_features(2)
    distances = compute_distances(query, gallery, metric=metric)
    expected = evaluate_distances(distances, **people)
    for block_size in (None, 1, 4, 100):
        result = evaluate(query, gallery, **people, metric=metric, block_size=block_size)
        assert result.mean_ap == expected.mean_ap
        assert np.array_equal(result.first_match, expected.first_match)


def test_progress_is_told_block_by_block():
    query, gallery, people = make_features(0)
    told = []
    evaluate(query, gallery, **people, block_size=2, progress=told.append)
    assert sum(told) == len(query)
    assert max(told) == 2


def test_input_is_left_as_it_was():
    query, gallery, people = make_features(3)
    distances = compute_distances(query, gallery)
    copies = [array.copy() for array in (query, gallery, distances)]
    evaluate(query, gallery, **people)
    evaluate_distances(distances, **people)
    for array, copy in zip((query, gallery, distances), copies):
        assert np.array_equal(array, copy)


def test_permuting_the_gallery_changes_nothing():
    query, gallery, people = make_features(4)
    order = np.random.default_rng(5).permutation(len(gallery))
    permuted = dict(
        people,
        gallery_ids=people["gallery_ids"][order],
        gallery_cameras=people["gallery_cameras"][order],
    )
    before, after = evaluate(query, gallery, **people), evaluate(query, gallery[order], **permuted)
    assert np.array_equal(before.average_precision, after.average_precision, equal_nan=True)
    assert np.array_equal(before.first_match, after.first_match)


def test_whole_numbers_are_distances_too():
    people = {"query_ids": [1], "gallery_ids": [1, 1, 2], "query_cameras": [1]}
    distances = np.array([[1, 3, 2]])
    result = evaluate_distances(distances, **people, gallery_cameras=[1, 2, 2])
    assert result.first_match[0] == 2


def test_rank_gallery_leaves_out_what_the_protocol_ignores():
    order = rank_gallery(
        np.array([0.3, 0.1, 0.2, 0.1, 0.0]),
        query_id=1,
        gallery_ids=[1, 1, -1, 5, 1],
        query_camera=1,
        gallery_cameras=[2, 3, 2, 1, 1],
    )
    assert order.tolist() == [1, 3, 0]


def test_ranked_lists_agree_with_the_figures():
    query, gallery, people = make_features(6)
    distances, result = compute_distances(query, gallery), evaluate(query, gallery, **people)
    for row, person, camera, first_match in zip(
        distances, people["query_ids"], people["query_cameras"], result.first_match
    ):
        order = rank_gallery(
            row,
            query_id=person,
            gallery_ids=people["gallery_ids"],
            query_camera=camera,
            gallery_cameras=people["gallery_cameras"],
        )
        matches = np.flatnonzero(people["gallery_ids"][order] == person)
        assert (matches[0] + 1 if len(matches) else 0) == first_match


def test_blocks_are_scored_as_they_come():
    query, gallery, people = make_features(10)
    distances = compute_distances(query, gallery)
    expected = evaluate_distances(distances, **people)
    result = evaluate_blocks((distances[rows] for rows in (slice(4), slice(4, 15))), **people)
    assert result.mean_ap == expected.mean_ap
    assert np.array_equal(result.first_match, expected.first_match)


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        ([np.ones((15, 39))], r"15 rows for 40 gallery images; received \[15, 39\] after 0 rows"),
        ([np.ones((14, 40))], "expected 15 rows, received 14"),
        ([np.ones((9, 40))] * 2, r"15 rows for 40 gallery images; received \[9, 40\] after 9 rows"),
        ([], "expected 15 rows, received 0"),
        ([np.ones((9, 40)), np.full((6, 40), np.nan)], "distances: row 9 holds NaN"),
        ([np.ones(40)], r"distances: expected numbers of shape .* received float64 .*\[40\]"),
    ],
)
def test_blocks_that_do_not_fit_are_named(blocks, message):
    _, _, people = make_features(11)
    with pytest.raises(UserError, match=message):
        evaluate_blocks(blocks, **people)


MEMORY = """
import numpy as np
from daaf_tf import retrieval
from daaf_tf.benchmarks import read_peak_memory

random = np.random.default_rng(1)

def run(num_gallery):
    retrieval.evaluate(
        random.standard_normal((600, 4), np.float32),
        random.standard_normal((num_gallery, 4), np.float32),
        query_ids=np.arange(600),
        gallery_ids=np.arange(num_gallery) - 1000,  # some are junk
        query_cameras=np.ones(600, int),
        gallery_cameras=np.full(num_gallery, 2),
        block_size=100,
    )

run(2000)  # what libraries take once
before = read_peak_memory()
run(200_000)
print(read_peak_memory() - before)
"""


def test_the_distances_are_never_whole_in_memory():
    done = subprocess.run(
        [sys.executable, "-c", MEMORY], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    # A block has 80 MB, features and ids some 10; all distances have 480 MB.
    assert float(done.stdout) < 125


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"query_features": np.zeros((0, 8))}, r"query_features: .* received float64 .*\[0, 8\]"),
        ({"gallery_features": np.zeros((0, 8))}, r"gallery_features: expected .*\[0, 8\]"),
        ({"gallery_features": np.ones((40, 7))}, "query_features are 8 wide and gallery_.* 7"),
        ({"query_features": np.ones(15)}, r"query_features: .* shape \[15\]"),
        ({"query_features": np.full((15, 8), None)}, "query_features: .* received object"),
        ({"query_ids": [1, 2]}, r"query_ids: expected 15 whole numbers.* shape \[2\]"),
        ({"gallery_cameras": np.ones(40)}, "gallery_cameras: .* received float64"),
        ({"gallery_ids": np.full(40, -1)}, "none of the 15 queries has a match among the 40"),
        ({"metric": "L2"}, "metric 'L2': expected one of euclidean, cosine"),
        ({"block_size": 0}, "block_size 0: expected a whole number, 1 or more"),
    ],
)
def test_bad_input_is_named(changes, message):
    query, gallery, people = make_features(7)
    arguments = {"query_features": query, "gallery_features": gallery, **people, **changes}
    with pytest.raises(UserError, match=message):
        evaluate(**arguments)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_named(value):
    query, gallery, people = make_features(8)
    distances = compute_distances(query, gallery)
    distances[11, 3] = value
    people["gallery_ids"][3] = 2
    with pytest.raises(UserError, match="distances: row 11 holds NaN or infinity"):
        evaluate_distances(distances, **people, block_size=5)
    gallery[17, 2] = value
    with pytest.raises(UserError, match="gallery_features: row 17 holds NaN, infinity or more"):
        evaluate(query, gallery, **people)


def test_distances_of_another_shape_are_named():
    _, _, people = make_features(9)
    with pytest.raises(UserError, match=r"distances: .* shape \[15\]"):
        evaluate_distances(np.ones(15), **people)
    with pytest.raises(UserError, match=r"gallery_ids: expected 39 whole numbers.* \[40\]"):
        evaluate_distances(np.ones((15, 39)), **people)
