"""Optimizers of the recipes, as Keras optimizers, and those of tensorflow-addons."""

from __future__ import annotations

from collections.abc import Iterable

import tensorflow as tf

from daaf_tf.addons import load_addons
from daaf_tf.sections.optimizer import FROM_ADDONS, LAMB, OptimizerConfig
from daaf_tf.training.schedules import RecipeSchedule

# As in the paper on LAMB: neither decay nor a rate of their own for what is no weight matrix.
_NO_MATRIX = ["/gamma:", "/beta:", "/bias:"]


def build_optimizer(
    config: OptimizerConfig, *, frozen: Iterable[tf.Variable] = ()
) -> tf.keras.optimizers.Optimizer:
    """Build the optimizer with its learning-rate schedule.

    Weight decay is the L2 kind that the published recipes use: `weight_decay * variable` is added
    to the gradient before the optimizer sees it. Keras' own `weight_decay` is decoupled from the
    gradient (AdamW) and would be another recipe. The gradient is clipped before that, after the sum
    over all replicas.

    Args:
      config: the optimizer's settings.
      frozen: the variables that `freeze_backbone_steps` is about.

    Returns:
      Adam (beta 0.9 and 0.999, epsilon 1e-8), SGD with momentum 0.9, or one of tensorflow-addons.

    Raises:
      UserError: an optimizer of tensorflow-addons where that does not exist.
    """
    shared = {"global_clipnorm": config.clip_norm or None}
    if config.optimizer in FROM_ADDONS:
        return _build_from_addons(config, shared)
    shared.update(
        learning_rate=RecipeSchedule(config),
        use_ema=config.ema_momentum > 0,
        ema_momentum=config.ema_momentum,
    )
    if config.optimizer == "sgd":
        return CoupledSGD(config.weight_decay, momentum=0.9, **shared)
    optimizer = CoupledAdam(config.weight_decay, epsilon=1e-8, **shared)
    if config.freeze_backbone_steps:
        optimizer.begin_late(frozen, config.freeze_backbone_steps)
    return optimizer


def _build_from_addons(config, shared):
    flag = f"--optimizer={config.optimizer}"
    optimizers = load_addons(flag, instead="--optimizer=adam").optimizers
    arguments = {
        "learning_rate": RecipeSchedule(config),
        "weight_decay": config.weight_decay,
    }
    if config.optimizer == LAMB:
        return optimizers.LAMB(**arguments, exclude_from_weight_decay=_NO_MATRIX, **shared)
    # The outer of the two is the one that gets the gradients: it clips them.
    return optimizers.Lookahead(optimizers.RectifiedAdam(**arguments), **shared)


def make_slots(optimizer: tf.keras.optimizers.Optimizer, variables: Iterable[tf.Variable]) -> None:
    """Make the optimizer's own variables now, so that a checkpoint finds them all.

    Args:
      optimizer: what `build_optimizer` returned, as `compile` has wrapped it.
      variables: all that it will ever train.
    """
    if hasattr(optimizer, "build"):
        optimizer.build(variables)
    else:
        # The older kind of Keras optimizer, on which tensorflow-addons builds, has no public way.
        optimizer._create_all_weights(variables)


class _Recipe:
    """Add the L2 term to the (already summed) gradient of each variable; keep averages apart."""

    def __init__(self, l2: float, **arguments):
        super().__init__(**arguments)
        self.l2 = l2

    def update_step(self, gradient, variable):
        if self.l2:
            gradient = gradient + self.l2 * tf.cast(variable, gradient.dtype)
        super().update_step(gradient, variable)

    def finalize_variable_values(self, var_list):
        """Leave the weights alone at the end of `fit`: their checkpoint must go on from them."""

    def assign_averages(self, variables: Iterable[tf.Variable]) -> None:
        """Overwrite variables with their moving averages; without EMA, leave them as they are."""
        super().finalize_variable_values(variables)

    def get_config(self):
        return {**super().get_config(), "l2": self.l2}


class _LateAdam(tf.keras.optimizers.Adam):
    """Adam whose bias correction counts the steps of a variable from its first update.

    Keras counts those of the run. The moments of a variable that was frozen until then are as
    young as in step 0; taken for old ones they would make its first steps up to six times too long.
    """

    def __init__(self, **arguments):
        super().__init__(**arguments)
        self._late, self._begin = frozenset(), 0

    def begin_late(self, variables: Iterable[tf.Variable], step: int) -> None:
        """Say which variables get their first update at which step of the run."""
        self._late, self._begin = frozenset(map(self._var_key, variables)), step

    def update_step(self, gradient, variable):
        key = self._var_key(variable)
        if key not in self._late:
            super().update_step(gradient, variable)
            return
        index = self._index_dict[key]
        first, second = self._momentums[index], self._velocities[index]
        steps = tf.cast(self.iterations + 1 - self._begin, variable.dtype)
        scale = tf.sqrt(1 - tf.pow(self.beta_2, steps)) / (1 - tf.pow(self.beta_1, steps))
        first.assign_add((gradient - first) * (1 - self.beta_1))
        second.assign_add((tf.square(gradient) - second) * (1 - self.beta_2))
        rate = tf.cast(self.learning_rate, variable.dtype) * scale
        variable.assign_sub(rate * first / (tf.sqrt(second) + self.epsilon))


class CoupledAdam(_Recipe, _LateAdam):
    """Adam with coupled weight decay, as in torch's `Adam(weight_decay=...)`."""


class CoupledSGD(_Recipe, tf.keras.optimizers.SGD):
    """SGD with coupled weight decay, as in torch's `SGD(weight_decay=...)`."""
