"""docs/export.md names flags, files and versions that exist."""

from __future__ import annotations

import re
import subprocess
import sys

from source_imports import ROOT

from daaf_tf.serving import export, runtimes, warmup
from daaf_tf.serving.card import CARD_FILE
from daaf_tf.serving.embedder import (
    ATTENTION_ENCODED_SIGNATURE,
    ATTENTION_SIGNATURE,
    ENCODED_SIGNATURE,
    PIXELS_SIGNATURE,
)
from daaf_tf.serving.parity import MAP_TOLERANCE, NUM_PIXELS, TOLERANCES

PAGE = (ROOT / "docs" / "export.md").read_text(encoding="utf-8")


def test_every_flag_exists():
    done = subprocess.run(
        [sys.executable, "-m", "daaf_tf.export", "--helpshort"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    known = set(re.findall(r"^  --(?:\[no\])?(\w+)", done.stdout, re.MULTILINE))
    named = set(re.findall(r"--(\w+)", PAGE)) - {"no"}
    named = {name.removeprefix("no") if name not in known else name for name in named}
    assert {"normalize", "tta", "attention", "precision", "format", "parity"} <= named
    assert named - known == set(), done.stdout


def test_every_file_exists():
    paths = re.findall(r"\b(?:tools|tests)/[\w/]+\.py\b", PAGE)
    assert len(paths) >= 2
    assert all((ROOT / path).is_file() for path in paths)
    for name in (export.DESCRIPTION_FILE, CARD_FILE, warmup.WARMUP_FILE, runtimes.INT8_FILE):
        assert f"`{name}`" in PAGE


def test_signatures_and_bars_are_the_programs():
    for name in (
        PIXELS_SIGNATURE,
        ENCODED_SIGNATURE,
        ATTENTION_SIGNATURE,
        ATTENTION_ENCODED_SIGNATURE,
    ):
        assert f"| `{name}`" in PAGE
    assert f"more than {MAP_TOLERANCE} points" in PAGE
    assert f"{NUM_PIXELS} of the queries" in PAGE
    shown = re.search(
        r"more than (\S+) of its own length \(float16: (\S+), bfloat16: (\S+)\)", PAGE
    )
    assert [float(each) for each in shown.groups()] == list(TOLERANCES.values())


def test_the_packages_are_those_of_the_message():
    (command,) = re.findall(r"^pip install .*$", PAGE, re.MULTILINE)
    assert command in runtimes.INSTALL
