"""Table and JSON: every figure is there, with its convention."""

from __future__ import annotations

import json

import pytest
from people import make_set

from daaf_tf.evaluation.ranking import Ranking, rank
from daaf_tf.evaluation.tables import format_json, format_measured, format_table, list_figures


def evaluate(ranking, **values):
    return rank(make_set(**values), ranking, progress=False)


def test_a_row_for_each_set_under_its_conventions():
    ranking = Ranking(rerank=True)
    sets = [evaluate(ranking, name=name) for name in ("R", "some/other")]
    lines = format_table(sets, ranking).splitlines()
    assert lines[0] == "M, step 4"
    assert lines[1].startswith("euclidean, test-time augmentation: flip, single query, re-ranked")
    assert lines[4].split()[:3] == ["rectangle", "trapezoid", "last"]
    figures = sets[0].result.summarize()
    for line, name in zip(lines[5:], ("R", "some/other")):
        cells = line.split()
        assert cells[0] == name
        assert cells[1:8] == [f"{value:.2f}" for value in figures.values()]
        assert cells[8:] == ["24", "0"]


def test_sets_of_other_metrics_are_told_apart():
    sets = [evaluate(Ranking(), name=metric, metric=metric) for metric in ("euclidean", "cosine")]
    text = format_table(sets, Ranking())
    for metric in ("euclidean", "cosine"):
        assert f"{metric}: M, step 4; {metric}, test-time" in text


def test_single_shots_are_named_above_the_ranks():
    ranking = Ranking(single_shot=3)
    text = format_table([evaluate(ranking)], ranking)
    assert text.splitlines()[4].count("single shot") == 4
    assert "3 draws" in text


def test_every_figure_says_what_it_can_be_compared_with():
    ranking = Ranking(multi_query=True)
    evaluated = evaluate(ranking, multi_query=True)
    figures = list_figures(evaluated, ranking)
    assert [name for name, _, _ in figures] == list(evaluated.result.summarize())
    assert [value for _, value, _ in figures] == list(evaluated.result.summarize().values())
    for _, _, convention in figures:
        for part in ("euclidean", "augmentation: flip", "multiple query", "not re-ranked"):
            assert part in convention
    assert "rectangle" in figures[0][2]
    assert "trapezoid" in figures[1][2]


def test_json_of_one_set_is_flat_and_of_several_a_list():
    ranking, measured = Ranking(), {"mask_iou": 0.5}
    one = evaluate(ranking, measured=measured, skipped=2)
    entry = json.loads(format_json([one], ranking, step=4))
    assert entry["step"] == 4
    assert entry.items() >= {**one.result.summarize(), **measured}.items()
    assert (entry["queries"], entry["queries_without_match"], entry["skipped_images"]) == (24, 0, 2)
    assert set(entry["conventions"]) == set(one.result.summarize())
    several = json.loads(format_json([one, one], ranking, step=4))
    assert several == {"data_sets": [entry, entry]}
    assert "step" not in json.loads(format_json([one], ranking))


@pytest.mark.parametrize("measured", [{}, {"mask_iou": 0.51234, "joint_accuracy": 0.25}])
def test_what_the_branches_were_measured_at(measured):
    lines = format_measured(make_set(measured=measured))
    expected = ["R, held-out identities: mask iou 0.512, joint accuracy 0.250"] if measured else []
    assert lines == expected
