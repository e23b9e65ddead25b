"""Optimizers of the recipes, as Keras optimizers."""

from __future__ import annotations

import tensorflow as tf

from daaf_tf.sections.optimizer import OptimizerConfig
from daaf_tf.training.schedules import RecipeSchedule


def build_optimizer(config: OptimizerConfig) -> tf.keras.optimizers.Optimizer:
    """Build the optimizer with its learning-rate schedule.

    Weight decay is the L2 kind that the published recipes use: `weight_decay * variable` is added
    to the gradient before the optimizer sees it. Keras' own `weight_decay` is decoupled from the
    gradient (AdamW) and would be another recipe.

    Args:
      config: the optimizer's settings.

    Returns:
      Adam (beta 0.9 and 0.999, epsilon 1e-8) or SGD with momentum 0.9.
    """
    schedule = RecipeSchedule(config)
    if config.optimizer == "adam":
        return CoupledAdam(config.weight_decay, learning_rate=schedule, epsilon=1e-8)
    return CoupledSGD(config.weight_decay, learning_rate=schedule, momentum=0.9)


class _CoupledDecay:
    """Add the L2 term to the (already summed) gradient of each variable."""

    def __init__(self, l2: float, **arguments):
        super().__init__(**arguments)
        self.l2 = l2

    def update_step(self, gradient, variable):
        if self.l2:
            gradient = gradient + self.l2 * tf.cast(variable, gradient.dtype)
        super().update_step(gradient, variable)

    def get_config(self):
        return {**super().get_config(), "l2": self.l2}


class CoupledAdam(_CoupledDecay, tf.keras.optimizers.Adam):
    """Adam with coupled weight decay, as in torch's `Adam(weight_decay=...)`."""


class CoupledSGD(_CoupledDecay, tf.keras.optimizers.SGD):
    """SGD with coupled weight decay, as in torch's `SGD(weight_decay=...)`."""
