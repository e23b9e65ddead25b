"""`metrics.jsonl`: one line of figures for each evaluation of a run, by growing step."""

from __future__ import annotations

import json
import pathlib

from daaf_tf.errors import UserError
from daaf_tf.files import write_atomically
from daaf_tf.training.checkpoints import METRICS_FILE


def append_figures(model_dir: str, step: int, figures: dict[str, float]) -> None:
    """Add the line of an evaluation.

    Raises:
      UserError: it cannot be written.
    """
    path = pathlib.Path(model_dir, METRICS_FILE)
    try:
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **figures}) + "\n")
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error}") from error


def has_figures(model_dir: str, step: int) -> bool:
    """Return whether the evaluation of a step is there."""
    return any(found == step for found, _ in _read(pathlib.Path(model_dir, METRICS_FILE)))


def read_figures(model_dir: str, step: int) -> dict[str, float]:
    """Return the figures of a step's evaluation; none where there was no evaluation."""
    lines = [line for found, line in _read(pathlib.Path(model_dir, METRICS_FILE)) if found == step]
    figures = json.loads(lines[-1]) if lines else {}
    return {name: value for name, value in figures.items() if name != "step"}


def forget_after(model_dir: str, step: int) -> None:
    """Drop what a run will write once more that goes on from a step.

    So no step stands there twice, and no line is torn: those beyond the checkpoint, and what a
    killed write has left.

    Raises:
      UserError: the file cannot be written.
    """
    path = pathlib.Path(model_dir, METRICS_FILE)
    if not path.exists():
        return
    kept = "".join(line for found, line in _read(path) if found <= step)
    try:
        if kept.encode() != path.read_bytes():
            write_atomically(path, kept)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error}") from error


def _read(path: pathlib.Path) -> list[tuple[int, str]]:
    """Return (step, line) of each whole line."""
    lines = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    found = []
    for line in lines.splitlines(keepends=True):
        try:
            step = json.loads(line)["step"]
        except (ValueError, TypeError, KeyError):
            continue
        if line.endswith("\n") and isinstance(step, int):
            found.append((step, line))
    return found
