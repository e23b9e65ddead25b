"""Photometric augmentation: keras-cv changes the colours, by numbers that are drawn here.

keras-cv's layers draw from generators with a state of their own: what an image gets depends on how
many went before it, and a run that is resumed begins anew. But a layer's `augment_images` takes
what was drawn as an argument. So chance is drawn here, as plain numbers that belong to a seed and a
step, and keras-cv only does what they say.

Colours change before anything is resized: the black of the padding stays black, and a data set's
small pictures cost less than the network's input would.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from daaf_tf.data.sampling import PHOTOMETRIC, make_generator
from daaf_tf.imports import import_keras_cv
from daaf_tf.sections.data import COLOR_JITTER, NO_PHOTOMETRIC, RANDAUGMENT

# The strengths of FastReID's colour jitter; brightness and contrast are shares of the full range
# and of the contrast, hue is a share of the colour circle. keras-cv multiplies the saturation by
# t / (1 - t): 0.9 to 1.1.
_BRIGHTNESS, _CONTRAST, _HUE = 0.15, 0.15, 0.1
_SATURATION = (0.9 / 1.9, 1.1 / 2.1)

# RandAugment (Cubuk et al. 2020) with keras-cv's defaults.
_OPERATIONS_PER_IMAGE = 3
_RATE = 10 / 11
_MAGNITUDE, _MAGNITUDE_STDDEV = 0.5, 0.15
_LARGEST_ADDITION = 110

_VALUE_RANGE = (0, 255)


class Photometric:
    """Leave the colours as they are; what the others offer.

    Attributes:
      num_values: numbers drawn for each image.
    """

    # Nothing needs none, but tf.data's unbatch crashes on rows without an element.
    num_values = 1

    def draw(self, seed: int, step: int, count: int) -> np.ndarray:
        """Return what is to happen to each image of a training step, [count, num_values] float32.

        A function of its arguments alone.
        """
        values = self._draw(make_generator(seed, PHOTOMETRIC, step), count)
        return values.astype(np.float32)

    def _draw(self, random: np.random.Generator, count: int) -> np.ndarray:
        return np.zeros((count, self.num_values))

    def apply(self, image: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
        """Change an image's colours.

        Args:
          image: [H, W, 3] uint8 RGB.
          values: [num_values] float32, a row of what `draw` returned.

        Returns:
          [H, W, 3] float32 in 0..255; here, where nothing changes, the image itself.
        """
        return image


class ColorJitter(Photometric):
    """Brightness, contrast, saturation and hue of every image, each by a uniform amount."""

    num_values = 4

    def __init__(self):
        layers = import_keras_cv().layers
        # The strengths given here are never drawn from.
        self._brightness = layers.RandomBrightness(0.0, _VALUE_RANGE, **_layer_options())
        self._contrast = layers.RandomContrast(_VALUE_RANGE, 0.0, **_layer_options())
        self._saturation = layers.RandomSaturation(0.5, **_layer_options())
        self._hue = layers.RandomHue(0.0, _VALUE_RANGE, **_layer_options())

    def _draw(self, random: np.random.Generator, count: int) -> np.ndarray:
        return random.uniform(
            (-255 * _BRIGHTNESS, 1 - _CONTRAST, _SATURATION[0], -_HUE),
            (255 * _BRIGHTNESS, 1 + _CONTRAST, _SATURATION[1], _HUE),
            (count, self.num_values),
        )

    def apply(self, image: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
        """Change an image's colours, see `Photometric.apply`."""
        images = tf.cast(image, tf.float32)[None]
        images = self._brightness.augment_images(images, transformations=values[0])
        images = self._contrast.augment_images(images, transformations=values[1])
        images = self._saturation.augment_images(images, transformations=values[2:3])
        return self._hue.augment_images(images, transformations=values[3:4])[0]


class RandAugment(Photometric):
    """Three times one operation of RandAugment's photometric ones, or none.

    The distributions are those of `keras_cv.layers.RandAugment` without its geometric part.
    """

    # For each operation: its number, two magnitudes in 0..1, an amount in -0.5..0.5.
    num_values = 4 * _OPERATIONS_PER_IMAGE

    def __init__(self):
        layers = import_keras_cv().layers
        self._auto_contrast = layers.AutoContrast(_VALUE_RANGE, **_layer_options())
        # The one layer that needs AutoGraph, which the pipeline does without.
        self._equalize = tf.function(
            layers.Equalization(_VALUE_RANGE, **_layer_options()).augment_images
        )
        self._solarization = layers.Solarization(_VALUE_RANGE, **_layer_options())
        self._grayscale = layers.Grayscale(output_channels=3, **_layer_options())
        self._contrast = layers.RandomContrast(_VALUE_RANGE, 0.0, **_layer_options())
        self._brightness = layers.RandomBrightness(0.0, _VALUE_RANGE, **_layer_options())
        self._operations = (
            lambda images, values: self._auto_contrast.augment_images(images),
            lambda images, values: self._equalize(images),
            self._solarize,
            self._degenerate,
            lambda images, values: self._contrast.augment_images(
                images, transformations=1 + values[2]
            ),
            lambda images, values: self._brightness.augment_images(
                images, transformations=255 * values[2]
            ),
        )

    def _draw(self, random: np.random.Generator, count: int) -> np.ndarray:
        shape = (count, _OPERATIONS_PER_IMAGE)
        operations = random.integers(0, len(self._operations), shape)
        skipped = random.random(shape) >= _RATE
        magnitudes = random.normal(_MAGNITUDE, _MAGNITUDE_STDDEV, (*shape, 2)).clip(0, 1)
        amounts = random.uniform(-_MAGNITUDE, _MAGNITUDE, (*shape, 1))
        numbers = np.where(skipped, len(self._operations), operations)[..., None]
        return np.concatenate((numbers, magnitudes, amounts), axis=-1).reshape(count, -1)

    def apply(self, image: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
        """Change an image's colours, see `Photometric.apply`."""
        images = tf.cast(image, tf.float32)[None]
        for each in tf.split(values, _OPERATIONS_PER_IMAGE):
            images = self._operate(images, tf.cast(each[0], tf.int32), each[1:])
        return images[0]

    def _operate(self, images: tf.Tensor, number: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
        """Do the operation of a number; one beyond the last does nothing."""
        branches = [lambda op=op: op(images, values) for op in self._operations]
        result = tf.switch_case(number, [*branches, lambda: images])
        return tf.ensure_shape(result, images.shape)

    def _solarize(self, images: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
        amounts = {"additions": _LARGEST_ADDITION * values[0], "thresholds": 255 * (1 - values[1])}
        return self._solarization.augment_images(images, transformations=amounts)

    def _degenerate(self, images: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
        # RandomColorDegeneration itself cannot be made where TensorFlow is deterministic.
        return images + values[0] * (self._grayscale.augment_images(images) - images)


def make_photometric(name: str) -> Photometric:
    """Return the photometric augmentation of a name (DataConfig.photometric)."""
    kinds = {NO_PHOTOMETRIC: Photometric, COLOR_JITTER: ColorJitter, RANDAUGMENT: RandAugment}
    return kinds[name]()


def _layer_options() -> dict:
    # A layer without a seed asks for TensorFlow's global generator, which does not exist where
    # TensorFlow is deterministic; nothing is drawn from this one. Without a dtype it computes in
    # the training's, which may be bfloat16.
    return {"seed": 1, "dtype": "float32"}
