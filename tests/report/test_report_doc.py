"""What docs/report.md says can be typed, and what it promises is so."""

from __future__ import annotations

import doctest
import re

from source_imports import ROOT

from daaf_tf.report import survey, tensorboard, thumbnails

PAGE = ROOT / "docs/report.md"
TEXT = PAGE.read_text(encoding="utf-8")


def test_the_examples_run(tmp_path):
    failed, tried = doctest.testfile(
        str(PAGE), module_relative=False, globs={"folder": tmp_path / "report"}
    )
    assert tried > 8
    assert failed == 0


def test_the_examples_of_the_code_run():
    from daaf_tf.report import charts, markup

    for module in (charts, markup):
        failed, tried = doctest.testmod(module)
        assert tried
        assert failed == 0


def test_every_flag_exists():
    sources = "".join(
        (ROOT / name).read_text(encoding="utf-8")
        for name in ("daaf_tf/evaluate.py", "daaf_tf/evaluation/ranking.py")
    )
    sources += (ROOT / "daaf_tf/sections/data.py").read_text(encoding="utf-8")
    sources += (ROOT / "tools/inspect_records.py").read_text(encoding="utf-8")
    for flag in set(re.findall(r"(?<!tensorboard )--(\w+)", TEXT)):
        assert re.search(rf'"{flag}"|    {flag}: ', sources), flag


def test_the_numbers_are_those_of_the_code():
    shown = survey.NUM_WORST + survey.NUM_BEST + survey.NUM_RANDOM
    for text in (
        f"the {survey.NUM_HITS} nearest images of the {survey.NUM_WORST} queries",
        f"of the {survey.NUM_BEST} with the highest",
        f"of {survey.NUM_RANDOM} others",
        f"{shown * (1 + survey.NUM_HITS)} thumbnails of at most "
        f"{thumbnails.WIDTH}x{thumbnails.HEIGHT} pixels",
        f"up to {tensorboard.MOST_POINTS:,} points",
    ):
        assert text in " ".join(TEXT.split()), text


def test_the_picture_is_there_and_small():
    assert 0 < (ROOT / "docs/report.png").stat().st_size < 200_000
