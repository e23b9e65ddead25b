from __future__ import annotations

import dataclasses
import pathlib
import re
import subprocess
import sys

from daaf_tf.data.synthetic import write_synthetic_market
from daaf_tf.data.synthetic_plan import PRESETS

TOOLS = pathlib.Path(__file__).resolve().parents[2] / "tools"
TINY = dataclasses.replace(
    PRESETS["small"],
    name="tiny",
    train_ids=24,
    train_images=110,
    few_ids=2,
    most_images=6,
    test_ids=4,
    query_images=12,
    good_images=22,
    distractor_images=2,
    junk_images=2,
)


def run(program, *arguments):
    command = [sys.executable, str(TOOLS / program), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)


def figure(table, what):
    """Return the median in the row of that name."""
    (cell,) = re.findall(rf"^\| {what} \| ([^|]*) \|", table, re.MULTILINE)
    return float(cell.split()[0].replace(",", ""))


def test_measures_everything_on_a_tiny_set(tmp_path):
    write_synthetic_market(tmp_path, preset=TINY, progress=False)
    sizes = ("--repeats=1", "--batches=1", "--blocks=1")
    done = run("benchmark_data.py", f"--data_root={tmp_path}", *sizes)
    assert done.returncode == 0, done.stderr
    table = done.stdout
    assert re.match(r"\d+ cores, .*load before [\d.]+, after [\d.]+\n`python .*--repeats=1", table)
    assert figure(table, "conversion of 148 images") > 0
    halves = re.findall(r"conversion of (\d+) images", table)
    assert 55 <= int(halves[1]) <= 92
    for kind in ("image, mask and 17 maps", "image alone"):
        assert figure(table, f"batches of {kind}") > 0
        assert f"| PyTorch loader of {kind}: left out, no --torch_python |" in table
        assert figure(table, rf"import of TensorFlow \({kind}\)") > 0
        assert figure(table, rf"from there to the first batch \({kind}\)") > 0
    peaks = [int(images) for images in re.findall(r"peak memory at (\d+) images", table)]
    assert peaks == [990, 35970]
    # 35,000 more images of 10 kB each would be 350 MB, were they kept.
    assert figure(table, "memory growth") < 200


def test_what_is_missing_is_said(tmp_path):
    done = run("benchmark_data.py", "--conversion=false")
    assert (done.returncode, done.stderr) == (
        1,
        "error: --conversion=false: give the --records to read\n",
    )
    done = run("benchmark_data.py", f"--data_root={tmp_path / 'nowhere'}")
    assert done.returncode == 1
    assert f"error: --data_root={tmp_path / 'nowhere'}: no such folder" in done.stderr


def test_a_program_that_fails_is_quoted():
    done = run("benchmark_data.py", "--conversion=false", "--records=no/such", "--data_root=no")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "benchmark_batches.py --data_dir=no/such" in done.stderr
    assert "error: no/such: no such folder" in done.stderr
