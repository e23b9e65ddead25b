from __future__ import annotations

import pathlib
import re
import subprocess
import sys

import pytest

TOOL = pathlib.Path(__file__).resolve().parents[2] / "tools" / "benchmark_retrieval.py"
SMALL = (
    "--queries=40",
    "--gallery=300",
    "--width=32",
    "--growth=300,2000",
    "--large_queries=60",
    "--large_gallery=400",
    "--repeats=1",
)


def run(*arguments):
    command = [sys.executable, str(TOOL), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def figure(table, what):
    """Return the median in the row of that name."""
    (cell,) = re.findall(rf"^\| {re.escape(what)} \| ([^|]*) \|", table, re.MULTILINE)
    return float(cell.split()[0].replace(",", ""))


def test_measures_everything_on_small_sizes():
    done = run(*SMALL)
    assert done.returncode == 0, done.stderr
    table = done.stdout
    assert re.match(r"\d+ cores, .*numpy [\d.]+.*\n`python .*--repeats=1`\n\n\| what", table)
    for what in (
        "ranking of 40 x 300 from a distance matrix",
        "ranking of 40 x 300 from 32 features, distances included",
        "peak memory of ranking from features, 40 x 300",
        "ranking of 40 x 2000 from features",
        "peak memory of ranking 40 x 2000",
        "time grows by this factor times the gallery, 300 to 2000",
        "re-ranking of 340 points",
        "peak memory of re-ranking 340 points",
        "dense original, float32, of 340 points",
        "peak memory of the dense original, 340 points",
        "ours is faster than the dense original by",
        "re-ranking of 460 points, scored in blocks",
        "peak memory of re-ranking 460 points",
    ):
        assert figure(table, what) > 0, what
    assert figure(table, "largest difference from the dense original in float64") < 1e-5


def test_the_original_and_the_large_case_may_be_left_out():
    done = run(*SMALL, "--nodense", "--large_queries=0")
    assert done.returncode == 0, done.stderr
    assert "dense" not in done.stdout.split("| what")[1]
    assert "scored in blocks" not in done.stdout


@pytest.mark.parametrize("growth", ["1000", "many,1000", "0,1000"])
def test_bad_sizes_are_named(growth):
    done = run(f"--growth={growth}")
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: --growth={growth}: expected ")
