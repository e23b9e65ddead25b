"""The backbone stays as it is for the first steps, while the new heads learn to use it."""

from __future__ import annotations

import tensorflow as tf

from daaf_tf.training.callbacks import StepCallback


class FreezeBackbone(StepCallback):
    """Hold the backbone still until a step of the whole run, resumed parts included.

    Frozen layers are Keras' `trainable = False`: no gradient is computed for them, and batch norms
    normalise by their moving statistics and leave them alone, as at test time. At the step both
    begin, and Keras traces the step anew.
    """

    def __init__(self, first_step: int, *, steps: int, backbone: tf.keras.Model):
        """Freeze `backbone`, which shares the trained model's layers, for the first `steps`."""
        super().__init__(first_step)
        self._steps, self._backbone = steps, backbone

    def on_train_begin(self, logs=None):
        """Freeze, unless the run is beyond that."""
        if self.first_step < self._steps:
            self._set_trainable(False)

    def after_step(self, step, logs):
        """Thaw when it is time."""
        if step == self._steps:
            self._set_trainable(True)

    def _set_trainable(self, trainable: bool) -> None:
        self._backbone.trainable = trainable
        self.model.make_train_function(force=True)
