"""Moving averages of the weights (EMA): what is evaluated, drawn and exported where they are kept.

Training goes on with the weights themselves. A checkpoint holds both: the weights in the model, the
averages in the optimizer. Batch-norm statistics are moving averages by nature and have no second
one: they are those of the weights.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import tensorflow as tf


@contextlib.contextmanager
def averaged_weights(model: tf.keras.Model) -> Iterator[None]:
    """Let a model hold the averages of its weights, and afterwards the same weights as before.

    Args:
      model: a compiled model; without EMA nothing happens to it.
    """
    # With mixed_float16 Keras wraps the optimizer.
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    if not getattr(optimizer, "use_ema", False):
        yield
        return
    weights = model.get_weights()
    optimizer.assign_averages(model.trainable_variables)
    try:
        yield
    finally:
        model.set_weights(weights)
