"""Averages, clipping and the optional losses: two replicas compute what one does."""

from __future__ import annotations

import importlib.util
import json
import os
import pathlib
import subprocess
import sys

PROGRAM = pathlib.Path(__file__).with_name("replicas_program.py")


def test_two_replicas_equal_one():
    addons = ["addons"] if importlib.util.find_spec("tensorflow_addons") else []
    done = subprocess.run(
        [sys.executable, str(PROGRAM), *addons],
        env={**os.environ, "PYTHONPATH": str(PROGRAM.parents[2])},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    report = json.loads(done.stdout.strip().splitlines()[-1])
    assert len(report) == (4 if addons else 2)
    for name, differences in report.items():
        assert differences["weights"] < 1e-5, name
        assert differences["averages"] < 1e-5, name
        # Were it without effect, it would prove nothing.
        assert differences["effect"] > 1e-3, name
