"""CUHK03's single-gallery-shot protocol against a slow literal twin, and by what it must tell."""

from __future__ import annotations

import collections

import numpy as np
import pytest

from daaf_tf.errors import UserError
from daaf_tf.retrieval import (
    SingleShot,
    compute_distances,
    evaluate,
    evaluate_blocks,
    evaluate_distances,
)


def slow_cmc(distances, query_ids, gallery_ids, query_cameras, gallery_cameras, *, repeats, seed):
    """Draw galleries image by image and sort each; None where no query has a match."""
    persons = sorted({person for person in gallery_ids if person >= 0})
    curves = []
    for query, (person, camera) in enumerate(zip(query_ids, query_cameras)):
        images = collections.defaultdict(list)
        for index, other in enumerate(gallery_ids):
            if not (other == person and gallery_cameras[index] == camera >= 0):
                images[other].append(index)
        draws = np.random.default_rng([seed, query]).random((repeats, len(persons)))
        if not images[person]:
            continue
        for numbers in draws.tolist():
            drawn = [images[who][int(u * len(images[who]))] for who, u in zip(persons, numbers)]
            drawn.sort(key=lambda index: (distances[query][index], index))
            rank = 1 + [gallery_ids[index] for index in drawn].index(person)
            curves.append([rank <= k for k in range(1, 51)])
    return np.mean(curves, axis=0) if curves else None


def make_case(random, levels):
    num_queries, num_gallery = random.integers(1, 7), random.integers(1, 20)
    distances = random.integers(0, levels, size=(num_queries, num_gallery)) / 8
    people = {
        "query_ids": random.integers(0, 5, size=num_queries),
        "gallery_ids": random.integers(-1, 5, size=num_gallery),
        "query_cameras": random.integers(-1, 3, size=num_queries),
        "gallery_cameras": random.integers(-1, 3, size=num_gallery),
    }
    return distances, people


@pytest.mark.parametrize("levels", [1, 4, 1_000_000])
def test_equals_a_slow_twin(levels):
    random = np.random.default_rng(levels)
    compared = 0
    for _ in range(700):
        distances, people = make_case(random, levels)
        shot = SingleShot(repeats=int(random.integers(1, 4)), seed=int(random.integers(5)))
        lists = {name: values.tolist() for name, values in people.items()}
        expected = slow_cmc(distances.tolist(), **lists, repeats=shot.repeats, seed=shot.seed)
        if expected is None:
            with pytest.raises(UserError, match="has a match"):
                evaluate_distances(distances, **people, single_shot=shot)
            continue
        result = evaluate_distances(distances, **people, single_shot=shot)
        np.testing.assert_allclose(result.cmc, expected, rtol=1e-12)
        usual = evaluate_distances(distances, **people)
        assert result.mean_ap == usual.mean_ap
        assert result.queries_without_match == usual.queries_without_match
        compared += 1
    assert compared > 400


def make_people(seed, num_gallery=60):
    random = np.random.default_rng(seed)
    query, gallery = random.normal(size=(12, 4)), random.normal(size=(num_gallery, 4))
    people = {
        "query_ids": random.integers(1, 8, size=12),
        "gallery_ids": random.integers(1, 8, size=num_gallery),
        "query_cameras": np.ones(12, int),
        "gallery_cameras": np.full(num_gallery, 2),
    }
    return query, gallery, people


def test_with_one_image_of_each_person_there_is_nothing_to_draw():
    query, gallery, people = make_people(1, num_gallery=7)
    people["gallery_ids"] = np.arange(1, 8)
    usual = evaluate(query, gallery, **people)
    for seed in range(3):
        result = evaluate(query, gallery, **people, single_shot=SingleShot(repeats=2, seed=seed))
        assert np.array_equal(result.cmc, usual.cmc)


def test_every_image_is_drawn_as_often_as_any_other():
    # The match is ahead of one of the other person's three images.
    shot = SingleShot(repeats=20_000, seed=3)
    result = evaluate_distances(
        [[1.0, 0.5, 2.0, 0.1]],
        query_ids=[1],
        gallery_ids=[1, 2, 2, 2],
        query_cameras=[1],
        gallery_cameras=[2, 2, 2, 2],
        single_shot=shot,
    )
    # Five standard deviations of the mean of so many draws.
    assert result.cmc[0] == pytest.approx(1 / 3, abs=0.017)
    assert result.cmc[1] == 1.0


def test_the_draws_depend_on_the_seed_and_not_on_blocks():
    query, gallery, people = make_people(2)
    first = evaluate(query, gallery, **people, single_shot=SingleShot(seed=1), block_size=1)
    again = evaluate(query, gallery, **people, single_shot=SingleShot(seed=1), block_size=7)
    other = evaluate(query, gallery, **people, single_shot=SingleShot(seed=2))
    assert np.array_equal(first.cmc, again.cmc)
    assert not np.array_equal(first.cmc, other.cmc)
    distances = compute_distances(query, gallery)
    blocks = evaluate_blocks(iter([distances]), **people, single_shot=SingleShot(seed=1))
    assert np.array_equal(first.cmc, blocks.cmc)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"repeats": 0}, "SingleShot repeats 0: expected a whole number, 1 or more"),
        ({"repeats": 1.5}, "SingleShot repeats 1.5"),
        ({"seed": -1}, "SingleShot seed -1: expected a whole number, 0 or more"),
    ],
)
def test_bad_settings_are_named(arguments, message):
    with pytest.raises(UserError, match=message):
        SingleShot(**arguments)
