"""The program as its user meets it: output, files and exit codes."""

from __future__ import annotations

import pathlib
import shutil
import subprocess
import sys

import pytest
from PIL import Image

TOOLS = pathlib.Path(__file__).parents[2] / "tools"


def run(program: str, *arguments: str, **options) -> subprocess.CompletedProcess:
    command = [sys.executable, str(TOOLS / program), *arguments]
    return subprocess.run(command, capture_output=True, text=True, **options)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("records")
    for split in ("bounding_box_train", "query", "bounding_box_test"):
        images = folder / "data" / "Market-1501" / split
        images.mkdir(parents=True)
        for number in range(1, 4):
            picture = Image.new("RGB", (32, 64), (80 * number, 30, 90))
            picture.save(images / f"{number:04d}_c{number}s1_000001_01.jpg")
    made = run(
        "make_tfrecords.py", f"--data_root={folder / 'data'}", f"--output_dir={folder / 'R'}"
    )
    assert made.returncode == 0
    return folder / "R"


def test_whole_records_are_reported_drawn_and_extracted(whole, tmp_path):
    done = run(
        "inspect_records.py", f"--data_dir={whole}", "--split=query", "--extract=out", cwd=tmp_path
    )
    assert done.returncode == 0
    assert "3 records in 1 shards" in done.stdout
    assert "every checksum is right." in done.stdout
    assert "images                   3         3" in done.stdout
    assert "img/s" in done.stderr
    with Image.open(tmp_path / "contact_sheet.png") as sheet:
        assert (sheet.format, sheet.mode) == ("PNG", "RGB")
    source = whole.parent / "data" / "Market-1501" / "query"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["query"]
    for path in source.iterdir():
        assert (tmp_path / "out" / "query" / path.name).read_bytes() == path.read_bytes()


def test_corrupt_records_are_listed_end_with_code_1_and_are_not_extracted(whole, tmp_path):
    folder = shutil.copytree(whole, tmp_path / "R")
    shard = folder / "gallery-00000-of-00001.tfrecord"
    data = bytearray(shard.read_bytes())
    data[300] ^= 1
    shard.write_bytes(data)
    done = run("inspect_records.py", "--data_dir=R", "--extract=out", cwd=tmp_path)
    assert done.returncode == 1
    assert "gallery-00000-of-00001.tfrecord: record 0: wrong checksum" in done.stdout
    assert done.stderr.splitlines()[-1].startswith("error: R: 2 faults, listed above")
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_lost_index_is_rebuilt_and_said_in_one_line(whole, tmp_path):
    folder = shutil.copytree(whole, tmp_path / "R")
    index = folder / "query-00000-of-00001.index"
    written = index.read_bytes()
    index.unlink()
    done = run("inspect_records.py", "--data_dir=R", "--contact_sheet=", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stderr.count("missing, rebuilt from the shard (3 records)") == 1
    assert index.read_bytes() == written
    assert not (tmp_path / "contact_sheet.png").exists()


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (["--data_dir=nowhere"], "nowhere: no such folder"),
        (["--data_dir=."], "holds no manifest.json"),
        (["--data_dir=.", "--workers=-1"], "--workers=-1: expected 0 to 1024"),
        (["--data_dir=.", "--split=test"], "split"),
    ],
)
def test_wrong_command_is_refused(tmp_path, flags, reason):
    done = run("inspect_records.py", *flags, cwd=tmp_path)
    assert done.returncode != 0
    assert reason in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []
