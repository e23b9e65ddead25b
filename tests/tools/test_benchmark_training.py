from __future__ import annotations

import pathlib
import re
import runpy
import subprocess
import sys

import pytest

from daaf_tf.config import Config
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
    "--num_cpu_replicas=2",
    "--repeats=1",
    "--steps=1",
    "--blocks=1",
)


@pytest.fixture(scope="module")
def tool():
    return runpy.run_path(str(PROGRAM))


def figure(printed, what):
    """Return the median in the row of that name."""
    (cell,) = re.findall(rf"^\| {re.escape(what)} \| ([^|]*) \|", printed, re.MULTILINE)
    return float(cell.split()[0].replace(",", ""))


def test_measures_both_loops_on_a_tiny_set(records):
    command = [sys.executable, str(PROGRAM), *SIZES, "--parts=loop"]
    command.append(f"--data_dir={records}")
    done = subprocess.run(command, capture_output=True, text=True, timeout=290, check=False)
    assert done.returncode == 0, done.stderr
    assert re.match(r"\d+ cores, .*load before .*\n`python .*--parts=loop", done.stdout)
    rows = ("step of the bare loop", "images in our training")
    assert all(figure(done.stdout, row) > 0 for row in rows)
    ours = figure(done.stdout, "step of our training, real batches and callbacks")
    assert figure(done.stdout, "images in our training") == pytest.approx(4000 / ours, rel=0.05)
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
    assert rows[0][1:] == ([1300, 3000], "ms")
    title, rows = tool["precision_rows"](times, Config().replace(precision="float32"))
    assert "processor" in title or "not known" in title
    assert rows[-1][1] == [1.3, 3]


def test_an_unknown_part_is_named(tool):
    with pytest.raises(UserError, match="--parts=loops: expected some of loop,branches"):
        tool["parse_parts"]("loops")


@pytest.mark.parametrize(
    ("replicas", "batch_sizes", "message"),
    [
        ("0", "4", "--replicas=0: expected whole numbers above 0"),
        ("2", "4,x", "--batch_sizes=4,x: expected whole numbers above 0"),
        ("2", "6", "--batch_sizes=6: expected multiples of 4, K=2 .* found 6"),
    ],
)
def test_a_grid_that_cannot_be_is_refused(tool, replicas, batch_sizes, message):
    with pytest.raises(UserError, match=message):
        tool["make_grid"](Config().replace(images_per_identity=2), replicas, batch_sizes)


def test_the_grid_has_a_row_for_each_number_of_replicas_and_batch(tool):
    grid = tool["make_grid"](Config(), "1,2", "16,32")
    settings = {at: dict(each.settings) for at, each in grid.items()}
    assert settings[2, 32] == {"identities_per_batch": 8, "num_cpu_replicas": 2}
    runs = {at: [{"seconds_per_step": [at[0], 4, at[0]], "peak_mb": 1000 * at[1]}] for at in grid}
    assert tool["format_grid"](runs)[2:] == [
        "| 1 | 16 | 1.000 s | 16.0 | 16,000 MB |",
        "| 2 | 16 | 2.000 s | 8.0 | 16,000 MB |",
        "| 1 | 32 | 1.000 s | 32.0 | 32,000 MB |",
        "| 2 | 32 | 2.000 s | 16.0 | 32,000 MB |",
    ]
