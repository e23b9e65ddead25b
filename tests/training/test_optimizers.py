"""Optimizers against their published update rules, written out in numpy."""

import numpy as np
import pytest
import tensorflow as tf

from daaf_tf.sections.optimizer import OptimizerConfig
from daaf_tf.training.optimizers import build_optimizer


def run(config, gradients, start):
    optimizer = build_optimizer(config)
    variable = tf.Variable(start)
    for gradient in gradients:
        optimizer.apply_gradients([(tf.constant(gradient), variable)])
    return variable.numpy()


def adam_twin(config, gradients, start):
    value, first, second = start.astype(np.float64), 0.0, 0.0
    for step, gradient in enumerate(gradients, 1):
        gradient = gradient + config.weight_decay * value
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        unbiased = first / (1 - 0.9**step), second / (1 - 0.999**step)
        value = value - config.learning_rate * unbiased[0] / (np.sqrt(unbiased[1]) + 1e-8)
    return value


def sgd_twin(config, gradients, start):
    value, velocity = start.astype(np.float64), 0.0
    for gradient in gradients:
        velocity = 0.9 * velocity - config.learning_rate * (gradient + config.weight_decay * value)
        value = value + velocity
    return value


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize(("name", "twin"), [("adam", adam_twin), ("sgd", sgd_twin)])
def test_update_is_the_published_one_with_coupled_decay(name, twin, weight_decay):
    config = OptimizerConfig(
        optimizer=name, learning_rate=0.01, schedule="constant", weight_decay=weight_decay
    )
    rng = np.random.default_rng(0)
    start = rng.normal(size=5).astype(np.float32)
    gradients = rng.normal(size=(4, 5)).astype(np.float32)
    np.testing.assert_allclose(
        run(config, gradients, start), twin(config, gradients, start), atol=2e-5
    )


def test_rate_follows_the_schedule():
    config = OptimizerConfig(
        optimizer="sgd", learning_rate=1.0, schedule="multistep", milestones=(1,), decay_factor=0.0
    )
    ones = np.ones((3, 2), np.float32)
    # Step 0 moves by 1; later rates are 0, so only the momentum carries on.
    np.testing.assert_allclose(run(config, ones, np.zeros(2, np.float32)), -1 - 0.9 - 0.81)


@pytest.mark.parametrize("name", ["adam", "sgd"])
def test_the_gradient_is_clipped_as_a_whole_before_the_decay_is_added(name):
    config = OptimizerConfig(
        optimizer=name, schedule="constant", clip_norm=0.5, weight_decay=0.01, learning_rate=1.0
    )
    optimizer = build_optimizer(config)
    variables = [tf.Variable([1.0]), tf.Variable([2.0])]
    optimizer.build(variables)
    optimizer.apply_gradients(zip([tf.constant([3.0]), tf.constant([4.0])], variables))
    expected = np.array([0.3 + 0.01, 0.4 + 0.02])
    # Both optimizers' first moment after one step is a multiple of the gradient that has arrived.
    moments = [v for v in optimizer.variables if v.name.startswith("m/")]
    scale = 0.1 if name == "adam" else -1.0
    np.testing.assert_allclose(np.ravel([m.numpy() for m in moments]), scale * expected, rtol=1e-5)


def test_a_short_gradient_is_not_clipped():
    free, clipped = (
        run(
            OptimizerConfig(optimizer="sgd", schedule="constant", clip_norm=norm),
            np.ones((3, 4), np.float32),
            np.zeros(4, np.float32),
        )
        for norm in (0.0, 2.5)
    )
    np.testing.assert_array_equal(clipped, free)


def test_a_late_variable_begins_like_adam_at_step_0():
    config = OptimizerConfig(schedule="constant", freeze_backbone_steps=3, learning_rate=0.01)
    rng = np.random.default_rng(0)
    gradients = rng.normal(size=(7, 5)).astype(np.float32)
    early, late = tf.Variable(tf.ones(5)), tf.Variable(tf.ones(5))
    optimizer = build_optimizer(config, frozen=[late])
    optimizer.build([early, late])
    for step, gradient in enumerate(gradients):
        trained = [early, late] if step >= 3 else [early]
        optimizer.apply_gradients([(tf.constant(gradient), variable) for variable in trained])
    start = np.ones(5, np.float32)
    np.testing.assert_allclose(early, adam_twin(config, gradients, start), atol=1e-6)
    np.testing.assert_allclose(late, adam_twin(config, gradients[3:], start), atol=1e-6)
