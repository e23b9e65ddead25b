"""The model directory: config, flagfile and checkpoints of one run.

M/config.json          the config, whole
M/train.flags          the same as a flagfile
M/checkpoints/         the newest few, each with model, optimizer and step
M/train, M/eval        TensorBoard logs
M/metrics.jsonl        one line per evaluation
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import shutil
import tempfile

import tensorflow as tf

from daaf_tf.config import Config, differences, from_json, to_json
from daaf_tf.errors import UserError, brief
from daaf_tf.files import is_leftover, remove_leftovers, write_atomically

CONFIG_FILE = "config.json"
FLAGS_FILE = "train.flags"
METRICS_FILE = "metrics.jsonl"
PICTURE_FILE = "attention.png"
CHECKPOINTS = "checkpoints"

# A checkpoint is step-N.data-* and then step-N.index; step-N_temp is where TensorFlow collects it.
_INDEX = re.compile(r"step-(\d+)\.index")
_ANY = re.compile(r"step-(\d+)[._].*")
# Where TensorFlow's own tools look up which checkpoints there are.
_STATE_FILE = "checkpoint"

# What TensorFlow's checkpoint reader raises, beside its own errors, on a damaged file.
_UNREADABLE = (AssertionError, LookupError, OSError, RuntimeError, ValueError)


def read_config(model_dir: str) -> Config:
    """Read the config of a run.

    Raises:
      UserError: no such folder, or no run was started in it.
    """
    path = pathlib.Path(model_dir, CONFIG_FILE)
    if not path.is_file():
        raise UserError(
            f"--model_dir={model_dir}: expected a folder that training has written, "
            f"but {CONFIG_FILE} is not there"
        )
    return from_json(path.read_bytes(), origin=str(path))


def prepare_model_dir(model_dir: str, config: Config, flagfile: str) -> None:
    """Create the model directory, or check that the run in it is this very run.

    A folder whose run has no checkpoint yet has nothing to lose: it takes the new config.

    Args:
      model_dir: the folder; made if missing.
      config: the run that is about to start or to go on.
      flagfile: the text of its effective flags.

    Raises:
      UserError: the folder holds something else, or a run with another config (the message lists
        each difference), or cannot be written; nothing is changed then.
    """
    folder = pathlib.Path(model_dir)
    if folder.exists() and not folder.is_dir():
        raise UserError(f"--model_dir={model_dir}: expected a folder, found a file")
    if (folder / CONFIG_FILE).exists():
        _check_same_run(folder, config)
    elif folder.is_dir() and not all(is_leftover(path.name) for path in folder.iterdir()):
        raise UserError(
            f"--model_dir={model_dir}: the folder is not empty and holds no run; name a new folder"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        remove_leftovers(folder)
        # First what makes the folder a run's: a kill may come between the two.
        write_atomically(folder / CONFIG_FILE, to_json(config))
        write_atomically(folder / FLAGS_FILE, flagfile)
    except OSError as error:
        raise UserError(f"--model_dir={model_dir} cannot be written: {error}") from error


def has_checkpoint(model_dir: str | os.PathLike) -> bool:
    """Tell whether a run has begun: whether there is anything to go on from."""
    return bool(find_steps(pathlib.Path(model_dir, CHECKPOINTS)))


def _check_same_run(folder: pathlib.Path, config: Config) -> None:
    if not has_checkpoint(folder):
        return
    changed = differences(read_config(str(folder)), config)
    if changed:
        lines = "\n  ".join(changed)
        raise UserError(
            f"--model_dir={folder} holds a run with another config; go on with that config, or "
            f"name another folder. It differs in (theirs -> yours):\n  {lines}"
        )


def find_steps(folder: pathlib.Path) -> list[int]:
    """Return the steps of the checkpoints in a folder, oldest first.

    The files say it, not TensorFlow's list of them: a run may have been killed between the two. The
    index is written last.
    """
    return _match_steps(folder, _INDEX)


def _match_steps(folder: pathlib.Path, pattern: re.Pattern) -> list[int]:
    names = os.listdir(folder) if folder.is_dir() else []
    return sorted({int(match[1]) for match in map(pattern.fullmatch, names) if match})


class Checkpoints:
    """The newest few checkpoints of a run: model, optimizer and with it the step.

    A checkpoint is whole or not there: TensorFlow writes under a temporary name, the index comes
    last, and an older one is removed only when the newer one is on the disk. Where several workers
    train, all save and restore together, since some variables are the mean over their replicas; the
    chief's files are kept.
    """

    def __init__(self, model_dir: str, keep: int = 1, *, is_chief: bool = True, **objects):
        """Keep track of the checkpoints in `model_dir/checkpoints`.

        Args:
          model_dir: the model directory.
          keep: how many of the newest are kept when one is saved.
          is_chief: whether what this process saves is kept.
          **objects: what is saved and restored, by name: `model`, and in training `optimizer`.
        """
        self.folder = pathlib.Path(model_dir, CHECKPOINTS)
        self._keep, self._is_chief = keep, is_chief
        self._checkpoint = tf.train.Checkpoint(**objects)
        # Those that could not be restored.
        self._damaged: set[int] = set()

    def save(self, step: int) -> None:
        """Save the state after `step` steps; the older checkpoints stay until it is whole.

        Raises:
          UserError: it cannot be written; what was there before is untouched.
        """
        if not self._is_chief:
            with tempfile.TemporaryDirectory(prefix="daaf_tf_worker_") as folder:
                self._checkpoint.write(os.path.join(folder, f"step-{step}"))
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._checkpoint.write(str(self.folder / f"step-{step}"))
            self._damaged.discard(step)
            _flush(self.folder, step)
            self._record_and_tidy(step)
        except (tf.errors.OpError, OSError) as error:
            with contextlib.suppress(OSError):
                self._remove_unfinished()
            raise UserError(
                f"{self.folder}: checkpoint {step} could not be written ({brief(error)}). "
                "Those before it are untouched; make room and run the same command again"
            ) from error

    def restore(self) -> tuple[int | None, list[str]]:
        """Restore the newest whole checkpoint.

        Returns:
          Its step, or None where there is no checkpoint; and one line for each newer checkpoint
          that could not be read and was passed over.

        Raises:
          UserError: there are checkpoints, but none can be read.
        """
        problems = []
        steps = find_steps(self.folder)
        for step in sorted({*steps, *_match_steps(self.folder, _ANY)}, reverse=True):
            path = self.folder / f"step-{step}"
            if step not in steps:
                problems.append(f"{path} is unfinished: it was being written, or lost its index")
                continue
            try:
                status = self._checkpoint.read(str(path))
                status.assert_existing_objects_matched().expect_partial()
            except (tf.errors.OpError, *_UNREADABLE) as error:
                self._damaged.add(step)
                problems.append(f"{path} could not be read: {brief(error)}")
            else:
                return step, problems
        if steps:
            raise UserError("no checkpoint can be read:\n  " + "\n  ".join(problems))
        return None, problems

    def _record_and_tidy(self, step: int) -> None:
        """List the checkpoints that are kept for TensorFlow's tools, and remove all others.

        Those beyond `step` are from before a fall-back: the run will come to them again.
        """
        steps = [s for s in find_steps(self.folder) if s not in self._damaged]
        kept = [s for s in steps if s <= step][-self._keep :] + [s for s in steps if s > step]
        lines = [f'all_model_checkpoint_paths: "step-{s}"\n' for s in kept if s <= step]
        write_atomically(
            self.folder / _STATE_FILE, f'model_checkpoint_path: "step-{step}"\n' + "".join(lines)
        )
        # The index first: what has none is no checkpoint.
        for old in set(find_steps(self.folder)) - set(kept):
            (self.folder / f"step-{old}.index").unlink()
        self._remove_unfinished()

    def _remove_unfinished(self) -> None:
        """Remove what a write has left that was interrupted."""
        remove_leftovers(self.folder)
        whole = set(find_steps(self.folder))
        for path in list(self.folder.iterdir()):
            match = _ANY.fullmatch(path.name)
            if path.is_dir() and match:
                shutil.rmtree(path)
            elif match and int(match[1]) not in whole:
                path.unlink()


def _flush(folder: pathlib.Path, step: int) -> None:
    """Wait until a checkpoint is on the disk, so that it also survives a loss of power."""
    for path in [*folder.glob(f"step-{step}.*"), folder]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
