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
      model: the model that is trained; to one without EMA nothing happens.
    """
    optimizer = getattr(model, "optimizer", None)
    # With mixed_float16 Keras wraps the optimizer.
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    if not getattr(optimizer, "use_ema", False):
        yield
        return
    # Not all weights: replicas have batch-norm statistics of their own, and only their mean could
    # be read and written.
    variables = model.trainable_variables
    weights = tf.keras.backend.batch_get_value(variables)
    optimizer.assign_averages(variables)
    try:
        yield
    finally:
        tf.keras.backend.batch_set_value(list(zip(variables, weights)))
