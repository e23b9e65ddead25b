from __future__ import annotations

import dataclasses

from daaf_tf import schema
from daaf_tf.data.conversion import Conversion, Report
from daaf_tf.data.datasets import DATASETS
from daaf_tf.data.problems import PROBLEM_KINDS, Problem
from daaf_tf.data.summary import format_summary


def make_report(problems=(), ignored=(), notes=(), **changes) -> Report:
    """Return the report of a conversion of the real set, with changes to its training split."""
    splits = {
        split: {
            **dataclasses.asdict(counts),
            "cameras": list(range(1, counts.cameras + 1)),
            "keypoints": counts.keypoint_maps,
        }
        for split, counts in DATASETS["market1501"].expected.items()
        if split != schema.MULTI_QUERY
    }
    splits["train"].update(changes)
    counts = dict.fromkeys(PROBLEM_KINDS, 0)
    for problem in problems:
        counts[problem.kind] += 1
    manifest = {"splits": splits, "problems": counts}
    conversion = Conversion("market1501", "D", "R")
    return Report(conversion, manifest, list(problems), list(ignored), list(notes))


def test_real_set_is_recognised():
    text = format_summary(make_report())
    assert "All counts are those expected of the real Market-1501." in text
    assert "No problems." in text


def test_counts_stand_beside_the_expected_ones():
    lines = format_summary(make_report(images=12935, masks=7)).splitlines()
    rows = {line[:16].strip(): line[16:].split() for line in lines}
    assert rows["images"] == ["12,935", "12,936", "3,368", "3,368", "19,732", "19,732"]
    assert rows["with a mask"][:2] == ["7", "12,936"]
    assert rows["junk"] == ["0", "0", "0", "0", "3,819", "3,819"]
    assert any("they differ in images, with a mask." in line for line in lines)


def test_problems_are_counted_and_the_first_are_shown():
    problems = [Problem("mask", "train", f"file{i}", "gone") for i in range(9)]
    text = format_summary(make_report(problems))
    assert "Problems: 0 images skipped, 9 masks and 0 sets of maps left out" in text
    assert "0 images found under two persons" in text
    assert "R/problems.json" in text
    assert "  file4: gone" in text
    assert "file5" not in text


def test_ignored_files_and_notes_are_told():
    ignored = [f"a/Thumbs{i}.db" for i in range(7)]
    text = format_summary(make_report(ignored=ignored, notes=["no folder x: train has no masks"]))
    assert "a/Thumbs4.db and 2 more." in text
    assert "no folder x: train has no masks" in text
