"""ResNet-18, 34, 50 and 101 in torchvision's layout, so that torchvision's weights fit exactly.

What that takes: stride on the 3x3 convolution, no bias in convolutions, batch normalisation with
epsilon 1e-5, and symmetric explicit padding ("same" pads only the far side when it strides).
A layer has torchvision's parameter name with "_" for ".", e.g. `layer4_0_downsample_0`.

Source: He et al., Deep Residual Learning for Image Recognition, CVPR 2016, and torchvision's
`models/resnet.py` (stride on the 3x3: "ResNet V1.5").
"""

from __future__ import annotations

import tensorflow as tf

layers = tf.keras.layers

BATCH_NORM = {"momentum": 0.9, "epsilon": 1e-5}  # torch's momentum 0.1 is Keras' 0.9

# Blocks in each of the four stages.
_BASIC = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3)}
_BOTTLENECK = {"resnet50": (3, 4, 6, 3), "resnet101": (3, 4, 23, 3)}
_EXPANSION = 4  # channels a bottleneck gives out over those it computes with


def resnet_features(image, *, backbone="resnet50", width=64, last_stride=2):
    """Apply a ResNet without its pooling and classifier.

    Args:
      image: [B, H, W, 3] float, normalised by torchvision's mean and standard deviation.
      backbone: one of resnet18, resnet34, resnet50, resnet101.
      width: channels of the first stage; the stages have width times 1, 2, 4, 8, and four times
        that behind bottlenecks.
      last_stride: stride of the last stage, 1 or 2.

    Returns:
      [B, ceil(H / r), ceil(W / r), C] features after the last ReLU, with r = 16 x last_stride and
      C = 8 x width (resnet18, 34) or 32 x width (resnet50, 101).
    """
    x = resnet_first_stage(image, backbone=backbone, width=width)
    return resnet_later_stages(x, backbone=backbone, width=width, last_stride=last_stride)


def resnet_first_stage(image, *, backbone, width):
    """Apply what comes before a ResNet's second stage; see `resnet_features`.

    Returns:
      [B, ceil(H / 4), ceil(W / 4), C] with C = width (resnet18, 34) or 4 x width.
    """
    x = _conv(image, width, 7, stride=2, name="conv1")
    x = _batch_norm(x, name="bn1")
    x = layers.ReLU(name="relu")(x)
    # Zero is no smaller than any value after ReLU, so zero padding is torch's infinite padding.
    x = layers.ZeroPadding2D(1, name="maxpool_pad")(x)
    x = layers.MaxPooling2D(3, strides=2, name="maxpool")(x)
    return _stages(x, (1,), backbone=backbone, width=width)


def resnet_later_stages(x, *, backbone, width, last_stride, prefix=""):
    """Apply stages 2 to 4 to what `resnet_first_stage` returned; see `resnet_features`.

    The layers' names begin with `prefix`, for stages beside the network's own.
    """
    return _stages(
        x, (2, 3, 4), backbone=backbone, width=width, last_stride=last_stride, prefix=prefix
    )


def _stages(x, numbers, *, backbone, width, last_stride=2, prefix=""):
    block = _basic_block if backbone in _BASIC else _bottleneck_block
    depths = {**_BASIC, **_BOTTLENECK}[backbone]
    strides = (1, 2, 2, last_stride)
    for number in numbers:
        for index in range(depths[number - 1]):
            name = f"{prefix}layer{number}_{index}"
            stride = strides[number - 1] if index == 0 else 1
            x = block(x, width * 2 ** (number - 1), stride=stride, name=name)
    return x


def _basic_block(x, channels, *, stride, name):
    y = _conv(x, channels, 3, stride=stride, name=f"{name}_conv1")
    y = _batch_norm(y, name=f"{name}_bn1")
    y = layers.ReLU(name=f"{name}_relu1")(y)
    y = _conv(y, channels, 3, name=f"{name}_conv2")
    y = _batch_norm(y, name=f"{name}_bn2")
    return _add_shortcut(x, y, stride=stride, name=name)


def _bottleneck_block(x, channels, *, stride, name):
    y = _conv(x, channels, 1, name=f"{name}_conv1")
    y = _batch_norm(y, name=f"{name}_bn1")
    y = layers.ReLU(name=f"{name}_relu1")(y)
    y = _conv(y, channels, 3, stride=stride, name=f"{name}_conv2")
    y = _batch_norm(y, name=f"{name}_bn2")
    y = layers.ReLU(name=f"{name}_relu2")(y)
    y = _conv(y, channels * _EXPANSION, 1, name=f"{name}_conv3")
    y = _batch_norm(y, name=f"{name}_bn3")
    return _add_shortcut(x, y, stride=stride, name=name)


def _add_shortcut(x, y, *, stride, name):
    """Add block input x to block output y, projected where their shapes differ."""
    if stride != 1 or x.shape[-1] != y.shape[-1]:
        x = _conv(x, y.shape[-1], 1, stride=stride, name=f"{name}_downsample_0")
        x = _batch_norm(x, name=f"{name}_downsample_1")
    return layers.ReLU(name=f"{name}_relu")(layers.Add(name=f"{name}_add")([y, x]))


def _conv(x, filters, kernel_size, *, stride=1, name):
    """Convolve with (kernel_size - 1) / 2 zeros on every side."""
    padding = "same"  # symmetric where the stride is 1
    if stride > 1:
        padding = "valid"
        if kernel_size > 1:
            x = layers.ZeroPadding2D((kernel_size - 1) // 2, name=f"{name}_pad")(x)
    return layers.Conv2D(
        filters,
        kernel_size,
        strides=stride,
        padding=padding,
        use_bias=False,
        kernel_initializer=tf.keras.initializers.VarianceScaling(
            scale=2.0, mode="fan_out", distribution="untruncated_normal"
        ),
        name=name,
    )(x)


def _batch_norm(x, *, name):
    return layers.BatchNormalization(**BATCH_NORM, name=name)(x)
