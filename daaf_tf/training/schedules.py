"""Learning-rate schedules of the recipes."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from daaf_tf.sections.optimizer import OptimizerConfig


def compute_learning_rate(step: Any, config: OptimizerConfig) -> tf.Tensor:
    """Compute the learning rate of one step.

    A linear warm-up multiplies whatever the schedule gives: from `warmup_factor` at step 0 to 1 at
    `warmup_steps`. Then

    - constant: the learning rate;
    - exponential: x decay_factor ** ((step - decay_start_step) / decay_steps) from decay_start_step
      on, the TriNet recipe (Hermans et al. 2017, equation 9, has 0.001 over 10,000 steps);
    - multistep: x decay_factor at each milestone reached, the Bag-of-Tricks recipe.

    Args:
      step: steps done so far, a scalar of any number type, 0 or more.
      config: the optimizer's settings.

    Returns:
      float32 scalar.
    """
    step = tf.cast(step, tf.float32)
    factor = tf.constant(1.0)
    if config.warmup_steps:
        done = tf.minimum(step / config.warmup_steps, 1.0)
        factor *= config.warmup_factor + (1.0 - config.warmup_factor) * done
    if config.schedule == "exponential":
        late = tf.maximum(step - config.decay_start_step, 0.0) / config.decay_steps
        factor *= tf.pow(config.decay_factor, late)
    elif config.schedule == "multistep" and config.milestones:
        milestones = tf.constant(config.milestones, tf.float32)
        reached = tf.reduce_sum(tf.cast(step >= milestones, tf.float32))
        factor *= tf.pow(config.decay_factor, reached)
    return config.learning_rate * factor


class RecipeSchedule(tf.keras.optimizers.schedules.LearningRateSchedule):
    """`compute_learning_rate` in the form that Keras optimizers take."""

    def __init__(self, config: OptimizerConfig):
        """Keep the settings."""
        super().__init__()
        self.config = config

    def __call__(self, step):
        """Return the learning rate of the step, float32 scalar."""
        return compute_learning_rate(step, self.config)

    def get_config(self) -> dict[str, Any]:
        """Return what rebuilds this schedule."""
        return {"config": self.config}
