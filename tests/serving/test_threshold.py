"""The threshold, beside a slow twin that looks at one pair after the other."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from daaf_tf.errors import UserError
from daaf_tf.retrieval import compute_distances
from daaf_tf.serving import threshold
from daaf_tf.serving.threshold import LEAST_FALSE_ACCEPTS, calibrate


def draw(seed, persons=30, images=8, cameras=4, noise=1.0):
    generator = np.random.default_rng(seed)
    ids = np.repeat(np.arange(persons), images)
    centres = generator.standard_normal((persons, 6))
    features = centres[ids] + noise * generator.standard_normal((len(ids), 6))
    order = generator.permutation(len(ids))
    camera_ids = generator.integers(-1, cameras, len(ids))
    return features[order].astype(np.float32), ids[order], camera_ids


def compare(features, ids, cameras, metric):
    """Return distances of pairs of different persons, and of one person by different cameras."""
    distances = compute_distances(features, features, metric=metric)
    negatives, positives = [], []
    for i, j in itertools.combinations(range(len(ids)), 2):
        if ids[i] != ids[j]:
            negatives.append(distances[i, j])
        elif cameras[i] != cameras[j] or cameras[i] < 0:
            positives.append(distances[i, j])
    return np.sort(negatives), np.array(positives), distances


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("block_rows", [7, 64, 1000])
@pytest.mark.parametrize("rate", [2e-3, 0.05, 0.6])
def test_the_rates_are_those_of_a_literal_count(monkeypatch, metric, block_rows, rate):
    monkeypatch.setattr(threshold, "_BLOCK_ROWS", block_rows)
    features, ids, cameras = draw(seed=block_rows)
    negatives, positives, distances = compare(features, ids, cameras, metric)
    found = calibrate(
        features, person_ids=ids, camera_ids=cameras, metric=metric, false_accept_rate=rate
    )
    assert (found.negative_pairs, found.positive_pairs) == (len(negatives), len(positives))
    assert (found.images, found.persons) == (len(ids), 30)
    accepted = int((negatives <= found.threshold).sum())
    assert found.false_accepts == accepted <= rate * len(negatives)
    # It is the largest such threshold: the next distance would be one too many.
    higher = negatives[accepted]
    assert (negatives <= higher).sum() > rate * len(negatives)
    assert found.true_accept_rate == pytest.approx(np.mean(positives <= found.threshold))
    assert (found.stranger_accept_rate, found.identification_rate) == pytest.approx(
        count_queries(ids, cameras, distances, found.threshold)
    )


def count_queries(ids, cameras, distances, threshold):
    """Return the rate of strangers taken for somebody, and of right answers, query by query."""
    strangers, right = [], []
    for query in range(len(ids)):
        other = distances[query, ids != ids[query]].min()
        strangers.append(other <= threshold)
        own = [
            distances[query, i]
            for i in range(len(ids))
            if i != query
            and ids[i] == ids[query]
            and (cameras[i] != cameras[query] or cameras[i] < 0)
        ]
        if own:
            right.append(min(own) < other and min(own) <= threshold)
    return np.mean(strangers), np.mean(right)


def test_a_smaller_rate_gives_a_smaller_threshold():
    features, ids, cameras = draw(seed=1)
    people = {"person_ids": ids, "camera_ids": cameras, "metric": "cosine"}
    found = [calibrate(features, **people, false_accept_rate=r) for r in (2e-3, 1e-2, 1e-1)]
    assert found[0].threshold < found[1].threshold < found[2].threshold
    assert found[0].true_accept_rate < found[2].true_accept_rate


def test_equal_distances_stay_on_one_side():
    # Every pair of different persons is as far apart as every other: none may be accepted.
    ids = np.repeat(np.arange(20), 2)
    features = np.eye(20)[ids]
    people = {"person_ids": ids, "camera_ids": np.full(40, -1), "metric": "euclidean"}
    found = calibrate(features, **people, false_accept_rate=0.5)
    assert found.false_accepts == 0
    assert 0 < found.threshold < np.sqrt(2)
    assert found.true_accept_rate == 1


def test_too_few_pairs_for_the_rate():
    features, ids, cameras = draw(seed=1)
    people = {"person_ids": ids, "camera_ids": cameras, "metric": "cosine"}
    negatives = len(compare(features, ids, cameras, "cosine")[0])
    least = LEAST_FALSE_ACCEPTS / negatives
    calibrate(features, **people, false_accept_rate=least * 1.001)
    message = rf"{negatives:,} pairs of different persons support rates down to {least:.1e}"
    with pytest.raises(UserError, match=message):
        calibrate(features, **people, false_accept_rate=least * 0.999)


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1, float("nan")])
def test_a_rate_that_is_none(rate):
    features, ids, cameras = draw(seed=1)
    with pytest.raises(UserError, match="--false_accept_rate=.*between 0 and 1"):
        calibrate(
            features, person_ids=ids, camera_ids=cameras, metric="cosine", false_accept_rate=rate
        )


@pytest.mark.parametrize(
    ("ids", "cameras", "message"),
    [
        (np.zeros(100, int), np.arange(100), "0 pairs of different persons support rates of no"),
        (np.arange(100), np.arange(100), "no two images of one person by different cameras"),
        (np.arange(100) // 2, np.zeros(100, int), "no two images of one person by different"),
    ],
)
def test_images_that_tell_nothing(ids, cameras, message):
    features = np.random.default_rng(1).standard_normal((100, 5))
    with pytest.raises(UserError, match=message):
        calibrate(
            features, person_ids=ids, camera_ids=cameras, metric="cosine", false_accept_rate=0.1
        )


def test_a_network_that_answers_the_same_to_everything():
    ids = np.arange(100) // 2
    with pytest.raises(UserError, match="pairs of different persons or more have equal"):
        calibrate(
            np.ones((100, 5)),
            person_ids=ids,
            camera_ids=np.arange(100),
            metric="euclidean",
            false_accept_rate=0.1,
        )


def test_features_that_are_not_finite():
    features, ids, cameras = draw(seed=1)
    features[7, 3] = np.nan
    with pytest.raises(UserError, match="row 7 holds NaN"):
        calibrate(
            features, person_ids=ids, camera_ids=cameras, metric="cosine", false_accept_rate=0.1
        )
