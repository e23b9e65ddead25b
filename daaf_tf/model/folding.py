"""A decoder's end at a third less cost: last deconvolution, batch norm and 1x1 in one linear map.

Nothing bends between the three, so that together they are one deconvolution, from `channels` to the
few maps that are predicted: the batch norm multiplies the 1x1's kernel by gamma / deviation, and
the two kernels multiply. Only the batch norm's statistics seem to need what the last deconvolution
makes, `channels` maps of four times as many pixels, by far the largest of the network. But a pixel
of these is linear in a 2x2 patch of the input, so that its mean and mean square follow from the
patches' first and second moments, which are as many numbers as a kernel has.

Function, weights and gradients are those of the three layers; a test holds them against each other.
The variance is a mean square less a squared mean: it is precise as long as no channel's mean is
hundreds of times its deviation.
"""

from __future__ import annotations

import tensorflow as tf

from daaf_tf.model.resnet import BATCH_NORM

layers = tf.keras.layers


@tf.keras.utils.register_keras_serializable("daaf_tf")
class FoldedPrediction(layers.Layer):
    """Deconvolution with stride 2, batch norm and 1x1 convolution: [B, h, w, C] to maps.

    Attributes:
      deconv: the deconvolution; like `norm` and `conv` it holds the weights and is never called.
      norm: the batch norm.
      conv: the 1x1 convolution.
    """

    def __init__(
        self,
        num_maps,
        *,
        channels,
        kernel_size,
        kernel_initializer,
        bias_initializer,
        synchronized=False,
        **kwargs,
    ):
        """Make the three layers.

        Args:
          num_maps: maps that are predicted.
          channels: channels between deconvolution and 1x1 convolution.
          kernel_size: that of the deconvolution, 2 or 3.
          kernel_initializer: of the 1x1 convolution.
          bias_initializer: of the 1x1 convolution.
          synchronized: whether the statistics are those of all replicas' shares.
          **kwargs: Keras' own.
        """
        super().__init__(**kwargs)
        self.synchronized = synchronized
        # In float32, so that the kernels are multiplied before they are rounded.
        self.deconv = layers.Conv2DTranspose(
            channels,
            kernel_size,
            strides=2,
            padding="same",
            use_bias=False,
            dtype="float32",
            name="deconv",
        )
        self.norm = layers.BatchNormalization(
            **BATCH_NORM, synchronized=synchronized, dtype="float32", name="norm"
        )
        self.conv = layers.Conv2D(
            num_maps,
            1,
            kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer,
            dtype="float32",
            name="conv",
        )

    def build(self, input_shape):
        """Make the three layers' weights."""
        between = (*input_shape[:-1], self.deconv.filters)
        for layer, shape in (
            (self.deconv, input_shape),
            (self.norm, between),
            (self.conv, between),
        ):
            with tf.name_scope(layer.name):
                layer.build(shape)
        super().build(input_shape)

    def call(self, inputs, training=None):
        """Return [B, 2 h, 2 w, num_maps] float32."""
        if training and self.trainable:
            mean, variance = self._statistics(inputs)
        else:
            mean, variance = self.norm.moving_mean, self.norm.moving_variance
        scale = self.norm.gamma * tf.math.rsqrt(variance + self.norm.epsilon)
        maps_kernel = self.conv.kernel[0, 0]
        kernel = tf.einsum("yxci,cm->yxmi", self.deconv.kernel, scale[:, None] * maps_kernel)
        shift = tf.linalg.matvec(maps_kernel, self.norm.beta - mean * scale, transpose_a=True)
        batch, height, width = tf.shape(inputs)[0], inputs.shape[1], inputs.shape[2]
        maps = tf.nn.conv2d_transpose(
            inputs,
            tf.cast(kernel, inputs.dtype),
            (batch, 2 * height, 2 * width, self.conv.filters),
            strides=2,
            padding="SAME",
        )
        return tf.cast(maps, tf.float32) + self.conv.bias + shift

    def _statistics(self, inputs):
        """Return the batch norm's mean and variance of each channel, and move its averages."""
        mean, square = compute_deconv_moments(inputs, self.deconv.kernel)
        replica = tf.distribute.get_replica_context()
        if self.synchronized and replica is not None:
            both = tf.stack([mean, square])
            mean, square = tf.unstack(replica.all_reduce(tf.distribute.ReduceOp.MEAN, both))
        # Rounding, in bfloat16 above all, must not make it negative.
        variance = tf.maximum(square - mean**2, 0.0)
        # As Keras has it: unbiased, but where it is synchronised.
        pixels = _count_output_pixels(inputs)
        unbiased = variance if self.synchronized else variance * pixels / (pixels - 1.0)
        momentum = self.norm.momentum
        for average, value in (
            (self.norm.moving_mean, mean),
            (self.norm.moving_variance, unbiased),
        ):
            average.assign(momentum * average + (1 - momentum) * value)
        return mean, variance

    def get_config(self):
        """Return what makes an equal layer."""
        serialize = tf.keras.initializers.serialize
        return {
            **super().get_config(),
            "num_maps": self.conv.filters,
            "channels": self.deconv.filters,
            "kernel_size": self.deconv.kernel_size[0],
            "kernel_initializer": serialize(self.conv.kernel_initializer),
            "bias_initializer": serialize(self.conv.bias_initializer),
            "synchronized": self.synchronized,
        }


def compute_deconv_moments(x, kernel):
    """Compute mean and mean square of a deconvolution's channels without the deconvolution.

    Args:
      x: [B, h, w, C] float.
      kernel: [k, k, D, C] float32 of a deconvolution with stride 2 and "same" padding, k = 2 or 3.

    Returns:
      Two [D] float32: over all pixels of `tf.nn.conv2d_transpose(x, kernel, ...)`.
    """
    size, outputs, inputs = kernel.shape[0], kernel.shape[2], kernel.shape[3]
    # Pixel 2 i + p of the output (p = 0 or 1) is made of input i - s by the kernel's tap 2 s + p;
    # a tap that the kernel does not have is 0. So [s, p, s, p, D, C], rows then columns.
    taps = tf.pad(kernel, [[0, 4 - size], [0, 4 - size], [0, 0], [0, 0]])
    taps = tf.transpose(tf.reshape(taps, [2, 2, 2, 2, outputs, inputs]), [0, 2, 5, 1, 3, 4])
    taps = tf.reshape(taps, [4 * inputs, 4 * outputs])
    first, second = _compute_patch_moments(x)
    sums = tf.linalg.matvec(taps, first, transpose_a=True)
    squares = tf.reduce_sum(taps * tf.matmul(second, taps), axis=0)
    pixels = _count_output_pixels(x)
    # The four kinds of pixels (p of row and column) are one channel.
    mean, square = (
        tf.reduce_sum(tf.reshape(values, [4, outputs]), axis=0) / pixels
        for values in (sums, squares)
    )
    return mean, square


def _count_output_pixels(x):
    """Return how many pixels a deconvolution with stride 2 makes of [B, h, w, C], as float32."""
    return tf.cast(tf.shape(x)[0], tf.float32) * (4 * x.shape[1] * x.shape[2])


def _compute_patch_moments(x):
    """Compute the sums of all 2x2 patches of [B, h, w, C], and of their outer products.

    A patch is a pixel, its left neighbour, the one above it, and the one above that neighbour, with
    0 beyond the edge: 4 C numbers. Returns [4 C] and the symmetric [4 C, 4 C], float32.
    """
    # float16 could not hold the sums.
    wide = tf.cast(x, tf.float32) if x.dtype == tf.float16 else x
    channels = x.shape[-1]
    # A kernel's gradient is the correlation of input and output: with x as both, that of each pixel
    # with its neighbours. Of the neighbours these 2x3 are needed: this row's and the next row's.
    correlation = tf.raw_ops.Conv2DBackpropFilter(
        input=wide,
        filter_sizes=[2, 3, channels, channels],
        out_backprop=wide,
        strides=[1, 1, 1, 1],
        padding="SAME",
    )
    correlation = tf.cast(correlation, tf.float32)
    (_, own, beside), (across, below, diagonal) = map(tf.unstack, tf.unstack(correlation))
    # No patch has the last row as its upper, or the last column as its left pixels.
    row, column, corner = (
        tf.cast(edge, tf.float32) for edge in (x[:, -1], x[:, :, -1], x[:, -1:, -1])
    )
    row_own, column_own, corner_own = (_correlate(edge, edge) for edge in (row, column, corner))
    upper_beside = beside - _correlate(row[:, 1:], row[:, :-1])
    left_below = below - _correlate(column[:, 1:], column[:, :-1])
    t = tf.transpose
    blocks = [
        [own, beside, below, diagonal],
        [t(beside), own - column_own, across, left_below],
        [t(below), t(across), own - row_own, upper_beside],
        [t(diagonal), t(left_below), t(upper_beside), own - row_own - column_own + corner_own],
    ]
    second = tf.concat([tf.concat(line, axis=1) for line in blocks], axis=0)
    total, row, column, corner = (
        tf.reduce_sum(tf.reshape(tf.cast(part, tf.float32), [-1, channels]), axis=0)
        for part in (x, row, column, corner)
    )
    first = tf.concat([total, total - column, total - row, total - row - column + corner], axis=0)
    return first, second


def _correlate(left, right):
    """Sum the outer products of two [..., C]."""
    flat = [tf.reshape(side, [-1, side.shape[-1]]) for side in (left, right)]
    return tf.matmul(*flat, transpose_a=True)
