"""mAP between cameras against a slow literal twin."""

from __future__ import annotations

import numpy as np
import pytest

from daaf_tf.errors import UserError
from daaf_tf.retrieval import evaluate_distances, score_camera_pairs


def slow_pairs(distances, query_ids, gallery_ids, query_cameras, gallery_cameras):
    """Walk down the ranking of each query's and each camera's images; {(camera, camera): [AP]}."""
    scores = {}
    for query, (person, camera) in enumerate(zip(query_ids, query_cameras)):
        for other in {max(int(camera), -1) for camera in gallery_cameras}:
            counted = [
                index
                for index in range(len(gallery_ids))
                if gallery_ids[index] >= 0
                and max(gallery_cameras[index], -1) == other
                and not (gallery_ids[index] == person and gallery_cameras[index] == camera >= 0)
            ]
            counted.sort(key=lambda index: (distances[query][index], index))
            precisions, found = [], 0
            for rank, index in enumerate(counted, start=1):
                if gallery_ids[index] == person:
                    found += 1
                    precisions.append(found / rank)
            if precisions:
                pair = (max(int(camera), -1), other)
                scores.setdefault(pair, []).append(np.mean(precisions))
    return scores


def make_case(random):
    num_queries, num_gallery = random.integers(1, 7), random.integers(1, 16)
    people = {
        "query_ids": random.integers(1, 4, size=num_queries),
        "gallery_ids": random.integers(-1, 4, size=num_gallery),
        "query_cameras": random.integers(-2, 4, size=num_queries),
        "gallery_cameras": random.integers(-2, 4, size=num_gallery),
    }
    return random.integers(0, 5, size=(num_queries, num_gallery)) / 8, people


def test_equals_a_slow_twin():
    random = np.random.default_rng(0)
    compared = 0
    for _ in range(500):
        distances, people = make_case(random)
        expected = slow_pairs(distances, **people)
        if not expected:
            with pytest.raises(UserError, match="none of the"):
                score_camera_pairs([distances], **people)
            continue
        pairs = score_camera_pairs((row[None] for row in distances), **people)
        assert pairs.mean_ap.shape == (len(pairs.query_cameras), len(pairs.gallery_cameras))
        for row, camera in enumerate(pairs.query_cameras):
            for column, other in enumerate(pairs.gallery_cameras):
                scores = expected.pop((camera, other), [])
                assert pairs.num_queries[row, column] == len(scores)
                mean = np.mean(scores) if scores else np.nan
                np.testing.assert_allclose(pairs.mean_ap[row, column], mean, rtol=1e-12)
                compared += bool(scores)
        assert not expected
    assert compared > 1000


def test_with_one_camera_on_each_side_it_is_the_map():
    random = np.random.default_rng(1)
    ids = {"query_ids": np.arange(8) % 4, "gallery_ids": np.arange(40) % 5}
    cameras = {"query_cameras": np.full(8, 1), "gallery_cameras": np.full(40, 2)}
    distances = random.random((8, 40))
    pairs = score_camera_pairs([distances[:3], distances[3:]], **ids, **cameras)
    whole = evaluate_distances(distances, **ids, **cameras)
    assert pairs.mean_ap.shape == (1, 1)
    assert pairs.mean_ap[0, 0] == pytest.approx(whole.mean_ap, rel=1e-12)
    assert pairs.num_queries.tolist() == [[8]]


def test_nothing_is_left_within_a_camera():
    ids = {"query_ids": [1, 1], "gallery_ids": [1, 1, 2]}
    cameras = {"query_cameras": [1, 2], "gallery_cameras": [1, 2, 2]}
    pairs = score_camera_pairs([np.zeros((2, 3))], **ids, **cameras)
    assert np.isnan(pairs.mean_ap).tolist() == [[True, False], [False, True]]


def test_bad_blocks_are_refused():
    ids = {"query_ids": [1, 1], "gallery_ids": [1, 2]}
    cameras = {"query_cameras": [1, 1], "gallery_cameras": [2, 2]}
    with pytest.raises(UserError, match="expected 2 rows, received 1"):
        score_camera_pairs([[[0.1, 0.2]]], **ids, **cameras)
    with pytest.raises(UserError, match="row 1 holds NaN"):
        score_camera_pairs([[[0.1, 0.2], [0.1, np.nan]]], **ids, **cameras)
