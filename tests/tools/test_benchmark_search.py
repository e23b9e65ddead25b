from __future__ import annotations

import pathlib
import re
import subprocess
import sys

import pytest

TOOL = pathlib.Path(__file__).resolve().parents[2] / "tools" / "benchmark_search.py"
SMALL = ("--images=400", "--width=8", "--noise=0.1", "--queries=3", "--repeats=1")


def run(*arguments):
    command = [sys.executable, str(TOOL), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def figure(table, what):
    """Return the median in the row of that name."""
    (cell,) = re.findall(rf"^\| {re.escape(what)} \| ([^|]*) \|", table, re.MULTILINE)
    return float(cell.split()[0].replace(",", ""))


def test_measures_a_small_gallery(tmp_path):
    pytest.importorskip("faiss")
    done = run(*SMALL, "--index_types=hnsw", f"--output_dir={tmp_path}")
    assert done.returncode == 0, done.stderr
    assert re.match(r"\d+ cores, .*\n`python .*--index_types=hnsw.*`\n\n\| what", done.stdout)
    for what in (
        "vectors on disk",
        "flat: opening, every byte checked",
        "flat: peak memory of a query",
        "hnsw: building",
        "hnsw: index on disk",
        "hnsw: peak memory of a query",
        "hnsw: numpy's product, one query",
        "hnsw: exact search over numpy's product",
        "hnsw: approximate is faster than exact by",
    ):
        assert figure(done.stdout, what) > 0, what
    assert figure(done.stdout, "hnsw: recall@10") > 0.9
    assert figure(done.stdout, "hnsw: exact hits of the query's person") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--index_types=flat", "--index_types=flat: expected ivfpq and hnsw"),
        ("--images=9999", "--images=9999: ivfpq needs 10,000 or more"),
    ],
)
def test_bad_flags_are_named(flag, message):
    done = run(flag)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {message}")
