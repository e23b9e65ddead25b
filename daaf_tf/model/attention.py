"""The two attention branches: HAB predicts the person's mask, PAB the maps of the 17 joints.

They exist in training only; they teach the last feature map to look at people, and each of six
groups of its channels to answer for one body part.

Source: Chen et al., Deep attention aware feature learning for person re-identification, Pattern
Recognition 126 (2022). The paper's table gives the deconvolutions; where it says nothing the
authors' three code bases differ, and each choice is a setting (docs/variants.md). By default batch
norm on each, ReLU after the first three and the sigmoid are those of their TriNet code.
"""

from __future__ import annotations

import math

import tensorflow as tf

from daaf_tf import schema
from daaf_tf.errors import UserError
from daaf_tf.model.resnet import BATCH_NORM
from daaf_tf.sections.model import ALL_CHANNELS, SIGMOID, SIXTH, ModelConfig

layers = tf.keras.layers

_NUM_DECONVS = 4  # 16x upsampling

# Roughly the mean of the targets. A decoder starts there, flat: from the usual start (noise around
# 0.5) it would spend its first steps, and the backbone's, on unlearning itself. The small kernel is
# RetinaNet's (Lin et al., 2017, section 4.1).
_MASK_PRIOR = 0.3
_KEYPOINTS_PRIOR = 0.01
_LAST_KERNEL_STDDEV = 0.01


def holistic_attention(features, settings: ModelConfig):
    """Predict the person's mask from the last feature map (HAB).

    Args:
      features: [B, h, w, C] float, of the retrieval network or of HAB's own stages.
      settings: its `hab_channels` and `decoder_*` say how.

    Returns:
      [B, 16 h, 16 w, 1] float32, of a layer named `mask`; in 0..1 with the sigmoid.

    Raises:
      UserError: `hab_channels` beyond the last channel.
    """
    x = features
    if settings.hab_channels:
        first, last = settings.hab_channels
        if last >= x.shape[-1]:
            raise UserError(
                f"--hab_channels={first},{last}: the last feature map has only {x.shape[-1]} "
                "channels, counted from 0"
            )
        x = ChannelRange(first, last, name="hab_range")(x)
    x = _upsample(x, settings, name="hab")
    x = _predict(x, 1, prior=_MASK_PRIOR, settings=settings, name="hab_conv")
    return layers.Activation(settings.decoder_output, dtype="float32", name=schema.MASK)(x)


def partial_attention(features, settings: ModelConfig):
    """Predict the joints' maps, by default each group of joints from its own channels (PAB).

    The channels are cut into six groups; what is left (two of 2048) belongs to none.

    Args:
      features: [B, h, w, C] float.
      settings: its `pab_*` and `decoder_*` say how.

    Returns:
      [B, 16 h, 16 w, 17] float32 in COCO order, of a layer named `keypoints`; in 0..1 with the
      sigmoid.

    Raises:
      UserError: too few channels for six groups.
    """
    maps = [
        _predict(
            upsampled,
            len(joints),
            prior=_KEYPOINTS_PRIOR,
            settings=settings,
            name=f"pab_{name}_conv",
        )
        for upsampled, (name, joints) in zip(
            _upsample_groups(features, settings), schema.JOINT_GROUPS
        )
    ]
    x = layers.Concatenate(name="pab_concat")(maps)
    return layers.Activation(settings.decoder_output, dtype="float32", name=schema.KEYPOINTS)(x)


def _upsample_groups(features, settings):
    """Return what each of the six joint groups predicts from, [B, 16 h, 16 w, channels]."""
    num_groups = len(schema.JOINT_GROUPS)
    if settings.pab_group_channels == ALL_CHANNELS:
        groups = [features] * num_groups
    else:
        size = _group_size(features.shape[-1], settings.pab_group_channels)
        groups = ChannelGroups(num_groups, size, name="pab_groups")(features)
    if not settings.pab_shared_decoder:
        return [
            _upsample(group, settings, name=f"pab_{name}")
            for group, (name, _) in zip(groups, schema.JOINT_GROUPS)
        ]
    if settings.pab_group_channels == ALL_CHANNELS:
        return [_upsample(features, settings, name="pab")] * num_groups
    # As one batch the groups share the batch norms' statistics too, in training as later.
    x = layers.Concatenate(axis=0, name="pab_stack")(groups)
    return BatchParts(num_groups, name="pab_parts")(_upsample(x, settings, name="pab"))


def _group_size(channels, wanted):
    size = channels // len(schema.JOINT_GROUPS) if wanted == SIXTH else int(wanted)
    if size == 0 or size * len(schema.JOINT_GROUPS) > channels:
        raise UserError(
            f"--pab_group_channels={wanted}: {len(schema.JOINT_GROUPS)} groups of {max(size, 1)} "
            f"channels do not fit into the last feature map's {channels}; take a smaller number, "
            f"'{ALL_CHANNELS}', another --backbone, or --nopab"
        )
    return size


def _upsample(x, settings, *, name):
    """Upsample 16x by four deconvolutions."""
    # The plain layer is also the fastest on CPUs: the same maths as sub-pixel convolutions took
    # 1.3 to 2 times as long in float32 and more than ten times as long in bfloat16.
    for index in range(1, _NUM_DECONVS + 1):
        x = layers.Conv2DTranspose(
            settings.decoder_channels,
            settings.decoder_kernel_size,
            strides=2,
            padding="same",
            use_bias=not settings.decoder_norm,
            name=f"{name}_deconv{index}",
        )(x)
        if settings.decoder_norm:
            x = layers.BatchNormalization(**BATCH_NORM, name=f"{name}_bn{index}")(x)
            if index < _NUM_DECONVS:
                x = layers.ReLU(name=f"{name}_relu{index}")(x)
    return x


def _predict(x, num_maps, *, prior, settings, name):
    """Map to `num_maps` maps, before their activation, after which they start at `prior`."""
    start = math.log(prior / (1 - prior)) if settings.decoder_output == SIGMOID else prior
    return layers.Conv2D(
        num_maps,
        1,
        kernel_initializer=tf.keras.initializers.RandomNormal(stddev=_LAST_KERNEL_STDDEV),
        bias_initializer=tf.keras.initializers.Constant(start),
        name=name,
    )(x)


@tf.keras.utils.register_keras_serializable("daaf_tf")
class ChannelGroups(layers.Layer):
    """Cut [..., C] into `num_groups` tensors of `size` channels; drop the rest.

    One split, whose gradient is one concatenation: six slices would each pad a gradient to full
    size and add it up.
    """

    def __init__(self, num_groups, size, **kwargs):
        """Remember number and size of the groups; other arguments are Keras' own."""
        super().__init__(**kwargs)
        self.num_groups = num_groups
        self.size = size

    def call(self, inputs):
        """Return the groups as a list."""
        rest = inputs.shape[-1] - self.num_groups * self.size
        sizes = [self.size] * self.num_groups + [rest] * bool(rest)
        return tf.split(inputs, sizes, axis=-1)[: self.num_groups]

    def get_config(self):
        """Return what makes an equal layer."""
        return {**super().get_config(), "num_groups": self.num_groups, "size": self.size}


@tf.keras.utils.register_keras_serializable("daaf_tf")
class ChannelRange(layers.Layer):
    """Take channels `first` to `last` of [..., C]."""

    def __init__(self, first, last, **kwargs):
        """Remember the channels, counted from 0; other arguments are Keras' own."""
        super().__init__(**kwargs)
        self.first = first
        self.last = last

    def call(self, inputs):
        """Return [..., last - first + 1]."""
        return inputs[..., self.first : self.last + 1]

    def get_config(self):
        """Return what makes an equal layer."""
        return {**super().get_config(), "first": self.first, "last": self.last}


@tf.keras.utils.register_keras_serializable("daaf_tf")
class BatchParts(layers.Layer):
    """Cut [num_parts x B, ...] into `num_parts` tensors [B, ...]."""

    def __init__(self, num_parts, **kwargs):
        """Remember the number of parts; other arguments are Keras' own."""
        super().__init__(**kwargs)
        self.num_parts = num_parts

    def call(self, inputs):
        """Return the parts as a list."""
        return tf.split(inputs, self.num_parts, axis=0)

    def get_config(self):
        """Return what makes an equal layer."""
        return {**super().get_config(), "num_parts": self.num_parts}
