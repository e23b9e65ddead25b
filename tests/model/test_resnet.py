"""The ResNets against torchvision's parameter counts and a twin with explicit padding."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from daaf_tf.model.resnet import resnet_features

# torchvision's models without their classifier.
TORCHVISION_PARAMETERS = {
    "resnet18": 11_176_512,
    "resnet34": 21_284_672,
    "resnet50": 23_508_032,
    "resnet101": 42_500_160,
}


def build(size=(64, 32), **settings):
    image = tf.keras.Input((*size, 3))
    return tf.keras.Model(image, resnet_features(image, **settings))


def random_images(size, batch=2):
    return np.random.default_rng(0).normal(size=(batch, *size, 3)).astype(np.float32)


def randomize_batch_norms(model):
    """Give every batch norm statistics and parameters that matter."""
    rng = np.random.default_rng(1)
    for layer in model.layers:
        if isinstance(layer, tf.keras.layers.BatchNormalization):
            channels = layer.gamma.shape[0]
            layer.set_weights(
                [
                    rng.uniform(0.5, 1.5, channels),
                    rng.normal(size=channels),
                    rng.normal(size=channels),
                    rng.uniform(0.5, 1.5, channels),
                ]
            )


class Twin:
    """torchvision's `forward` written with explicit padding, on the weights of a Keras model."""

    def __init__(self, model, *, depths, bottleneck, last_stride):
        self.model, self.depths, self.bottleneck = model, depths, bottleneck
        self.strides = (1, 2, 2, last_stride)

    def conv(self, x, name, stride=1):
        kernel = self.model.get_layer(name).kernel
        pad = [(kernel.shape[0] - 1) // 2] * 2
        return tf.nn.conv2d(x, kernel, stride, [[0, 0], pad, pad, [0, 0]])

    def norm(self, x, name):
        gamma, beta, mean, variance = self.model.get_layer(name).get_weights()
        return (x - mean) / np.sqrt(variance + 1e-5) * gamma + beta

    def block(self, x, name, stride):
        count = 3 if self.bottleneck else 2
        strided = 2 if self.bottleneck else 1
        y = x
        for index in range(1, count + 1):
            y = self.conv(y, f"{name}_conv{index}", stride if index == strided else 1)
            y = self.norm(y, f"{name}_bn{index}")
            y = tf.nn.relu(y) if index < count else y
        if stride != 1 or x.shape[-1] != y.shape[-1]:
            x = self.norm(self.conv(x, f"{name}_downsample_0", stride), f"{name}_downsample_1")
        return tf.nn.relu(x + y)

    def __call__(self, x):
        x = tf.nn.relu(self.norm(self.conv(x, "conv1", 2), "bn1"))
        x = tf.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]], constant_values=-np.inf)
        x = tf.nn.max_pool2d(x, 3, 2, "VALID")
        for stage, depth in enumerate(self.depths):
            for index in range(depth):
                stride = self.strides[stage] if index == 0 else 1
                x = self.block(x, f"layer{stage + 1}_{index}", stride)
        return x


@pytest.mark.parametrize("backbone", TORCHVISION_PARAMETERS)
def test_parameter_count_is_torchvisions(backbone):
    model = build(backbone=backbone)
    count = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    assert count == TORCHVISION_PARAMETERS[backbone]


@pytest.mark.parametrize(("size", "last_stride"), [((64, 32), 2), ((67, 37), 1)])
@pytest.mark.parametrize(
    ("backbone", "depths", "bottleneck"),
    [("resnet18", (2, 2, 2, 2), False), ("resnet50", (3, 4, 6, 3), True)],
)
def test_equals_twin_with_explicit_padding(backbone, depths, bottleneck, size, last_stride):
    model = build(size, backbone=backbone, width=8, last_stride=last_stride)
    randomize_batch_norms(model)
    images = random_images(size)
    twin = Twin(model, depths=depths, bottleneck=bottleneck, last_stride=last_stride)
    expected = twin(tf.constant(images)).numpy()
    received = model(images).numpy()
    assert np.abs(received - expected).max() < 1e-5 * np.abs(expected).max()


@pytest.mark.parametrize(
    ("backbone", "last_stride", "shape"),
    [
        ("resnet18", 2, (2, 1, 64)),
        ("resnet34", 1, (4, 2, 64)),
        ("resnet50", 1, (4, 2, 256)),
        ("resnet50", 2, (2, 1, 256)),
    ],
)
def test_feature_map_shape(backbone, last_stride, shape):
    model = build(backbone=backbone, width=8, last_stride=last_stride)
    assert model.output_shape == (None, *shape)


def test_layers_have_torchvisions_names():
    model = build(backbone="resnet50", width=8)
    names = {layer.name for layer in model.layers if layer.weights}
    assert {
        "conv1",
        "bn1",
        "layer1_0_downsample_0",
        "layer1_0_downsample_1",
        "layer4_2_conv3",
        "layer4_2_bn3",
    } <= names
    # resnet50 has 53 convolutions, each with its batch norm.
    assert len(names) == 106


def test_last_stride_moves_only_the_last_stage():
    strided = {
        last_stride: {
            layer.name
            for layer in build(backbone="resnet50", width=8, last_stride=last_stride).layers
            if isinstance(layer, tf.keras.layers.Conv2D) and layer.strides == (2, 2)
        }
        for last_stride in (1, 2)
    }
    assert strided[2] - strided[1] == {"layer4_0_conv2", "layer4_0_downsample_0"}
    assert strided[1] < strided[2]


def test_initial_kernels_are_kaiming_normal_over_fan_out():
    tf.keras.utils.set_random_seed(0)
    kernel = build(backbone="resnet18", width=32).get_layer("layer4_0_conv2").kernel.numpy()
    expected = np.sqrt(2 / (3 * 3 * 256))
    assert kernel.std() == pytest.approx(expected, rel=0.02)
    assert kernel.mean() == pytest.approx(0, abs=0.01 * expected)
    # A truncated normal, Keras' default, would end at 2.3 of its standard deviations.
    assert np.abs(kernel).max() > 3.5 * expected
