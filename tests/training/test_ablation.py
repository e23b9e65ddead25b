"""Plan, spread, gains and report of an ablation, on figures that are made up here."""

import json
import math

import numpy as np
import pytest
from PIL import Image

from daaf_tf.training import ablation, ablation_report
from daaf_tf.training.ablation import Run

MAPS = {"baseline": (50.0, 52.0), "hab": (51.0, 51.5), "pab": (49.0, 53.0), "both": (54.0, 55.0)}


def make_curve(variant, seed, steps=(0, 10)):
    figures = {"mAP": MAPS[variant][seed - 1], "rank1": 60.0 + seed}
    figures.update({"mask_iou": 0.8} if variant in ("hab", "both") else {})
    figures.update({"joint_accuracy": 0.7} if variant in ("pab", "both") else {})
    return [{"step": step, **figures} for step in steps]


@pytest.fixture
def curves():
    return {run: make_curve(run.variant, run.seed) for run in ablation.plan_runs([1, 2])}


def finals(curves):
    return {run: curve[-1] for run, curve in curves.items()}


def test_each_seed_is_compared_before_the_next_begins():
    runs = ablation.plan_runs([3, 1])
    assert [run.seed for run in runs] == [3] * 4 + [1] * 4
    assert len({run.name for run in runs}) == 8
    both = {"hab": True, "pab": True, "seed": 3}
    assert [run.settings() for run in runs if run.variant == "both"][0] == both


def test_spread_is_mean_sample_deviation_and_extremes():
    spread = ablation.compute_spread([1.0, 2.0, 6.0])
    assert (spread.mean, spread.least, spread.most, spread.count) == (3.0, 1.0, 6.0, 3)
    assert spread.deviation == pytest.approx(np.sqrt((4 + 1 + 9) / 2))
    assert math.isnan(ablation.compute_spread([4.0]).deviation)


def test_gains_are_taken_seed_by_seed(curves):
    found = finals(curves)
    gain = ablation.compute_gains(found, "both", "mAP")
    assert (gain.least, gain.most, gain.mean) == (3.0, 4.0, 3.5)
    del found[Run("baseline", 1)]
    assert ablation.compute_gains(found, "both", "mAP").count == 1
    del found[Run("baseline", 2)]
    assert ablation.compute_gains(found, "both", "mAP") is None


def test_the_table_has_every_variant_and_says_what_is_beyond_the_spread(curves):
    table = ablation_report.format_table(finals(curves))
    rows = [line.split(" | ") for line in table.splitlines() if line.startswith("|")]
    assert [row[0] for row in rows[2:]] == ["| baseline", "| +HAB", "| +PAB", "| +both"]
    assert rows[2][1:5] == [
        "51.0 ± 1.4 (50.0 to 52.0)",
        "61.5 ± 0.7 (61.0 to 62.0)",
        "-",
        "-",
    ]
    assert rows[5][3] == "0.800 ± 0.000 (0.800 to 0.800)"
    lines = {line.split(" ")[0]: line for line in table.splitlines() if line.startswith("+")}
    assert "+3.5 points of mAP (+3.0 to +4.0)" in lines["+both"]
    assert "(54.0) is above" in lines["+both"]
    assert "(49.0) is not above" in lines["+PAB"]


def test_a_partial_table_shows_what_there_is(curves):
    found = finals(curves)
    table = ablation_report.format_table({Run("baseline", 1): found[Run("baseline", 1)]})
    assert "| baseline | 50.0 | 61.0 | - | - | 1 |" in table
    assert "+HAB" not in table


def test_the_report_is_written_whole_and_again(curves, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    for done in (dict(list(curves.items())[:3]), curves):
        table = ablation_report.write_report(str(tmp_path), done)
    assert (tmp_path / "table.md").read_text("utf-8") == table
    with Image.open(tmp_path / "plot.png") as picture:
        assert picture.format == "PNG"
        assert len(np.unique(picture.convert("L"))) > 10
    stored = json.loads((tmp_path / "results.json").read_text("utf-8"))
    assert stored["spreads"]["both"]["mAP"]["mean"] == 54.5
    assert len(stored["runs"]) == 8
    folders = sorted(path for path in (tmp_path / "hparams").iterdir() if path.is_dir())
    assert [path.name for path in folders] == sorted(run.name for run in curves)
    for folder in folders:
        assert len(list(folder.glob("events*"))) == 1  # the first report's are gone
        events = EventAccumulator(str(folder))
        events.Reload()
        assert {"mAP", "rank1"} <= set(events.Tags()["tensors"])
        assert "_hparams_/session_start_info" in events.summary_metadata
