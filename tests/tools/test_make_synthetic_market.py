"""The program that draws the synthetic set, as a user starts it."""

from __future__ import annotations

import json
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from daaf_tf.data import synthetic
from daaf_tf.data.synthetic_plan import PRESETS, Recipe

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = [sys.executable, str(ROOT / "tools" / "make_synthetic_market.py")]


def run(*arguments):
    return subprocess.run(
        [*PROGRAM, *arguments], capture_output=True, text=True, timeout=120, check=False
    )


def test_ctrl_c_ends_quietly_and_leaves_only_whole_files(tmp_path):
    folder = tmp_path / "set"
    process = subprocess.Popen(
        [*PROGRAM, f"--output_dir={folder}", "--workers=2"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not list(folder.glob("Market-1501/*/*.jpg")) and time.monotonic() < deadline:
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130, output
    assert output.rstrip().endswith("interrupted")
    assert "Traceback" not in output
    assert "image/s" in output
    assert list(folder.glob("Market-1501/*/*.jpg"))
    assert [path.name for path in folder.rglob("*.part")] == ["synthetic.json.part"]


def test_a_finished_set_is_reported_and_left_alone(tmp_path):
    description = synthetic.describe(Recipe(PRESETS["small"], 1))
    (tmp_path / "synthetic.json").write_text(json.dumps(description))
    result = run(f"--output_dir={tmp_path}")
    assert result.returncode == 0, result.stderr
    assert "holds the synthetic set small, seed 1" in result.stdout
    assert "180 query images of 50 other people" in result.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["synthetic.json"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--output_dir must have a value"),
        (["--preset=huge"], "value should be one of <small|market1501>"),
        (["--seed=-1"], "error: --seed=-1: expected 0 or more"),
        (["--workers=-1"], "error: --workers=-1: expected 0 or more"),
        (["--output=x"], "Unknown command line flag 'output'"),
        (["stray"], "error: unexpected argument 'stray'"),
    ],
)
def test_bad_arguments_end_in_one_message(tmp_path, arguments, message):
    folder = [f"--output_dir={tmp_path / 'set'}"] if arguments else []
    result = run(*folder, *arguments)
    assert result.returncode == 1
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "set").exists()


def test_a_folder_with_other_files_is_refused(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    result = run(f"--output_dir={tmp_path}")
    assert result.returncode == 1
    assert result.stderr.startswith("error: --output_dir=")
    assert "'thesis.txt'" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_no_tensorflow_in_the_program_or_its_workers():
    code = "import sys, daaf_tf.data.synthetic; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
