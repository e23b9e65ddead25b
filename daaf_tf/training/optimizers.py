"""Optimizers of the recipes, as Keras optimizers."""

from __future__ import annotations

import tensorflow as tf

from daaf_tf import schema
from daaf_tf.sections.optimizer import OptimizerConfig
from daaf_tf.training.schedules import RecipeSchedule


def build_optimizer(
    config: OptimizerConfig, *, centre_weight: float = 0.0
) -> tf.keras.optimizers.Optimizer:
    """Build the optimizer with its learning-rate schedule.

    Weight decay is the L2 kind that the published recipes use: `weight_decay * variable` is added
    to the gradient before the optimizer sees it. Keras' own `weight_decay` is decoupled from the
    gradient (AdamW) and would be another recipe.

    The centres of the centre loss (a layer named `centre_distances`) have an optimizer of their
    own, as in Bag of Tricks: SGD without momentum, schedule or decay, on the gradient of the loss
    without its weight. A centre moves by centre_learning_rate * 2 / B times the sum of (feature -
    centre) over the images of its identity in the global batch of B.

    Args:
      config: the optimizer's settings.
      centre_weight: weight of the centre loss in the loss that is differentiated.

    Returns:
      Adam (beta 0.9 and 0.999, epsilon 1e-8) or SGD with momentum 0.9.
    """
    arguments = {
        "l2": config.weight_decay,
        "centre_rate": config.centre_learning_rate / centre_weight if centre_weight else 0.0,
        "learning_rate": RecipeSchedule(config),
    }
    if config.optimizer == "adam":
        return CoupledAdam(**arguments, epsilon=1e-8)
    return CoupledSGD(**arguments, momentum=0.9)


class _Recipe:
    """Add the L2 term to the (already summed) gradient of each variable, but for the centres.

    These take `centre_rate` times their gradient and leave the rest of the optimizer alone.
    """

    def __init__(self, l2: float = 0.0, centre_rate: float = 0.0, **arguments):
        super().__init__(**arguments)
        self.l2, self.centre_rate = l2, centre_rate

    def update_step(self, gradient, variable):
        if variable.name.startswith(f"{schema.CENTRE_DISTANCES}/"):
            variable.assign_sub(self.centre_rate * gradient)
            return
        if self.l2:
            gradient = gradient + self.l2 * tf.cast(variable, gradient.dtype)
        super().update_step(gradient, variable)

    def get_config(self):
        return {**super().get_config(), "l2": self.l2, "centre_rate": self.centre_rate}


class CoupledAdam(_Recipe, tf.keras.optimizers.Adam):
    """Adam with coupled weight decay, as in torch's `Adam(weight_decay=...)`."""


class CoupledSGD(_Recipe, tf.keras.optimizers.SGD):
    """SGD with coupled weight decay, as in torch's `SGD(weight_decay=...)`."""
