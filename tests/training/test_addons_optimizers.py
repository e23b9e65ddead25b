"""The optimizers of tensorflow-addons: published update, schedule, decay, checkpoints."""

import dataclasses
import importlib.util
import sys

import numpy as np
import pytest
import tensorflow as tf
from tiny_network import assert_same, read_checkpoint, train

from daaf_tf.errors import UserError
from daaf_tf.sections.optimizer import FROM_ADDONS, LAMB, RADAM_LOOKAHEAD, OptimizerConfig
from daaf_tf.training.optimizers import build_optimizer
from daaf_tf.training.schedules import compute_learning_rate

exists = pytest.mark.skipif(
    importlib.util.find_spec("tensorflow_addons") is None,
    reason="tensorflow-addons does not exist for this Python",
)
# The rate halves at step 2.
CONFIG = OptimizerConfig(
    learning_rate=0.02, schedule="multistep", milestones=(2,), decay_factor=0.5, weight_decay=0.1
)


def moments(gradients):
    """Yield step, bias-corrected first and second moment (before its root), counted from 1."""
    first = second = 0.0
    for step, gradient in enumerate(gradients, 1):
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        yield step, first / (1 - 0.9**step), second / (1 - 0.999**step)


def lamb_twin(rates, decay, gradients, value):
    for step, first, second in moments(gradients):
        update = first / (np.sqrt(second) + 1e-6) + decay * value
        ratio = np.linalg.norm(value) / np.linalg.norm(update)
        value = value - rates[step - 1] * ratio * update
    return value


def radam_lookahead_twin(rates, decay, gradients, value):
    slow, longest = value, 2 / (1 - 0.999) - 1
    for step, first, second in moments(gradients):
        length = longest - 2 * step * 0.999**step / (1 - 0.999**step)
        update = first
        if length >= 5:
            rectified = (length - 4) * (length - 2) * longest
            rectified /= (longest - 4) * (longest - 2) * length
            update = np.sqrt(rectified) * first / (np.sqrt(second) + 1e-7)
        value = value - rates[step - 1] * (update + decay * value)
        if step % 6 == 0:
            value = slow = slow + 0.5 * (value - slow)
    return value


@exists
@pytest.mark.parametrize(
    ("name", "twin"), [(LAMB, lamb_twin), (RADAM_LOOKAHEAD, radam_lookahead_twin)]
)
def test_update_is_the_published_one_with_its_own_decay_at_our_rate(name, twin):
    config = dataclasses.replace(CONFIG, optimizer=name)
    rng = np.random.default_rng(0)
    start = rng.normal(size=5).astype(np.float32)
    gradients = rng.normal(size=(13, 5)).astype(np.float32)
    optimizer, variable = build_optimizer(config), tf.Variable(start, name="head/kernel")
    for gradient in gradients:
        optimizer.apply_gradients([(tf.constant(gradient), variable)])
    rates = [float(compute_learning_rate(step, config)) for step in range(13)]
    assert rates[2] == rates[1] / 2
    expected = twin(rates, config.weight_decay, gradients, start.astype(np.float64))
    np.testing.assert_allclose(variable.numpy(), expected, atol=2e-5)


@exists
def test_lamb_neither_decays_nor_rescales_norms_and_biases():
    config = dataclasses.replace(CONFIG, optimizer=LAMB)
    optimizer, variable = build_optimizer(config), tf.Variable([3.0, 4.0], name="head/bias")
    optimizer.apply_gradients([(tf.constant([1.0, -1.0]), variable)])
    np.testing.assert_allclose(variable, [3 - 0.02, 4 + 0.02], rtol=1e-5)


@exists
@pytest.mark.parametrize("name", FROM_ADDONS)
def test_the_gradient_is_clipped_as_a_whole(name):
    config = dataclasses.replace(CONFIG, optimizer=name, clip_norm=0.5)
    optimizer = build_optimizer(config)
    variables = [tf.Variable([1.0], name=f"{name}/kernel") for name in ("a", "b")]
    gradients = [tf.constant([3.0]), tf.constant([4.0])]
    optimizer.apply_gradients(zip(gradients, variables))
    inner = getattr(optimizer, "_optimizer", optimizer)
    # After one step the first moment is a tenth of the gradient that has arrived.
    found = [float(inner.get_slot(variable, "m")) for variable in variables]
    np.testing.assert_allclose(found, [0.03, 0.04], rtol=1e-5)


@exists
@pytest.mark.parametrize("name", FROM_ADDONS)
def test_a_resumed_run_ends_with_the_same_bits(tmp_path, name):
    config = dataclasses.replace(CONFIG, optimizer=name)
    whole = train(config, tmp_path / "whole", until=7)
    # Lookahead's slow weights are six steps old when they are used: they must come back, too.
    train(config, tmp_path / "two", until=4)
    two = train(config, tmp_path / "two", until=7)
    for found, expected in zip(two.get_weights(), whole.get_weights()):
        np.testing.assert_array_equal(found, expected)
    assert_same(read_checkpoint(tmp_path / "two", 7), read_checkpoint(tmp_path / "whole", 7))


@pytest.mark.parametrize("name", FROM_ADDONS)
def test_where_it_does_not_exist_the_way_out_is_named(monkeypatch, name):
    # None in sys.modules makes the import fail, as on Python 3.12.
    monkeypatch.setitem(sys.modules, "tensorflow_addons", None)
    with pytest.raises(
        UserError, match=rf"--optimizer={name} needs tensorflow-addons.*use --optimizer=adam"
    ):
        build_optimizer(dataclasses.replace(CONFIG, optimizer=name))
