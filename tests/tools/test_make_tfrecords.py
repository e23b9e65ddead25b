"""The program as its user meets it: a process with flags, output, an exit code and signals."""

from __future__ import annotations

import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

PROGRAM = pathlib.Path(__file__).parents[2] / "tools" / "make_tfrecords.py"
NUM_GALLERY = 4000  # one picture under many names: enough work to be interrupted


@pytest.fixture(scope="module")
def data_root(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    noise = np.random.RandomState(0).randint(0, 256, (128, 64, 3), np.uint8)
    Image.fromarray(noise).save(root / "picture.jpg")
    for folder, count in (
        ("bounding_box_train", 3),
        ("query", 2),
        ("bounding_box_test", NUM_GALLERY),
    ):
        (root / "Market-1501" / folder).mkdir(parents=True)
        for number in range(count):
            name = f"0001_c1s1_{number:06d}_01.jpg"
            os.link(root / "picture.jpg", root / "Market-1501" / folder / name)
    return root


def command(data_root, output_dir, *more: str) -> list[str]:
    return [
        sys.executable,
        str(PROGRAM),
        f"--data_root={data_root}",
        f"--output_dir={output_dir}",
        *more,
    ]


def run(data_root, output_dir, *more: str) -> subprocess.CompletedProcess:
    return subprocess.run(command(data_root, output_dir, *more), capture_output=True, text=True)


def content(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture(scope="module")
def uninterrupted(data_root, tmp_path_factory):
    folder = tmp_path_factory.mktemp("records")
    finished = run(data_root, folder)
    assert finished.returncode == 0
    return folder, finished


def start_and_signal(data_root, output_dir, number: signal.Signals):
    """Start a conversion, signal it while it is writing, and return it and its workers' ids."""
    process = subprocess.Popen(
        command(data_root, output_dir, "--workers=2"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    staging = output_dir / ".incomplete"
    # Query is written as a whole before the gallery, which takes long, is begun.
    while not (staging / "query-00000-of-00001.tfrecord").exists() and process.poll() is None:
        time.sleep(0.002)
    children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    process.send_signal(number)
    output = "".join(process.communicate(timeout=60))
    assert not (output_dir / "manifest.json").exists()
    return process.returncode, output, children


def test_summary_and_rate_are_shown(uninterrupted):
    _, finished = uninterrupted
    assert "img/s" in finished.stderr
    assert f"{NUM_GALLERY:,}    19,732" in finished.stdout
    assert "not the counts expected of the real Market-1501" in finished.stdout
    assert "no folder mask-anno/query: query has no masks" in finished.stdout
    assert "No problems." in finished.stdout


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="looks up processes in /proc")
def test_killed_conversion_leaves_no_worker_and_is_repeated_with_the_same_bytes(
    data_root, tmp_path, uninterrupted
):
    code, _, children = start_and_signal(data_root, tmp_path / "R", signal.SIGKILL)
    assert code == -signal.SIGKILL
    assert len(children) == 2
    deadline = time.monotonic() + 30
    while any(map(is_running, children)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not any(map(is_running, children))
    assert run(data_root, tmp_path / "R").returncode == 0
    assert content(tmp_path / "R") == content(uninterrupted[0])


def is_running(pid: str) -> bool:
    try:
        state = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="looks up processes in /proc")
def test_ctrl_c_ends_with_one_line_and_nothing_left(data_root, tmp_path):
    code, output, children = start_and_signal(data_root, tmp_path / "R", signal.SIGINT)
    assert code == 130
    assert output.splitlines()[-1] == "interrupted"
    assert "Traceback" not in output
    assert not any(map(is_running, children))
    assert not (tmp_path / "R").exists()


def test_complete_conversion_is_not_replaced(data_root, uninterrupted):
    folder, _ = uninterrupted
    before = content(folder)
    refused = run(data_root, folder)
    assert refused.returncode == 1
    assert refused.stderr.startswith("error: ")
    assert refused.stderr.count("\n") == 1
    assert "--overwrite" in refused.stderr
    assert content(folder) == before


def test_problem_is_fatal_only_if_strict(data_root, tmp_path):
    bad = data_root / "Market-1501" / "query" / "nobody.jpg"
    bad.write_text("")
    try:
        refused = run(data_root, tmp_path / "R", "--strict")
        assert refused.returncode == 1
        assert "nobody.jpg: name not understood" in refused.stderr
        assert not (tmp_path / "R").exists()
        passed = run(data_root, tmp_path / "R")
    finally:
        bad.unlink()
    assert passed.returncode == 0
    assert "Problems: 1 images skipped" in passed.stdout
    assert "nobody.jpg: name not understood" in passed.stdout


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (["--dataset=market"], "market1501"),
        (["--data_root="], "--data_root must have a value"),
        (["--data_root=/nowhere"], "/nowhere: no such folder"),
        (["--annotations=poses.json"], "no file poses.json"),
        (["--colour=red"], "colour"),
        (["extra"], "unexpected argument 'extra'"),
    ],
)
def test_wrong_command_is_refused(data_root, tmp_path, flags, reason):
    refused = run(data_root, tmp_path / "R", *flags)
    assert refused.returncode != 0
    assert reason in refused.stderr
    assert "Traceback" not in refused.stderr
    assert not (tmp_path / "R").exists()
