"""What to do when memory runs out: one line that names the settings to lower."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import tensorflow as tf

from daaf_tf.config import Config
from daaf_tf.errors import UserError, brief

# TensorFlow calls these "resource exhausted" as well.
_NOT_MEMORY = ("No space left", "Disk quota", "Too many open files")


@contextlib.contextmanager
def out_of_memory(advice: str) -> Iterator[None]:
    """Turn an error for want of memory, of a GPU or of the machine, into advice.

    Args:
      advice: what to lower.

    Raises:
      UserError: in place of TensorFlow's ResourceExhaustedError and Python's MemoryError; other
        errors pass, also those for want of disk or files.
    """
    try:
        yield
    except (tf.errors.ResourceExhaustedError, MemoryError) as error:
        if any(text in str(error) for text in _NOT_MEMORY):
            raise
        raise UserError(f"out of memory ({brief(error)}). {advice}") from error


def training_advice(config: Config) -> str:
    """Return what a training step's memory hangs on, with the values of the run."""
    data, train = config.data, config.train
    lower = [
        f"--identities_per_batch={data.identities_per_batch}",
        f"--images_per_identity={data.images_per_identity}",
        f"--image_height={data.image_height} and --image_width={data.image_width}",
    ]
    text = f"Lower {', '.join(lower)}, share the batch with more replicas"
    if train.precision == "float32":
        text += ", or use --precision=mixed_bfloat16 (mixed_float16 on older GPUs)"
    return text + "; what else runs on the device takes memory, too"
