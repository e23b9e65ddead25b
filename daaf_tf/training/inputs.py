"""The training batches, shared out to workers and replicas; what goes wrong with any batches."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import tensorflow as tf

from daaf_tf.config import Config
from daaf_tf.data import make_train_batches
from daaf_tf.data.pipeline import user_error


def distribute_batches(
    config: Config, step: int, to_keras: Callable, strategy: tf.distribute.Strategy
) -> tf.distribute.DistributedDataset:
    """Make the training batches from a step on for `fit`, each replica's share of each.

    Every worker draws the whole batch by itself, and reads its own contiguous part of it; so the
    replicas together see what one would.

    Args:
      config: the run.
      step: the first step.
      to_keras: turns a batch into the images, targets and weights of `fit`.
      strategy: whose workers and replicas share the batches.
    """

    def make(context):
        workers = context.num_input_pipelines
        return make_train_batches(
            config,
            step,
            worker=context.input_pipeline_id,
            workers=workers,
            pieces=context.num_replicas_in_sync // workers,
        ).map(to_keras)

    return strategy.distribute_datasets_from_function(make)


@contextlib.contextmanager
def input_errors() -> Iterator[None]:
    """Turn an input pipeline's error back into the message that its reader raised.

    Raises:
      UserError: in place of TensorFlow's error, if a reader's message is in it.
    """
    try:
        yield
    except tf.errors.OpError as error:
        found = user_error(error)
        if found is None:
            raise
        raise found from error
