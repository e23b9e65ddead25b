"""What the benchmark programs share: runs in processes of their own, and tables of medians."""

from __future__ import annotations

import importlib.metadata
import json
import os
import pathlib
import platform
import re
import resource
import shlex
import statistics
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from daaf_tf.errors import UserError

# Instructions that multiply matrices of bfloat16, as Linux names them; the first is AMX.
BFLOAT16_INSTRUCTIONS = ("amx_bf16", "avx512_bf16", "avx_ne_convert")


def say(text: str) -> None:
    """Tell what is going on, beside the table."""
    print(text, file=sys.stderr, flush=True)


def run_program(command: Sequence[Any]) -> dict:
    """Run a program and return the JSON that it prints last.

    An interrupt ends the program, too.

    Raises:
      UserError: it cannot be started or fails; what it wrote to stderr is quoted.
    """
    command = [str(word) for word in command]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise UserError(f"{command[0]}: cannot be started ({error.strerror})") from error
    if done.returncode:
        raise UserError(f"{shlex.join(command)} failed:\n{done.stderr.strip()}")
    return json.loads(done.stdout.splitlines()[-1])


def read_peak_memory() -> float:
    """Return the most memory that this process has held so far, in MB."""
    status = pathlib.Path("/proc/self/status")
    text = status.read_text(encoding="utf-8") if status.exists() else ""
    # What getrusage tells on Linux counts the memory of whoever started the process, too.
    found = re.search(r"^VmHWM:\s*(\d+) kB$", text, re.MULTILINE)
    if found:
        return int(found.group(1)) / 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # In bytes on macOS, in KiB elsewhere.
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def describe_machine(load: tuple[float, ...]) -> list[str]:
    """Return lines that say where and how the figures came about.

    Args:
      load: `os.getloadavg()` before the first measurement.
    """
    # Not os.cpu_count(): what this process may use.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    versions = sorted(
        f"{d.metadata['Name']} {d.version}"
        for d in importlib.metadata.distributions()
        if d.metadata["Name"] in ("numpy", "tensorflow", "tensorflow-cpu", "tensorflow_cpu")
    )
    return [
        f"{cores} cores, {platform.machine()}, Python {platform.python_version()}, "
        f"{', '.join(versions)}; load before {load[0]:.1f}, after {os.getloadavg()[0]:.1f}",
        f"`python {shlex.join(sys.argv)}`",
    ]


def find_bfloat16_instructions(cpuinfo: str = "/proc/cpuinfo") -> tuple[str, ...] | None:
    """Return which of BFLOAT16_INSTRUCTIONS the processor has; None where Linux does not tell."""
    try:
        text = pathlib.Path(cpuinfo).read_text(encoding="utf-8")
    except OSError:
        return None
    flags = {
        word for line in text.splitlines() if line.startswith("flags") for word in line.split()
    }
    return tuple(name for name in BFLOAT16_INSTRUCTIONS if name in flags)


def parse_numbers(name: str, text: str) -> list[int]:
    """Return the numbers above 0 that a flag lists.

    Args:
      name: of the flag.
      text: its value.

    Raises:
      UserError: anything else.
    """
    words = [word.strip() for word in text.split(",")]
    if not all(word.isdecimal() and int(word) for word in words):
        raise UserError(f"--{name}={text}: expected whole numbers above 0 and commas")
    return [int(word) for word in words]


def format_table(rows: list[tuple]) -> list[str]:
    """Return a Markdown table of (what, figures, unit): median, least and most."""
    lines = ["| what | median | least | most |", "|---|---:|---:|---:|"]
    for what, figures, unit in rows:
        shown = [f(figures) for f in (statistics.median, min, max)] if figures else []
        cells = [f"{format_figure(figure)} {unit}".strip() for figure in shown]
        lines.append(f"| {' | '.join([what, *cells, *[''] * (3 - len(cells))])} |")
    return lines


def format_figure(figure: float) -> str:
    """Return a figure with the digits that are worth reading."""
    if 0 < abs(figure) < 0.005:
        return f"{figure:.1e}"
    return f"{figure:,.{0 if figure >= 100 else 2}f}"
