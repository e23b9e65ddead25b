"""The state of a run from which it can go on."""

from __future__ import annotations

import tensorflow as tf

from daaf_tf.errors import UserError


def check_finite_state(model: tf.keras.Model, step: int) -> None:
    """Raise a UserError if a weight or the optimizer's state is infinite or not a number.

    The losses of a step are those before its update: an update that ruins the weights shows in the
    losses of the next step, when the ruin may have been saved.

    Args:
      model: a compiled model.
      step: the step that it has just done.
    """
    for variable in (*model.trainable_variables, *optimizer_variables(model)):
        if variable.dtype.is_floating and not tf.reduce_all(tf.math.is_finite(variable)):
            raise UserError(
                f"step {step}: its update has made {variable.name} infinite or not a number; "
                "training has stopped, and no checkpoint was written of it. Lower "
                "--learning_rate, or use --precision=float32"
            )


def optimizer_variables(model: tf.keras.Model) -> list[tf.Variable]:
    """Return the state of a compiled model's optimizer."""
    variables = model.optimizer.variables
    return variables() if callable(variables) else variables
