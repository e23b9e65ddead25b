"""The ranking of a data set against the functions that it is made of."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from people import make_set

from daaf_tf import retrieval
from daaf_tf.errors import UserError
from daaf_tf.evaluation.ranking import Ranking, rank


def people(embedded):
    return {
        "query_ids": embedded.query.person_ids,
        "gallery_ids": embedded.gallery.person_ids,
        "query_cameras": embedded.query.camera_ids,
        "gallery_cameras": embedded.gallery.camera_ids,
    }


def unit(features):
    return features / np.linalg.norm(features.astype(np.float64), axis=1, keepdims=True)


def assert_same_result(left, right):
    for name, value in dataclasses.asdict(left).items():
        np.testing.assert_array_equal(value, getattr(right, name), err_msg=name)


def evaluate(embedded, **values):
    """Rank, and look whether the distances that are told are those that were ranked."""
    found = rank(embedded, Ranking(**values), progress=False)
    single_shot = values.get("single_shot")
    distances = found.compute_distances(np.arange(len(found.query.features)))
    again = retrieval.evaluate_distances(
        distances,
        **people(embedded),
        single_shot=retrieval.SingleShot(single_shot) if single_shot else None,
    )
    assert_same_result(found.result, again)
    some = np.array([5, 0, 9])
    np.testing.assert_array_equal(found.compute_distances(some), distances[some])
    return found


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_plain(metric):
    embedded = make_set(metric)
    found = evaluate(embedded)
    expected = retrieval.evaluate(
        embedded.query.features, embedded.gallery.features, **people(embedded), metric=metric
    )
    assert_same_result(found.result, expected)
    assert found.query is embedded.query
    assert (found.name, found.gallery) == (embedded.name, embedded.gallery)


def test_reranking_by_euclid():
    embedded = make_set()
    found = evaluate(embedded, rerank=True, k1=7, k2=3, lambda_value=0.2)
    expected = retrieval.rerank(
        embedded.query.features, embedded.gallery.features, k1=7, k2=3, lambda_value=0.2
    )
    np.testing.assert_array_equal(found.compute_distances(np.arange(24)), expected)


def test_reranking_by_cosine_is_that_of_unit_vectors():
    embedded = make_set("cosine")
    found = evaluate(embedded, rerank=True, k1=7, k2=3)
    query, gallery = unit(embedded.query.features), unit(embedded.gallery.features)
    expected = retrieval.rerank(query.astype("f4"), gallery.astype("f4"), k1=7, k2=3)
    np.testing.assert_allclose(found.compute_distances(np.arange(24)), expected, atol=1e-6)
    assert (
        np.abs(
            expected
            - evaluate(make_set(), rerank=True, k1=7, k2=3).compute_distances(np.arange(24))
        ).max()
        > 0.1
    )


def test_multi_query_and_expansion_go_before_the_ranking():
    embedded = make_set("cosine", multi_query=True)
    multi = embedded.embedded.splits["multi_query"]
    averaged = retrieval.average_multi_query(
        embedded.query.features,
        multi.features,
        query_ids=embedded.query.person_ids,
        multi_ids=multi.person_ids,
        query_cameras=embedded.query.camera_ids,
        multi_cameras=multi.camera_ids,
    )
    gallery = embedded.gallery.features
    for values, query in (
        ({"multi_query": True}, averaged),
        (
            {"query_expansion": 3},
            retrieval.expand_queries(embedded.query.features, gallery, num_neighbours=3),
        ),
        (
            {"multi_query": True, "query_expansion": 3},
            retrieval.expand_queries(averaged, gallery, num_neighbours=3),
        ),
    ):
        expected = retrieval.evaluate(query, gallery, **people(embedded), metric="cosine")
        assert_same_result(evaluate(embedded, **values).result, expected)


def test_single_shot_changes_cmc_alone():
    embedded = make_set()
    usual, shots = evaluate(embedded).result, evaluate(embedded, single_shot=5).result
    assert shots.mean_ap == usual.mean_ap
    assert np.any(shots.cmc != usual.cmc)


@pytest.mark.parametrize("values", [{}, {"rerank": True, "k1": 5}])
def test_the_block_size_changes_nothing(values):
    results = [evaluate(make_set(), **values, block_size=size).result for size in (0, 1, 7)]
    for result in results[1:]:
        assert_same_result(results[0], result)


@pytest.mark.parametrize(
    ("metric", "values", "message"),
    [
        ("euclidean", {"query_expansion": 2}, "give --eval_metric=cosine"),
        ("euclidean", {"multi_query": True}, "no features of the split multi_query"),
    ],
)
def test_what_makes_no_sense_is_refused(metric, values, message):
    with pytest.raises(UserError, match=message):
        rank(make_set(metric), Ranking(**values), progress=False)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("k1", 0),
        ("k2", 0),
        ("lambda_value", 1.5),
        ("lambda_value", -0.1),
        ("lambda_value", float("nan")),
        ("query_expansion", -1),
        ("single_shot", -1),
        ("block_size", -1),
    ],
)
def test_values_out_of_range_are_refused_by_name(name, value):
    with pytest.raises(UserError, match=f"--{name}="):
        Ranking(**{name: value})


@pytest.mark.parametrize("values", [{}, {"rerank": True}])
def test_a_row_of_zeros_has_no_cosine(values):
    embedded = make_set("cosine")
    embedded.gallery.features[7] = 0
    with pytest.raises(UserError, match="gallery_features: row 7 is all zeros"):
        rank(embedded, Ranking(**values), progress=False)


def test_no_query_has_a_match():
    embedded = make_set()
    embedded.gallery.person_ids[:] = 99
    with pytest.raises(UserError, match="none of the 24 queries has a match"):
        rank(embedded, Ranking(), progress=False)


def test_the_description_names_all_that_is_done():
    assert Ranking().describe() == "single query, not re-ranked"
    said = Ranking(
        multi_query=True, query_expansion=4, single_shot=10, rerank=True, k1=9
    ).describe()
    for part in ("multiple query", "expanded by 4", "10 draws", "k1=9, k2=6, lambda=0.3"):
        assert part in said
