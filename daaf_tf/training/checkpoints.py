"""The model directory: config, flagfile and checkpoints of one run.

M/config.json          the config, whole
M/train.flags          the same as a flagfile
M/checkpoints/         the newest few, each with model, optimizer and step
M/train, M/eval        TensorBoard logs
M/metrics.jsonl        one line per evaluation
"""

from __future__ import annotations

import os
import pathlib

import tensorflow as tf

from daaf_tf.config import Config, differences, from_json, to_json
from daaf_tf.errors import UserError, brief
from daaf_tf.files import write_atomically

CONFIG_FILE = "config.json"
FLAGS_FILE = "train.flags"
METRICS_FILE = "metrics.jsonl"
PICTURE_FILE = "attention.png"
CHECKPOINTS = "checkpoints"

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
    elif folder.is_dir() and any(folder.iterdir()):
        raise UserError(
            f"--model_dir={model_dir}: the folder is not empty and holds no run; name a new folder"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / FLAGS_FILE, flagfile)
        write_atomically(folder / CONFIG_FILE, to_json(config))
    except OSError as error:
        raise UserError(f"--model_dir={model_dir} cannot be written: {error}") from error


def has_checkpoint(model_dir: str | os.PathLike) -> bool:
    """Tell whether a run has begun: whether there is anything to go on from."""
    return tf.train.latest_checkpoint(str(pathlib.Path(model_dir, CHECKPOINTS))) is not None


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


class Checkpoints:
    """The newest few checkpoints of a run: model, optimizer and with it the step."""

    def __init__(self, model_dir: str, keep: int = 1, **objects):
        """Keep track of the checkpoints in `model_dir/checkpoints`.

        Args:
          model_dir: the model directory.
          keep: how many of the newest are kept when one is saved.
          **objects: what is saved and restored, by name: `model`, and in training `optimizer`.
        """
        self.folder = pathlib.Path(model_dir, CHECKPOINTS)
        self._checkpoint = tf.train.Checkpoint(**objects)
        self._manager = tf.train.CheckpointManager(
            self._checkpoint, str(self.folder), max_to_keep=keep, checkpoint_name="step"
        )

    def save(self, step: int) -> None:
        """Save the state after `step` steps; the older checkpoints stay until it is whole."""
        try:
            self._manager.save(checkpoint_number=step)
        except (tf.errors.OpError, OSError) as error:
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
        for path in reversed(self._manager.checkpoints):
            try:
                self._checkpoint.restore(path).assert_existing_objects_matched().expect_partial()
            except (tf.errors.OpError, *_UNREADABLE) as error:
                problems.append(f"{path} could not be read: {brief(error)}")
            else:
                return int(path.rsplit("-", 1)[1]), problems
        if problems:
            raise UserError("no checkpoint can be read:\n  " + "\n  ".join(problems))
        return None, []
