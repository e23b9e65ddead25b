"""What docs/retrieval.md tells its reader to type exists, and the command on features runs."""

import json
import os
import re
import shlex
import subprocess
import sys

import numpy as np
from source_imports import ROOT, modules

TEXT = (ROOT / "docs/retrieval.md").read_text(encoding="utf-8")
COMMANDS = [
    shlex.split(line)
    for block in re.findall(r"```bash\n(.*?)```", TEXT, re.DOTALL)
    for line in block.splitlines()
]


def run(words, folder):
    """Run a command of the page in a folder; return its output."""
    done = subprocess.run(
        [sys.executable, *words[1:]],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return done.returncode, done.stdout + done.stderr


def test_every_flag_exists():
    _, told = run(["python", "-m", "daaf_tf.evaluate", "--helpfull"], ROOT)
    # Of the program that makes records, and the folder that it reads.
    for name in set(re.findall(r"--(\w+)", TEXT)) - {"output_dir"}:
        assert re.search(rf"--(\[no\])?{name}\b", told), name


def test_every_command_is_this_program():
    assert len(COMMANDS) >= 4
    for words in COMMANDS:
        assert words[:3] == ["python", "-m", "daaf_tf.evaluate"]
        assert words[2] in modules()


def test_the_command_on_features_runs(tmp_path):
    (words,) = [words for words in COMMANDS if "--features=F.npz" in words]
    random, ids = np.random.default_rng(0), np.repeat(np.arange(1, 9), 4)
    arrays = {"metric": np.array("euclidean")}
    for split, camera in (("query", 1), ("gallery", 2)):
        arrays[f"{split}_features"] = random.normal(size=(len(ids), 6)) + ids[:, None]
        arrays[f"{split}_ids"] = ids
        arrays[f"{split}_cameras"] = np.full(len(ids), camera)
    np.savez(tmp_path / "F.npz", **arrays)
    code, printed = run(words, tmp_path)
    assert code == 0, printed
    assert "re-ranked (k1=20, k2=6, lambda=0.3)" in printed
    assert json.loads((tmp_path / "figures.json").read_text())["queries"] == len(ids)
