from __future__ import annotations

import pathlib
import re
import runpy
import subprocess
import sys

import pytest

from daaf_tf.config import Config
from daaf_tf.data.conversion import Conversion, convert
from daaf_tf.data.synthetic import Preset, write_synthetic_market
from daaf_tf.errors import UserError

PROGRAM = pathlib.Path(__file__).resolve().parents[2] / "tools/benchmark_training.py"
SIZES = (
    "--backbone=resnet18",
    "--backbone_width=4",
    "--head_units=8",
    "--embedding_size=4",
    "--hab=false",
    "--pab=false",
    "--image_height=32",
    "--image_width=32",
    "--identities_per_batch=2",
    "--images_per_identity=2",
    "--repeats=1",
    "--steps=1",
    "--blocks=2",
    "--replicas=2",
    "--batch_sizes=4",
)


@pytest.fixture(scope="module")
def tool():
    return runpy.run_path(str(PROGRAM))


def run(*arguments):
    command = [sys.executable, str(PROGRAM), *SIZES, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)


def figure(printed, what):
    """Return the median in the row of that name."""
    (cell,) = re.findall(rf"^\| {re.escape(what)} \| ([^|]*) \|", printed, re.MULTILINE)
    return float(cell.split()[0].replace(",", ""))


def test_measures_both_loops_and_the_grid_on_a_tiny_set(tmp_path):
    preset = Preset(
        name="tiny",
        train_ids=4,
        train_images=20,
        few_ids=1,
        few_least=1,
        most_images=8,
        test_ids=2,
        query_images=4,
        good_images=8,
        distractor_images=2,
        junk_images=2,
    )
    write_synthetic_market(tmp_path / "folders", preset=preset, progress=False)
    convert(Conversion("market1501", str(tmp_path / "folders"), str(tmp_path / "records")))
    done = run("--parts=loop,replicas", f"--data_dir={tmp_path / 'records'}")
    assert done.returncode == 0, done.stderr
    assert re.match(r"\d+ cores, .*load before .*\n`python .*--parts=loop", done.stdout)
    rows = ("step of the bare loop", "images in our training")
    assert all(figure(done.stdout, row) > 0 for row in rows)
    ours = figure(done.stdout, "step of our training, real batches and callbacks")
    assert figure(done.stdout, "images in our training") == pytest.approx(4 / ours, rel=0.3)
    assert re.search(r"^\| 2 \| 4 \| [\d.]+ s \| [\d.]+ \| \d[\d,]* MB \|$", done.stdout, re.M)
    assert "HAB" not in done.stdout
    assert "turn 1 of 1, run 2 of 2: bare loop" in done.stderr


def test_ratios_are_taken_within_a_turn(tool):
    kinds = ("BASELINE", "HAB", "PAB", "BOTH", "BFLOAT16", "TRAIN")
    times = {
        tool[kind]: figures
        for kind, figures in zip(kinds, ([1, 2], [1.1, 2.2], [1.2, 2.4], [1.3, 3], [1, 1], [2, 4]))
    }
    _, rows = tool["branches_rows"](times, Config())
    assert [figures for what, figures, _ in rows if "both" in what] == [[1.3, 1.5]]
    _, rows = tool["loop_rows"](times, Config())
    assert [figures for what, figures, _ in rows if "over" in what] == [[0.65, 0.75]]
    assert [figures for what, figures, _ in rows if "images" in what] == [[36, 18]]
    title, rows = tool["precision_rows"](times, Config().replace(precision="float32"))
    assert "processor" in title or "not known" in title
    assert rows[-1][1] == [1.3, 3]


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--parts=loops", "--parts=loops: expected some of loop,branches,precision,replicas"),
        ("--replicas=0", "--replicas=0: expected whole numbers above 0"),
        ("--batch_sizes=6", "--batch_sizes=6: expected multiples of 4, K=2 .* found 6"),
        ("--data_dir=nowhere", "nowhere"),
    ],
)
def test_what_is_wrong_is_said(tool, flag, message):
    name, _, value = flag[2:].partition("=")
    config = Config().replace(images_per_identity=2)
    if name == "parts":
        with pytest.raises(UserError, match=message):
            tool["parse_parts"](value)
    elif name == "data_dir":
        done = run("--parts=loop", flag)
        assert (done.returncode, "Traceback" in done.stderr) == (1, False)
        assert f"{value}: no such folder" in done.stderr
    else:
        arguments = {"replicas": "2", "batch_sizes": "4", name: value}
        with pytest.raises(UserError, match=message):
            tool["make_grid"](config, **arguments)
