"""Time training steps: the whole of `train`, and a bare compiled loop to measure it against."""

from __future__ import annotations

import time

import numpy as np
import tensorflow as tf

from daaf_tf import schema
from daaf_tf.config import Config
from daaf_tf.training.callbacks import StepCallback
from daaf_tf.training.checkpoints import prepare_model_dir
from daaf_tf.training.compiling import compile_model, make_to_keras
from daaf_tf.training.trainer import train


class Stopwatch(StepCallback):
    """Time blocks of steps, and end training after the last one."""

    def __init__(self, *, steps: int, blocks: int):
        """Time `blocks` blocks of `steps` steps, after one more that is not counted."""
        super().__init__(0)
        self._steps, self._last = steps, (blocks + 1) * steps
        self._ends: list[float] = []

    def after_step(self, step, logs):
        """Take the time at the end of a block."""
        if step % self._steps == 0:
            self._ends.append(time.perf_counter())
        if step == self._last:
            self.model.stop_training = True

    @property
    def seconds_per_step(self) -> list[float]:
        """The mean of each block, with all that happens between its steps."""
        return (np.diff(self._ends) / self._steps).tolist()


def time_train(
    config: Config, model_dir: str, strategy: tf.distribute.Strategy, *, steps: int, blocks: int
) -> list[float]:
    """Time the steps of `train` with real batches and all its callbacks.

    Each block holds one logging to TensorBoard; pictures and evaluation are not part of it.

    Args:
      config: the run, as `resolve_config` returned it; its rhythm is set here.
      model_dir: a new folder for the run.
      strategy: what `make_strategy` returned for the config.
      steps: steps in a block.
      blocks: blocks that are timed; one more is run first.

    Returns:
      Seconds per step of each block.
    """
    config = config.replace(
        total_steps=(blocks + 1) * steps + 1,  # the last step, which evaluates, is never reached
        log_every=steps,
        eval_every=0,
        pictures_every=0,
    )
    prepare_model_dir(model_dir, config, "")
    watch = Stopwatch(steps=steps, blocks=blocks)
    train(config, model_dir, strategy, more_callbacks=[watch])
    return watch.seconds_per_step


def time_bare_loop(
    config: Config, strategy: tf.distribute.Strategy, *, steps: int, blocks: int
) -> list[float]:
    """Time forward pass, losses, backward pass and update on one random batch, again and again.

    No input pipeline, no callback, no metric; the host waits for the devices once a block.

    Args:
      config: the run; its records are not needed.
      strategy: what `make_strategy` returned for the config.
      steps: steps in a block.
      blocks: blocks that are timed; one more is run first.

    Returns:
      Seconds per step of each block.
    """
    with strategy.scope():
        model = compile_model(config)
    batch = make_to_keras(model.output)(make_random_batch(config))
    share = config.batch_size // strategy.num_replicas_in_sync

    def take_share(context):
        first = context.replica_id_in_sync_group * share
        return tf.nest.map_structure(lambda values: values[first : first + share], batch)

    shares = strategy.experimental_distribute_values_from_function(take_share)

    def step(images, targets, weights):
        with tf.GradientTape() as tape:
            outputs = model(images, training=True)
            loss = model.compute_loss(images, targets, outputs, weights)
        model.optimizer.minimize(loss, model.trainable_variables, tape=tape)
        return loss

    run = tf.function(lambda values: strategy.run(step, args=values))
    ends = []
    for _ in range(blocks + 1):
        for _ in range(steps):
            losses = run(shares)
        strategy.experimental_local_results(losses)[0].numpy()
        ends.append(time.perf_counter())
    return (np.diff(ends) / steps).tolist()


def make_random_batch(config: Config) -> dict[str, tf.Tensor]:
    """Make a batch of the shapes and dtypes that `make_train_batches` has; what it shows is noise.

    Labels are as in a batch of P persons with K images each, below `num_identities`.
    """
    random = np.random.default_rng(config.data.seed)
    size = (config.data.image_height, config.data.image_width)
    labels = np.repeat(np.arange(config.data.identities_per_batch), config.data.images_per_identity)
    count = config.batch_size
    batch = {
        schema.IMAGE: random.normal(size=(count, *size, 3)).astype(np.float32),
        schema.LABEL: labels,
        schema.MASK: random.random((count, *config.target_size, 1), np.float32),
        schema.KEYPOINTS: random.random((count, *config.target_size, 17), np.float32),
        schema.MASK_PRESENCE: np.ones(count, np.float32),
        schema.KEYPOINTS_PRESENCE: np.ones(count, np.float32),
    }
    return {name: tf.constant(values) for name, values in batch.items()}
