"""The folded end of a decoder against the three layers that it stands for."""

from __future__ import annotations

import pathlib

import numpy as np
import pytest
import tensorflow as tf
from reporting_program import read_report

from daaf_tf.model.folding import FoldedPrediction, compute_deconv_moments

REPLICAS = pathlib.Path(__file__).with_name("folding_replicas_program.py")


@pytest.fixture
def policy(request):
    tf.keras.mixed_precision.set_global_policy(request.param)
    yield
    tf.keras.mixed_precision.set_global_policy("float32")


def random_inputs(shape=(3, 5, 4, 6), seed=0):
    """Values as they come out of a ReLU."""
    return tf.constant(np.random.default_rng(seed).normal(0.3, 1, shape).clip(0), tf.float32)


def build(kernel_size, num_maps=2):
    """Make a layer whose every weight matters."""
    layer = FoldedPrediction(
        num_maps,
        channels=8,
        kernel_size=kernel_size,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
    )
    layer.build((None, 5, 4, 6))
    rng = np.random.default_rng(1)
    layer.set_weights(
        [
            rng.uniform(0.5, 1.5, value.shape)
            if value.ndim == 1
            else rng.normal(0, 0.3, value.shape)
            for value in layer.get_weights()
        ]
    )
    return layer


def unfolded(layer, inputs, training):
    return layer.conv(layer.norm(layer.deconv(inputs), training=training))


def differentiate(layer, function, inputs, training):
    """Return maps, and the gradients of a loss by inputs and weights."""
    target = tf.constant(np.random.default_rng(2).normal(size=(3, 10, 8, 2)), tf.float32)
    variables = [inputs, *layer.trainable_weights]
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        maps = function(inputs, training)
        loss = tf.reduce_mean((tf.sigmoid(maps) - target) ** 2)
    return maps.numpy(), [gradient.numpy() for gradient in tape.gradient(loss, variables)]


def assert_close(received, expected, tolerance):
    assert np.abs(received - expected).max() <= tolerance * np.abs(expected).max() + 1e-7


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("kernel_size", [2, 3])
def test_values_gradients_and_averages_are_those_of_the_three_layers(kernel_size, training):
    layer, plain = build(kernel_size), build(kernel_size)
    inputs = random_inputs()
    maps, gradients = differentiate(layer, lambda x, t: layer(x, training=t), inputs, training)
    expected, slow = differentiate(plain, lambda x, t: unfolded(plain, x, t), inputs, training)
    assert_close(maps, expected, 1e-5)
    # The 1x1's bias and the others; what the batch norm takes out again has a gradient of nothing.
    for received, by_three in zip(gradients, slow):
        assert received.shape == by_three.shape
        assert_close(received, by_three, 1e-4)
    before = build(kernel_size).non_trainable_weights
    for received, by_three, old in zip(
        layer.non_trainable_weights, plain.non_trainable_weights, before
    ):
        assert_close(received.numpy(), by_three.numpy(), 1e-5)
        assert bool(np.any(received.numpy() != old.numpy())) == training


@pytest.mark.parametrize("shape", [(2, 1, 1, 6), (1, 1, 3, 6), (2, 4, 1, 6), (4, 7, 3, 6)])
@pytest.mark.parametrize("kernel_size", [2, 3])
def test_moments_are_those_of_the_deconvolution(kernel_size, shape):
    inputs = random_inputs(shape)
    kernel = tf.constant(np.random.default_rng(1).normal(size=(kernel_size, kernel_size, 8, 6)))
    kernel = tf.cast(kernel, tf.float32)
    size = (shape[0], 2 * shape[1], 2 * shape[2], 8)
    made = tf.nn.conv2d_transpose(inputs, kernel, size, 2, "SAME").numpy().astype(np.float64)
    mean, square = compute_deconv_moments(inputs, kernel)
    np.testing.assert_allclose(mean, made.mean(axis=(0, 1, 2)), atol=1e-5)
    np.testing.assert_allclose(square, (made**2).mean(axis=(0, 1, 2)), rtol=1e-5)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"], indirect=True)
@pytest.mark.usefixtures("policy")
def test_small_float_types_stay_near_float32_and_keep_their_statistics(policy):
    layer = build(3)
    # Sums over these pixels are beyond float16's largest number.
    inputs = 30 * random_inputs((3, 40, 40, 6))
    maps = layer(inputs, training=True)
    assert maps.dtype == tf.float32
    plain = build(3)
    expected = unfolded(plain, inputs, True).numpy()
    assert_close(maps.numpy(), expected, 0.03)
    for received, by_three in zip(layer.non_trainable_weights, plain.non_trainable_weights):
        assert_close(received.numpy(), by_three.numpy(), 0.01)


def test_frozen_it_keeps_its_averages():
    layer = build(3)
    layer.trainable = False
    before = layer.get_weights()
    inputs = random_inputs()
    np.testing.assert_array_equal(layer(inputs, training=True), layer(inputs, training=False))
    assert all(np.array_equal(old, new) for old, new in zip(before, layer.get_weights()))


def test_constant_inputs_have_a_finite_gradient():
    layer = build(2)
    _, gradients = differentiate(
        layer, lambda x, t: layer(x, training=t), tf.zeros((3, 5, 4, 6)), True
    )
    assert all(np.isfinite(gradient).all() for gradient in gradients)


def test_an_equal_layer_is_made_from_its_config():
    layer = build(3)
    copy = FoldedPrediction.from_config(layer.get_config())
    copy.build((None, 5, 4, 6))
    copy.set_weights(layer.get_weights())
    inputs = random_inputs()
    np.testing.assert_array_equal(copy(inputs), layer(inputs))
    assert copy.get_config() == layer.get_config()
    assert copy.conv.bias_initializer.__class__ is layer.conv.bias_initializer.__class__


def test_synchronised_two_replicas_compute_what_one_does():
    differences = read_report(REPLICAS)
    assert differences["synchronized"] < 1e-5
    assert differences["local"] > 1e-4
