"""The reports of evaluated data sets: where they are, and what is on them."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
from people import make_set
from source_imports import ROOT

from daaf_tf.evaluation.ranking import Ranking, rank
from daaf_tf.evaluation.reports import write_reports
from daaf_tf.report import AttentionSample
from daaf_tf.retrieval import write_features


def read_image(split, index):
    return np.full((32, 16, 3), index + 100 * (split == "gallery"), np.uint8)


@pytest.mark.parametrize("rerank", [False, True])
def test_the_page_has_the_figures_and_says_how_they_came_about(tmp_path, rerank):
    ranking = Ranking(rerank=rerank)
    embedded = make_set("cosine", measured={"mask_iou": 0.8125}, skipped=3)
    evaluated = rank(embedded, ranking, progress=False)
    (path,) = write_reports(tmp_path, [evaluated], ranking, [[]])
    assert path == tmp_path / "index.html"
    text = path.read_text(encoding="utf-8")
    for shown in (
        "M, step 4",
        "cosine",
        "flip",
        "0.812",
        "3 images",
        ranking.describe(),
        f"{100 * evaluated.result.mean_ap:.2f} %",
        f"{100 * evaluated.result.mean_ap_trapezoid:.2f} %",
        "rectangle",
        "trapezoid",
        "rank-10",
    ):
        assert shown in text
    # What is the same for all figures is said once.
    assert text.count(ranking.describe()) == 1


def test_tensorboard_gets_the_pictures(tmp_path):
    evaluated = rank(make_set(read_image=read_image), Ranking(), progress=False)
    sample = AttentionSample(read_image("query", 3), mask=np.ones((8, 4, 1)))
    write_reports(tmp_path, [evaluated], Ranking(), [[sample]], step=7)
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    tags = ["attention", "ranked/best", "ranked/random", "ranked/worst"]
    assert sorted(events.Tags()["images"]) == tags
    assert [event.step for event in events.Images("attention")] == [7]
    assert (tmp_path / "tensorboard/sprite.jpg").exists()


def test_several_data_sets_have_folders_of_their_own(tmp_path):
    sets = [make_set(name="runs/R"), dataclasses.replace(make_set(), name="../../etc <x>")]
    evaluated = [rank(each, Ranking(), progress=False) for each in sets]
    paths = write_reports(tmp_path, evaluated, Ranking(), [[], []])
    assert [path.relative_to(tmp_path).as_posix() for path in paths] == [
        "01-runs-R/index.html",
        "02-etc-x/index.html",
    ]
    assert all(path.exists() for path in paths)


def test_the_program_writes_it_from_features_alone(tmp_path, run_module):
    write_features(tmp_path / "f.npz", make_set().embedded)
    flags = [f"--features={tmp_path / 'f.npz'}", f"--report={tmp_path / 'a/b'}"]
    printed = run_module("daaf_tf.evaluate", *flags)
    assert f"report: {tmp_path / 'a/b/index.html'}" in printed
    assert (tmp_path / "a/b/tensorboard/metadata.tsv").exists()
    assert "003.png" in (tmp_path / "a/b/index.html").read_text(encoding="utf-8")


def test_the_program_refuses_a_folder_that_cannot_be_before_it_works(tmp_path, run_module):
    (tmp_path / "file").write_text("")
    flags = [f"--features={tmp_path / 'missing.npz'}", f"--report={tmp_path / 'file'}"]
    printed = run_module("daaf_tf.evaluate", *flags, code=1)
    assert "cannot make the report's folder" in printed
    assert "Traceback" not in printed


@pytest.fixture
def run_module():
    """Return a function that runs a module where there is no TensorFlow."""

    def run(module, *flags, code=0):
        program = (
            "import runpy, sys; sys.modules['tensorflow'] = None\n"
            f"sys.argv[0] = '{module}'; runpy.run_module('{module}', run_name='__main__')"
        )
        done = subprocess.run(
            [sys.executable, "-c", program, *flags],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    return run
