"""From an image file to the network's input: one way for training, evaluation and serving."""

from __future__ import annotations

import tensorflow as tf

from daaf_tf import schema


def decode_image(encoded: tf.Tensor) -> tf.Tensor:
    """Decode a JPEG or PNG file to RGB.

    Args:
      encoded: string [], the file's bytes; grey and palette images become RGB.

    Returns:
      [height, width, 3] uint8, for a JPEG the very pixels that Pillow gives.

    Raises:
      tf.errors.InvalidArgumentError: the bytes are no image, or a damaged one.
    """
    # The default method is up to 5 levels off. In spite of its name, the op decodes PNG too.
    image = tf.io.decode_jpeg(encoded, channels=3, dct_method="INTEGER_ACCURATE")
    return tf.ensure_shape(image, [None, None, 3])


def resize_image(image: tf.Tensor, height: int, width: int) -> tf.Tensor:
    """Resize by bilinear interpolation with antialiasing, as Pillow does.

    Args:
      image: [H, W, 3] or [B, H, W, 3], uint8 or float32 in 0..255.
      height: of the result in pixels.
      width: of the result in pixels.

    Returns:
      [height, width, 3] or [B, height, width, 3] float32 in 0..255, not rounded.
    """
    size = (height, width)
    # Where nothing shrinks there is nothing to antialias: the same values in a third of the time.
    return tf.cond(
        tf.reduce_all(tf.shape(image)[-3:-1] <= size),
        lambda: tf.image.resize(image, size),
        lambda: tf.image.resize(image, size, antialias=True),
    )


def normalize_image(image: tf.Tensor) -> tf.Tensor:
    """Return RGB in 0..1 minus the ImageNet mean, over the standard deviation.

    Args:
      image: [..., W, 3] float32 in 0..255.

    Returns:
      The same shape, float32.
    """
    # A whole row of factors at once: broadcasting along an axis of 3 takes five times as long.
    width = tf.shape(image)[-2]
    scale = tf.tile([1 / (255 * std) for std in schema.IMAGE_STD], [width])
    shift = tf.tile([m / std for m, std in zip(schema.IMAGE_MEAN, schema.IMAGE_STD)], [width])
    rows = tf.reshape(image, [-1, 3 * width]) * scale - shift
    return tf.ensure_shape(tf.reshape(rows, tf.shape(image)), image.shape)


def preprocess_image(encoded: tf.Tensor, height: int, width: int) -> tf.Tensor:
    """Turn an image file into the network's input.

    Args:
      encoded: string [], JPEG or PNG.
      height: of the network's input in pixels.
      width: of the network's input in pixels.

    Returns:
      [height, width, 3] float32, normalised.

    Raises:
      tf.errors.InvalidArgumentError: the bytes are no image, or a damaged one.
    """
    return normalize_image(resize_image(decode_image(encoded), height, width))


def preprocess_pixels(images: tf.Tensor, height: int, width: int) -> tf.Tensor:
    """Turn decoded images into the network's input, as `preprocess_image` does with files.

    Args:
      images: [B, H, W, 3] uint8 RGB of any one size.
      height: of the network's input in pixels.
      width: of the network's input in pixels.

    Returns:
      [B, height, width, 3] float32, normalised.

    Raises:
      tf.errors.InvalidArgumentError: H or W is 0.
    """
    shape, size = tf.shape(images), (height, width)
    tf.debugging.Assert(tf.reduce_all(shape[1:3] > 0), ["expected images with pixels"])
    # Images of that size are not resized. A condition would say so more plainly, but OpenVINO
    # computes the branch of its first request for ever: so a batch is cut in two, one part empty.
    fitting = shape[0] * tf.cast(tf.reduce_all(tf.equal(shape[1:3], size)), tf.int32)
    as_they_are = tf.reshape(tf.cast(images[:fitting], tf.float32), [fitting, *size, 3])
    resized = _resize_by_products(images[fitting:], height, width)
    return normalize_image(tf.concat([as_they_are, resized], axis=0))


def _resize_by_products(images: tf.Tensor, height: int, width: int) -> tf.Tensor:
    """Do what `resize_image` does by two matrix products, to the rounding of float32.

    The op that resizes with antialiasing is TensorFlow's own: neither ONNX nor OpenVINO has it.
    """
    rows = _make_resize_matrix(tf.shape(images)[1], height)
    columns = _make_resize_matrix(tf.shape(images)[2], width)
    narrowed = tf.einsum("wx,byxc->bywc", columns, tf.cast(images, tf.float32))
    return tf.einsum("hy,bywc->bhwc", rows, narrowed)


def _make_resize_matrix(length: tf.Tensor, resized: int) -> tf.Tensor:
    """Return the weights [resized, length] float32 of the old pixels in each new one.

    A triangle around the new pixel's place, as wide as a new pixel where these are the larger ones
    (antialiasing), else as an old one; what reaches beyond the edge is left out.
    """
    scale = tf.cast(length, tf.float32) / resized
    places = (tf.range(resized, dtype=tf.float32) + 0.5) * scale
    distances = tf.range(tf.cast(length, tf.float32)) + 0.5 - places[:, None]
    weights = tf.maximum(0.0, 1.0 - tf.abs(distances) / tf.maximum(scale, 1.0))
    return weights / tf.reduce_sum(weights, axis=1, keepdims=True)
