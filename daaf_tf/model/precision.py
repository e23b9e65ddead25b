"""A trained network in half the memory: its weights and its arithmetic in a type of 16 bits."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import tensorflow as tf

from daaf_tf.config import Config
from daaf_tf.model.daaf import build_daaf

FLOAT32 = "float32"
HALF_PRECISIONS = ("float16", "bfloat16")


@contextlib.contextmanager
def dtype_policy(name: str) -> Iterator[None]:
    """Let Keras build layers under a policy, and afterwards under the one it had before."""
    before = tf.keras.mixed_precision.global_policy()
    tf.keras.mixed_precision.set_global_policy(name)
    try:
        yield
    finally:
        tf.keras.mixed_precision.set_global_policy(before)


def build_in_precision(model: tf.keras.Model, config: Config, precision: str) -> tf.keras.Model:
    """Build a network anew that is stored and computes in another type, with the same weights.

    Unlike under a mixed policy the kernels themselves are of that type, so that no pass casts them
    first, and a file of them is half as large. Batch norms, heads, losses and what the network
    gives out stay float32.

    Args:
      model: a network that `build_daaf` made of the config, in float32.
      config: the run.
      precision: float16 or bfloat16; float32 returns the model itself.
    """
    if precision == FLOAT32:
        return model
    with dtype_policy(precision):
        reduced = build_daaf(config.replace(sync_batch_norm=False))
    for target, source in zip(reduced.weights, model.weights):
        target.assign(tf.cast(source, target.dtype))
    return reduced
