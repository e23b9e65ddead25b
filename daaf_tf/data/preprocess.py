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
    """
    return normalize_image(resize_image(images, height, width))
