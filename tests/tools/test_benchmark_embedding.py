from __future__ import annotations

import pathlib
import re
import runpy
import subprocess
import sys
import types

import pytest

from daaf_tf.errors import UserError

PROGRAM = pathlib.Path(__file__).resolve().parents[2] / "tools/benchmark_embedding.py"
SIZES = (
    "--backbone=resnet18",
    "--backbone_width=4",
    "--head_units=8",
    "--embedding_size=4",
    "--decoder_channels=2",
    "--image_height=32",
    "--image_width=32",
    "--rounds=1",
    "--batch_sizes=1,2",
)


@pytest.fixture(scope="module")
def tool():
    return runpy.run_path(str(PROGRAM))


def test_measures_each_batch_size():
    command = [sys.executable, str(PROGRAM), *SIZES]
    done = subprocess.run(command, capture_output=True, text=True, timeout=290, check=False)
    assert done.returncode == 0, done.stderr
    assert re.match(r"\d+ cores, .*load before .*\n`python .*--batch_sizes=1,2", done.stdout)
    rows = re.findall(r"^\| (batch .*?) \| ([^|]*) \|", done.stdout, re.MULTILINE)
    assert [what for what, _ in rows] == [
        "batch 1: bare backbone",
        "batch 1: SavedModel",
        "batch 1: SavedModel over bare backbone (bar: 0.95 or more)",
        "batch 1: DAAF's SavedModel over the baseline's",
        "batch 2: bare backbone",
        "batch 2: SavedModel",
        "batch 2: SavedModel over bare backbone",
        "batch 2: DAAF's SavedModel over the baseline's",
    ]
    assert all(float(cell.split()[0].replace(",", "")) > 0 for _, cell in rows)


def test_ratios_are_taken_within_a_round(tool):
    seconds = types.SimpleNamespace(bare=[1, 2], daaf=[2, 2], baseline=[2, 1])
    _, (_, speed, _), (what, ratio, _), (_, branches, _) = tool["make_rows"](8, seconds)
    assert speed == [4, 4]
    assert ratio == [0.5, 1]
    assert branches == [1, 0.5]
    assert "bar: 0.97 or more" in what


@pytest.mark.parametrize("text", ["", "0", "1,,2", "a"])
def test_wrong_batch_sizes(tool, text):
    with pytest.raises(UserError, match="--batch_sizes=.*: expected whole numbers above 0"):
        tool["parse_sizes"](text)
