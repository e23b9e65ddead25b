from __future__ import annotations

import pathlib
import re
import runpy
import subprocess
import sys

import numpy as np
import pytest

from daaf_tf.clients.load import Load
from daaf_tf.errors import UserError

PROGRAM = pathlib.Path(__file__).resolve().parents[2] / "tools/benchmark_requests.py"
SIZES = (
    "--backbone=resnet18",
    "--backbone_width=4",
    "--head_units=8",
    "--embedding_size=4",
    "--image_height=32",
    "--image_width=32",
    "--seconds=1",
    "--repeats=1",
    "--clients=2",
    "--num_images=2",
)


@pytest.fixture(scope="module")
def tool():
    return runpy.run_path(str(PROGRAM))


def test_a_tiny_network(tmp_path):
    from PIL import Image

    for number in range(3):
        Image.new("RGB", (20, 40), (80 * number, 0, 0)).save(tmp_path / f"{number}.jpg")
    command = [sys.executable, str(PROGRAM), *SIZES, f"--images={tmp_path}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=290, check=False)
    assert done.returncode == 0, done.stderr
    assert re.match(r"\d+ cores, .*load before .*\n`python .*--seconds=1", done.stdout)
    rows = re.findall(r"^\| (one by one|batching) \| 2 \| ([\d.,]+) \|", done.stdout, re.MULTILINE)
    assert [way for way, _ in rows] == ["one by one", "batching"]
    assert all(float(speed.replace(",", "")) > 0 for _, speed in rows)
    assert "turn 1 of 1, batching, 2 clients" in done.stderr


def test_a_server_that_does_not_start_is_quoted(tool, tmp_path):
    starting = tool["serving"](str(tmp_path), "--batching")
    message = "serve_rest.py does not start: error: .*exported model"
    with pytest.raises(UserError, match=message), starting:
        pytest.fail("it has started")


def test_the_table_has_medians_over_turns(tool):
    def loads(*seconds):
        return [Load(each, np.full(100, each / 100)) for each in seconds]

    runs = {("one by one", 1): loads(1, 2, 4), ("batching", 4): loads(0.5, 0.5, 1)}
    assert tool["format_runs"](runs)[2:] == [
        "| one by one | 1 | 50.0 | 1.00 x | 20.0 ms | 20.0 ms | 20.0 ms |",
        "| batching | 4 | 200.0 | 4.00 x | 5.0 ms | 5.0 ms | 5.0 ms |",
    ]
