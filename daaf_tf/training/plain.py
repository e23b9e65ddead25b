"""A copy of a network that one worker can use by itself."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from daaf_tf.config import Config
from daaf_tf.model import build_daaf
from daaf_tf.training.averages import averaged_weights
from daaf_tf.training.callbacks import StepCallback, is_due
from daaf_tf.training.workers import Workers


class PlainCopy(StepCallback):
    """Keeps a network outside of the strategy, with the weights of the one that is trained.

    A moving statistic of a batch norm is the mean over the replicas: to read it is a message
    between all workers. So where there are several, the chief cannot evaluate the trained network
    while the others go on. All of them refresh the copy when one of the chief's callbacks is due.
    """

    def __init__(
        self,
        first_step: int,
        config: Config,
        trained: tf.keras.Model,
        is_due: Callable[[int], bool],
    ):
        """Build the copy; call it outside of the strategy's scope.

        Args:
          first_step: the steps that were done before this process began.
          config: the run.
          trained: the network whose weights are copied.
          is_due: tells of a step whether the copy is used after it.
        """
        super().__init__(first_step)
        self._trained, self._is_due = trained, is_due
        self.copy = build_daaf(config.replace(sync_batch_norm=False))

    def on_train_begin(self, logs=None):
        """Take over the weights that training begins with."""
        self.refresh()

    def after_step(self, step, logs):
        """Take over the weights if they are asked for after this step."""
        if self._is_due(step):
            self.refresh()

    def refresh(self) -> None:
        """Take over the weights; all workers must do so at the same time."""
        with averaged_weights(self._trained):
            self.copy.set_weights(self._trained.get_weights())


def make_shown(
    config: Config, model: tf.keras.Model, first_step: int, workers: Workers
) -> tuple[tf.keras.Model, list[PlainCopy]]:
    """Return the network that evaluation and pictures use, and the callbacks that keep it so.

    Args:
      config: the run.
      model: the network that is trained.
      first_step: the steps that were done before this process began.
      workers: who trains; where there are several, the chief gets a copy.
    """
    if workers.count == 1:
        return model, []
    settings = config.train

    def is_shown(step):
        rhythms = (settings.eval_every, settings.pictures_every)
        return step == settings.total_steps or any(is_due(step, n) for n in rhythms)

    copying = PlainCopy(first_step, config, model, is_shown)
    return copying.copy, [copying]
