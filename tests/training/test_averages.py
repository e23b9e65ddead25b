"""Moving averages of the weights: kept beside them, used for what is looked at, never trained."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from tiny_network import (
    assert_same,
    compile_network,
    read_checkpoint,
    train,
)

from daaf_tf.sections.optimizer import OptimizerConfig
from daaf_tf.training.averages import averaged_weights
from daaf_tf.training.callbacks import StepCallback

MOMENTUM = 0.75
PLAIN = OptimizerConfig(schedule="constant", learning_rate=0.05)
CONFIG = dataclasses.replace(PLAIN, ema_momentum=MOMENTUM)


class Watch(StepCallback):
    """Remember the head's kernel after each step, as it is and as it is evaluated."""

    def __init__(self):
        super().__init__(0)
        self.weights, self.averages = [], []

    def after_step(self, step, logs):
        kernel = self.model.get_layer("head").kernel
        self.weights.append(kernel.numpy().copy())
        with averaged_weights(self.model):
            self.averages.append(kernel.numpy().copy())
        np.testing.assert_array_equal(kernel, self.weights[-1])


def test_the_average_is_the_published_one(tmp_path):
    watch = Watch()
    expected = compile_network(CONFIG).get_layer("head").kernel.numpy()
    train(CONFIG, tmp_path, until=4, more_callbacks=[watch])
    for weights, average in zip(watch.weights, watch.averages):
        expected = MOMENTUM * expected + (1 - MOMENTUM) * weights
        np.testing.assert_allclose(average, expected, rtol=1e-5)
        assert np.any(average != weights)


def test_training_goes_on_as_if_nobody_had_looked(tmp_path):
    watched = train(CONFIG, tmp_path / "watched", until=3, more_callbacks=[Watch()])
    plain = train(PLAIN, tmp_path / "plain", until=3)
    # Also after the end of `fit`, where Keras by itself would leave the averages in the weights.
    for found, expected in zip(watched.get_weights(), plain.get_weights()):
        np.testing.assert_array_equal(found, expected)


def test_a_resumed_run_has_the_same_weights_and_averages(tmp_path):
    train(CONFIG, tmp_path / "whole", until=3)
    train(CONFIG, tmp_path / "two", until=1)
    train(CONFIG, tmp_path / "two", until=3)
    whole = read_checkpoint(tmp_path / "whole", 3)
    assert_same(read_checkpoint(tmp_path / "two", 3), whole)
    train(PLAIN, tmp_path / "plain", until=1)
    num_weights = len(compile_network(PLAIN).trainable_variables)
    assert len(whole) == len(read_checkpoint(tmp_path / "plain", 1)) + num_weights


def test_a_stopped_run_is_saved_with_its_own_weights(tmp_path):
    class Stop(StepCallback):
        def after_step(self, step, logs):
            self.model.stop_training = True

    # It is saved at the very end of `fit`, when Keras has done with the averages what it does.
    stop = {"until": 9, "checkpoint_every": 100, "more_callbacks": [Stop(0)]}
    train(CONFIG, tmp_path / "averaging", **stop)
    train(PLAIN, tmp_path / "plain", **stop)
    saved, plain = (
        {
            name: value
            for name, value in read_checkpoint(tmp_path / folder, 1).items()
            if name.startswith("model/")
        }
        for folder in ("averaging", "plain")
    )
    assert_same(saved, plain)


def test_weights_come_back_after_an_error():
    model = compile_network(CONFIG)
    model.get_layer("head").kernel.assign_add(tf.ones([4, 2]))
    before = model.get_weights()
    seen = []

    def look():
        with averaged_weights(model):
            seen.append(model.get_layer("head").kernel.numpy())
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        look()
    assert np.all(seen[0] != before[-2])
    for found, expected in zip(model.get_weights(), before):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("precision", ["float32", "mixed_float16"])
def test_averages_are_found_behind_a_loss_scale(precision):
    tf.keras.mixed_precision.set_global_policy(precision)
    try:
        model = compile_network(CONFIG)
    finally:
        tf.keras.mixed_precision.set_global_policy("float32")
    kernel = model.get_layer("head").kernel
    start = kernel.numpy()
    kernel.assign(start + 1)
    with averaged_weights(model):
        np.testing.assert_array_equal(kernel, start)
