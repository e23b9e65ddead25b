"""HAB and PAB: sizes, order of the joints, which channels answer for what, where they start."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from daaf_tf import schema
from daaf_tf.model.attention import ChannelGroups, holistic_attention, partial_attention
from daaf_tf.sections.model import ModelConfig


def build(branch, shape=(2, 1, 64), seed=0, **settings):
    tf.keras.utils.set_random_seed(seed)
    features = tf.keras.Input(shape)
    settings = ModelConfig(**{"decoder_channels": 4, **settings})
    return tf.keras.Model(features, branch(features, settings))


def random_features(shape=(2, 1, 64), batch=3):
    return tf.constant(np.random.default_rng(0).normal(size=(batch, *shape)), tf.float32)


def count(weights):
    return sum(int(np.prod(weight.shape)) for weight in weights)


@pytest.mark.parametrize(("norm", "kernel_size"), [(True, 3), (False, 2)])
@pytest.mark.parametrize(("branch", "maps"), [(holistic_attention, 1), (partial_attention, 17)])
def test_maps_are_16_times_the_features_and_in_0_1(branch, maps, norm, kernel_size):
    model = build(branch, decoder_kernel_size=kernel_size, decoder_norm=norm)
    predicted = model(100 * random_features(), training=True).numpy()
    assert predicted.shape == (3, 32, 16, maps)
    assert predicted.dtype == np.float32
    assert predicted.min() >= 0
    assert predicted.max() <= 1


@pytest.mark.parametrize(("branch", "maps"), [(holistic_attention, 1), (partial_attention, 17)])
def test_each_deconvolution_doubles_the_maps(branch, maps):
    assert build(branch, decoder_deconvs=3).output_shape == (None, 16, 8, maps)


def test_holistic_attention_has_the_papers_parameters():
    model = build(holistic_attention, (8, 4, 2048), decoder_channels=64)
    deconvs = 9 * 2048 * 64 + 3 * 9 * 64 * 64
    assert count(model.trainable_weights) == deconvs + 4 * 2 * 64 + 64 + 1


def test_partial_attention_has_the_papers_parameters():
    model = build(partial_attention, (8, 4, 2048), decoder_channels=64)
    deconvs = 6 * (9 * 341 * 64 + 3 * 9 * 64 * 64)
    assert count(model.trainable_weights) == deconvs + 6 * 4 * 2 * 64 + 17 * 64 + 17


@pytest.mark.parametrize(("norm", "kinds"), [(True, [3, 3, 3, 1, 0]), (False, [4, 0, 0, 0, 1])])
def test_norm_follows_each_deconv_and_relu_all_but_the_last(norm, kinds):
    names = [type(layer).__name__ for layer in build(holistic_attention, decoder_norm=norm).layers]
    counted = ("Conv2DTranspose", "BatchNormalization", "ReLU", "FoldedPrediction", "Conv2D")
    assert [names.count(kind) for kind in counted] == kinds
    assert names[-1] == "Activation"


def test_keypoint_maps_are_in_coco_order():
    model = build(partial_attention)
    for name, joints in schema.JOINT_GROUPS:
        layer = model.get_layer(f"pab_{name}_end").conv
        layer.set_weights([np.zeros(layer.kernel.shape), np.array(joints, np.float32)])
    maps = model(random_features()).numpy()
    expected = 1 / (1 + np.exp(-np.arange(17.0)))
    np.testing.assert_allclose(maps, np.broadcast_to(expected, maps.shape), rtol=1e-6)


def test_each_group_learns_from_its_own_channels_only():
    features = random_features()
    model = build(partial_attention)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(features)
        maps = model(features, training=True)
        losses = [
            tf.reduce_sum(tf.gather(maps, joints, axis=-1) ** 2)
            for _, joints in schema.JOINT_GROUPS
        ]
    group_size = 64 // 6
    for index, loss in enumerate(losses):
        reached = np.abs(tape.gradient(loss, features).numpy()).max(axis=(0, 1, 2)) > 0
        own = np.arange(64) // group_size == index
        np.testing.assert_array_equal(reached, own)
    assert not own[60:].any()  # 64 mod 6 = 4 channels answer for nothing


def test_holistic_attention_learns_from_all_channels():
    features = random_features()
    model = build(holistic_attention)
    with tf.GradientTape() as tape:
        tape.watch(features)
        loss = tf.reduce_sum(model(features, training=True) ** 2)
    gradient = tape.gradient(loss, features).numpy()
    assert (np.abs(gradient).max(axis=(0, 1, 2)) > 0).all()


@pytest.mark.parametrize(
    ("branch", "prior"), [(holistic_attention, 0.3), (partial_attention, 0.01)]
)
def test_predictions_start_near_the_targets_mean(branch, prior):
    predicted = build(branch, decoder_channels=16)(random_features(), training=True).numpy()
    np.testing.assert_allclose(predicted, prior, rtol=0.4)
    assert predicted.std() > 0


def test_decoders_start_with_weights_of_their_own():
    model = build(partial_attention)
    kernels = [model.get_layer(f"pab_{name}_deconv1").kernel for name, _ in schema.JOINT_GROUPS]
    kernels += [
        model.get_layer("pab_head_deconv2").kernel,
        model.get_layer("pab_head_deconv3").kernel,
    ]
    assert len({kernel.numpy().tobytes() for kernel in kernels}) == len(kernels)


@pytest.mark.parametrize(("channels", "size"), [(2048, 341), (12, 2)])
def test_channel_groups(channels, size):
    groups = ChannelGroups(6, size)(np.arange(channels)[None])
    assert [group.numpy().tolist() for group in groups] == [
        [list(range(index * size, (index + 1) * size))] for index in range(6)
    ]
