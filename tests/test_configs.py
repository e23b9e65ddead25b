"""Every flagfile in configs/ is a valid config and says at its head what to expect of it."""

import pathlib
import re
import subprocess
import sys

import pytest

from daaf_tf.config import from_json, settings

ROOT = pathlib.Path(__file__).resolve().parent.parent
FLAGFILES = sorted((ROOT / "configs").glob("*"))
HEADINGS = ("Paper:", "Expected result", "Hardware and hours:", "Command:")
PARSE = """
from daaf_tf import flags
from daaf_tf.config import to_json

flags.define_settings()
flags.run(lambda: print(to_json(flags.config_from_flags()), end=""))
"""

each_flagfile = pytest.mark.parametrize("path", FLAGFILES, ids=lambda path: path.stem)


def split(path):
    """Return the comment lines at the head of a flagfile and all lines after them."""
    lines = path.read_text(encoding="utf-8").splitlines()
    length = next((n for n, line in enumerate(lines) if not line.startswith("#")), len(lines))
    return lines[:length], lines[length:]


def test_the_recipes_are_there():
    assert {path.name for path in FLAGFILES} >= {
        "market1501_trinet_baseline.flags",
        "market1501_trinet_daaf.flags",
        "quickstart.flags",
    }


@each_flagfile
def test_it_parses(path):
    done = subprocess.run(
        [sys.executable, "-c", PARSE, f"--flagfile={path}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    from_json(done.stdout, str(path))


@each_flagfile
def test_its_head_says_what_to_expect(path):
    head = "\n".join(split(path)[0])
    assert [heading for heading in HEADINGS if f"\n# {heading}" not in head] == []
    assert f"configs/{path.name}" in head.partition("# Command:")[2]


@each_flagfile
def test_every_line_sets_one_setting_once(path):
    lines = [line for line in split(path)[1] if line and not line.startswith("#")]
    found = [re.fullmatch(r"--(\w+)=(\S+)", line) for line in lines]
    assert [line for line, match in zip(lines, found) if not match] == []
    names = [match.group(1) for match in found]
    assert set(names) <= set(settings())
    assert len(names) == len(set(names))
