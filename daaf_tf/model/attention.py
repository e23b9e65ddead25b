"""The two attention branches: HAB predicts the person's mask, PAB the maps of the 17 joints.

They exist in training only; they teach the last feature map to look at people, and each of six
groups of its channels to answer for one body part.

Source: Chen et al., Deep attention aware feature learning for person re-identification, Pattern
Recognition 126 (2022). The paper's table gives the deconvolutions; batch norm on each, ReLU after
the first three and the sigmoid are those of the authors' TriNet code.
"""

from __future__ import annotations

import math

import tensorflow as tf

from daaf_tf import schema
from daaf_tf.model.resnet import BATCH_NORM

layers = tf.keras.layers

# Roughly the mean of the targets. A decoder starts there, flat: from the usual start (noise around
# 0.5) it would spend its first steps, and the backbone's, on unlearning itself. The small kernel is
# RetinaNet's (Lin et al., 2017, section 4.1).
_MASK_PRIOR = 0.3
_KEYPOINTS_PRIOR = 0.01
_LAST_KERNEL_STDDEV = 0.01


def holistic_attention(features, *, deconvs=4, channels=64, kernel_size=3, norm=True):
    """Predict the person's mask from all channels of the last feature map (HAB).

    Args:
      features: [B, h, w, C] float.
      deconvs: number of deconvolutions N; each doubles height and width.
      channels: channels of each deconvolution.
      kernel_size: kernel size of each deconvolution, 2 or 3.
      norm: whether batch norm (and ReLU, but after the last) follow the deconvolutions.

    Returns:
      [B, 2^N h, 2^N w, 1] float32 in 0..1, of a layer named `mask`.
    """
    x = _decoder(
        features,
        num_maps=1,
        prior=_MASK_PRIOR,
        deconvs=deconvs,
        channels=channels,
        kernel_size=kernel_size,
        norm=norm,
        name="hab",
    )
    return layers.Activation("sigmoid", dtype="float32", name=schema.MASK)(x)


def partial_attention(features, *, deconvs=4, channels=64, kernel_size=3, norm=True):
    """Predict the joints' maps, each group of joints from its own channels (PAB).

    The channels are cut into six groups of floor(C / 6); the rest (two of 2048) belongs to none.

    Args:
      features: [B, h, w, C] float, C at least 6.
      deconvs: number of deconvolutions N; each doubles height and width.
      channels: channels of each deconvolution.
      kernel_size: kernel size of each deconvolution, 2 or 3.
      norm: whether batch norm (and ReLU, but after the last) follow the deconvolutions.

    Returns:
      [B, 2^N h, 2^N w, 17] float32 in 0..1 in COCO order, of a layer named `keypoints`.
    """
    groups = ChannelGroups(len(schema.JOINT_GROUPS), name="pab_groups")(features)
    maps = [
        _decoder(
            group,
            num_maps=len(joints),
            prior=_KEYPOINTS_PRIOR,
            deconvs=deconvs,
            channels=channels,
            kernel_size=kernel_size,
            norm=norm,
            name=f"pab_{name}",
        )
        for group, (name, joints) in zip(groups, schema.JOINT_GROUPS)
    ]
    x = layers.Concatenate(name="pab_concat")(maps)
    return layers.Activation("sigmoid", dtype="float32", name=schema.KEYPOINTS)(x)


@tf.keras.utils.register_keras_serializable("daaf_tf")
class ChannelGroups(layers.Layer):
    """Cut [..., C] into `num_groups` tensors of floor(C / num_groups) channels; drop the rest.

    One split, whose gradient is one concatenation: six slices would each pad a gradient to full
    size and add it up.
    """

    def __init__(self, num_groups, **kwargs):
        """Remember the number of groups; other arguments are Keras' own."""
        super().__init__(**kwargs)
        self.num_groups = num_groups

    def call(self, inputs):
        """Return the groups as a list."""
        size, rest = divmod(inputs.shape[-1], self.num_groups)
        sizes = [size] * self.num_groups + [rest] * bool(rest)
        return tf.split(inputs, sizes, axis=-1)[: self.num_groups]

    def get_config(self):
        """Return what makes an equal layer."""
        return {**super().get_config(), "num_groups": self.num_groups}


def _decoder(x, *, num_maps, prior, deconvs, channels, kernel_size, norm, name):
    """Upsample by deconvolutions and map to `num_maps` sigmoid logits that start at `prior`."""
    # The plain layer is also the fastest on CPUs: the same maths as sub-pixel convolutions took
    # 1.3 to 2 times as long in float32 and more than ten times as long in bfloat16.
    for index in range(1, deconvs + 1):
        x = layers.Conv2DTranspose(
            channels,
            kernel_size,
            strides=2,
            padding="same",
            use_bias=not norm,
            name=f"{name}_deconv{index}",
        )(x)
        if norm:
            x = layers.BatchNormalization(**BATCH_NORM, name=f"{name}_bn{index}")(x)
            if index < deconvs:
                x = layers.ReLU(name=f"{name}_relu{index}")(x)
    return layers.Conv2D(
        num_maps,
        1,
        kernel_initializer=tf.keras.initializers.RandomNormal(stddev=_LAST_KERNEL_STDDEV),
        bias_initializer=tf.keras.initializers.Constant(math.log(prior / (1 - prior))),
        name=f"{name}_conv",
    )(x)
