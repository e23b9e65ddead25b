"""The two attention branches: HAB predicts the person's mask, PAB the maps of the 17 joints.

They exist in training only; they teach the last feature map to look at people, and each of six
groups of its channels to answer for one body part.

Source: Chen et al., Deep attention aware feature learning for person re-identification, Pattern
Recognition 126 (2022). The paper's table gives the deconvolutions; where it says nothing the
authors' three code bases differ, and each choice is a setting (docs/variants.md). By default batch
norm on each, ReLU after the first three and the sigmoid are those of their TriNet code.
"""

from __future__ import annotations

import functools
import math

import tensorflow as tf

from daaf_tf import schema
from daaf_tf.errors import UserError
from daaf_tf.model.folding import FoldedPrediction
from daaf_tf.model.resnet import BATCH_NORM
from daaf_tf.sections.model import ALL_CHANNELS, SIGMOID, SIXTH, ModelConfig

layers = tf.keras.layers

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
      [B, 2^N h, 2^N w, 1] float32, N = decoder_deconvs, of a layer named `mask`; in 0..1 with the
      sigmoid.

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
    x = _decode(x, 1, prior=_MASK_PRIOR, settings=settings, name="hab")
    return layers.Activation(settings.decoder_output, dtype="float32", name=schema.MASK)(x)


def partial_attention(features, settings: ModelConfig):
    """Predict the joints' maps, by default each group of joints from its own channels (PAB).

    The channels are cut into six groups; what is left (two of 2048) belongs to none.

    Args:
      features: [B, h, w, C] float.
      settings: its `pab_*` and `decoder_*` say how.

    Returns:
      [B, 2^N h, 2^N w, 17] float32, N = decoder_deconvs, in COCO order, of a layer named
      `keypoints`; in 0..1 with the sigmoid.

    Raises:
      UserError: too few channels for six groups.
    """
    sizes = [len(joints) for _, joints in schema.JOINT_GROUPS]
    decode = functools.partial(_decode, prior=_KEYPOINTS_PRIOR, settings=settings)
    if settings.pab_group_channels == ALL_CHANNELS:
        groups = [features] * len(sizes)
    else:
        size = _group_size(features.shape[-1], settings.pab_group_channels)
        groups = ChannelGroups(len(sizes), size, name="pab_groups")(features)
    if not settings.pab_shared_decoder:
        maps = [
            decode(group, size, name=f"pab_{name}")
            for group, size, (name, _) in zip(groups, sizes, schema.JOINT_GROUPS)
        ]
        x = layers.Concatenate(dtype="float32", name="pab_concat")(maps)
    elif settings.pab_group_channels == ALL_CHANNELS:
        x = decode(features, sum(sizes), name="pab")
    else:
        # As one batch the groups share the batch norms' statistics too, in training as later.
        x = layers.Concatenate(axis=0, name="pab_stack")(groups)
        x = OwnMaps(sizes, dtype="float32", name="pab_own_maps")(decode(x, sum(sizes), name="pab"))
    return layers.Activation(settings.decoder_output, dtype="float32", name=schema.KEYPOINTS)(x)


def _group_size(channels, wanted):
    size = channels // len(schema.JOINT_GROUPS) if wanted == SIXTH else int(wanted)
    if size == 0 or size * len(schema.JOINT_GROUPS) > channels:
        raise UserError(
            f"--pab_group_channels={wanted}: {len(schema.JOINT_GROUPS)} groups of {max(size, 1)} "
            f"channels do not fit into the last feature map's {channels}; take a smaller number, "
            f"'{ALL_CHANNELS}', another --backbone, or --nopab"
        )
    return size


def _decode(x, num_maps, *, prior, settings, name):
    """Upsample and predict maps, before their activation, after which they start at `prior`."""
    start = math.log(prior / (1 - prior)) if settings.decoder_output == SIGMOID else prior
    last = {
        "kernel_initializer": tf.keras.initializers.RandomNormal(stddev=_LAST_KERNEL_STDDEV),
        "bias_initializer": tf.keras.initializers.Constant(start),
    }
    if not settings.decoder_norm:
        x = _upsample(x, settings.decoder_deconvs, settings, name=name)
        return layers.Conv2D(num_maps, 1, **last, name=f"{name}_conv")(x)
    x = _upsample(x, settings.decoder_deconvs - 1, settings, name=name)
    return FoldedPrediction(
        num_maps,
        channels=settings.decoder_channels,
        kernel_size=settings.decoder_kernel_size,
        **last,
        name=f"{name}_end",
    )(x)


def _upsample(x, num_deconvs, settings, *, name):
    """Double height and width by each deconvolution."""
    # The plain layer is also the fastest on CPUs: the same maths as sub-pixel convolutions took
    # 1.3 to 2 times as long in float32 and more than ten times as long in bfloat16.
    for index in range(1, num_deconvs + 1):
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
            x = layers.ReLU(name=f"{name}_relu{index}")(x)
    return x


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
class OwnMaps(layers.Layer):
    """Take of each group in the batch [groups x B, h, w, maps] its own maps, side by side.

    Group i of the batch owns the next `sizes[i]` of the maps; the others were never its own.
    """

    def __init__(self, sizes, **kwargs):
        """Remember the number of maps of each group; other arguments are Keras' own."""
        super().__init__(**kwargs)
        self.sizes = list(sizes)

    def call(self, inputs):
        """Return [B, h, w, maps]."""
        parts = tf.split(inputs, len(self.sizes), axis=0)
        own = [tf.split(part, self.sizes, axis=-1)[index] for index, part in enumerate(parts)]
        return tf.concat(own, axis=-1)

    def get_config(self):
        """Return what makes an equal layer."""
        return {**super().get_config(), "sizes": self.sizes}
