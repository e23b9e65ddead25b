from __future__ import annotations

import os
import subprocess
import sys

import pytest
from tiny_market import GALLERY, TRAIN, draw_image, draw_market

from daaf_tf.data.conversion import Conversion, convert
from daaf_tf.errors import UserError


@pytest.fixture
def root(tmp_path):
    return draw_market(tmp_path / "data")


def run(root, name: str, **options):
    values = {"workers": 1, "output_dir": str(root.parent / name), **options}
    return convert(Conversion("market1501", str(root), **values), show_progress=False)


def content(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("options", ["", "--runner=BundleBasedDirectRunner"])
def test_beam_writes_the_bytes_that_processes_write(root, options, monkeypatch):
    pytest.importorskip("apache_beam")
    monkeypatch.setattr("daaf_tf.data.beam._CHUNK", 4)
    for seed in range(20):
        draw_image(root / GALLERY / f"0100_c1s1_{seed:06d}_01.jpg", seed)
    (root / GALLERY / "0100_c1s1_000007_01.jpg").write_bytes(b"")
    (root / TRAIN / "0002_c1s1_000001_01.jpg").write_bytes(b"")
    run(root, "processes", num_shards=3)
    report = run(root, "beam", num_shards=3, runner="beam", beam_options=options)
    assert len([p for p in report.problems if p.kind == "image"]) == 2
    assert content(root.parent / "beam") == content(root.parent / "processes")


def test_beam_works_in_processes_of_its_own(root, monkeypatch):
    """Several workers, which see nothing of this process; options are passed through to Beam."""
    pytest.importorskip("apache_beam")
    monkeypatch.setattr("daaf_tf.data.beam._CHUNK", 2)
    options = "--runner=FnApiRunner --direct_running_mode=multi_processing --direct_num_workers=2"
    run(root, "processes")
    run(root, "beam", runner="beam", beam_options=options)
    assert content(root.parent / "beam") == content(root.parent / "processes")


def test_problem_is_fatal_if_strict_and_nothing_is_left(root):
    pytest.importorskip("apache_beam")
    (root / TRAIN / "0002_c1s1_000001_01.jpg").write_bytes(b"")
    with pytest.raises(UserError, match=r"empty file.*--strict"):
        run(root, "beam", runner="beam", strict=True)
    assert os.listdir(root.parent) == ["data"]


@pytest.mark.parametrize("options", ["--runner='", "--direct_num_workers=many"])
def test_options_that_beam_does_not_take_are_refused(root, options):
    pytest.importorskip("apache_beam")
    with pytest.raises(UserError, match="--beam_options=.*not understood"):
        run(root, "beam", runner="beam", beam_options=options)
    assert os.listdir(root.parent) == ["data"]


def test_missing_beam_is_said(root, monkeypatch):
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    monkeypatch.setitem(sys.modules, "apache_beam.options.pipeline_options", None)
    with pytest.raises(UserError, match=r"needs Apache Beam.*pip install 'daaf_tf\[beam\]'"):
        run(root, "beam", runner="beam")
    assert os.listdir(root.parent) == ["data"]


def test_runner_and_options_that_make_no_sense_are_refused(root):
    with pytest.raises(UserError, match="--runner=spark: expected one of processes, beam"):
        run(root, "R", runner="spark")
    with pytest.raises(UserError, match="--beam_options are given without --runner=beam"):
        run(root, "R", beam_options="--runner=FlinkRunner")


def test_beam_is_not_imported_unless_it_is_asked_for():
    code = "import sys, daaf_tf.data.conversion; sys.exit('apache_beam' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
