"""Run the project's programs as a user does."""

from __future__ import annotations

import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]


def run(*arguments, code=0):
    """Run a program and return what it printed."""
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=ROOT, check=False, timeout=280
    )
    printed = done.stdout + done.stderr
    assert done.returncode == code, f"exit code {done.returncode}, expected {code}:\n{printed}"
    assert code == 0 or "Traceback" not in printed, printed
    return printed
