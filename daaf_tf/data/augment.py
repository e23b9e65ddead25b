"""Augmentation of an image together with its mask and keypoint maps.

Chance and geometry are kept apart. `draw_transformations` draws, for all images of a batch, what
is to happen to them, as plain numbers; the `augment_` functions do it, without any chance of their
own.

One geometry holds for all three: resize the image, pad it with black, cut out a box of the
network's input size, flip it from left to right. Mask and maps have sizes of their own and go from
there to the branches' output size in one step, so that a crop offset of one image pixel moves a
target of half the resolution by half a pixel. Joints that are known by their coordinates alone are
drawn where the maps would have had them. A flip also swaps the left and right joints.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from daaf_tf import schema
from daaf_tf.data.preprocess import normalize_image, resize_image
from daaf_tf.data.sampling import AUGMENTATION, make_generator
from daaf_tf.sections.data import DataConfig

# The height and width of a map in whose pixels `keypoint_sigma` is given.
_SIGMA_SIZE = (256, 128)

# Boxes drawn until one fits into the image. The original tries 100 times; of the recipes' boxes 5 %
# do not fit a 256x128 image, so all ten fail once in 10^13 images.
_ERASING_TRIES = 10


class Transformation(NamedTuple):
    """What happens to an image: arrays [B] of a batch, or scalar tensors of one image.

    Attributes:
      top: int32, upper edge of the crop in the resized and padded image, pixels.
      left: int32, left edge of the crop, pixels.
      flipped: bool, whether left and right change places.
      erased: int32 [..., 4], top, left, bottom, right of the box to erase in the result, pixels;
        four zeros where nothing is erased.
    """

    top: Any
    left: Any
    flipped: Any
    erased: Any


def draw_transformations(data: DataConfig, step: int, count: int) -> Transformation:
    """Draw what happens to each image of a training step.

    Args:
      data: seed, sizes, padding and probabilities.
      step: the training step.
      count: images in the batch.

    Returns:
      A Transformation of numpy arrays; number i depends on seed, step and i alone.
    """
    random = make_generator(data.seed, AUGMENTATION, step).random((count, 4 + 4 * _ERASING_TRIES))
    room = [
        resized + 2 * data.padding - cropped
        for resized, cropped in zip(_resized_size(data), _image_size(data))
    ]
    return Transformation(
        top=_draw_integers(random[:, 0], room[0]),
        left=_draw_integers(random[:, 1], room[1]),
        flipped=random[:, 2] < data.flip_probability,
        erased=_draw_erased(data, random[:, 3], random[:, 4:].reshape(count, -1, 4)),
    )


def _draw_integers(random: np.ndarray, largest: Any) -> np.ndarray:
    """Turn random numbers in [0, 1) into whole numbers 0..largest."""
    return np.floor(random * (largest + 1)).astype(np.int32)


def _draw_erased(data: DataConfig, chosen: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Return the box to erase of each image, [B, 4] int32.

    Random erasing (Zhong et al. 2020) as Bag of Tricks does it: area and aspect are uniform, and
    the first box is taken that is smaller than the image both ways.

    Args:
      data: sizes, probability, areas and aspects.
      chosen: [B] random numbers, whether to erase.
      boxes: [B, tries, 4] random numbers: area, aspect, vertical and horizontal place.
    """
    height, width = _image_size(data)
    least, most = data.erasing_min_area, data.erasing_max_area
    area = height * width * (least + (most - least) * boxes[..., 0])
    narrow, wide = data.erasing_min_aspect, 1 / data.erasing_min_aspect
    aspect = narrow + (wide - narrow) * boxes[..., 1]
    box_height, box_width = np.rint(np.sqrt(area * aspect)), np.rint(np.sqrt(area / aspect))
    fits = (box_height < height) & (box_width < width)
    top = _draw_integers(boxes[..., 2], height - box_height)
    left = _draw_integers(boxes[..., 3], width - box_width)
    edges = np.stack((top, left, top + box_height, left + box_width), axis=-1).astype(np.int32)
    first = edges[np.arange(len(edges)), fits.argmax(axis=1)]
    erased = (chosen < data.erasing_probability) & fits.any(axis=1)
    return np.where(erased[:, None], first, 0)


def augment_image(image: tf.Tensor, transformation: Transformation, data: DataConfig) -> tf.Tensor:
    """Turn a decoded image into the network's input, augmented.

    With nothing drawn (no crop, flip or erasing) it equals `preprocess.preprocess_image`.

    Args:
      image: [H, W, 3] uint8 RGB.
      transformation: scalar tensors of this image.
      data: sizes, padding and probabilities.

    Returns:
      [image_height, image_width, 3] float32, normalised; the erased box is 0, the mean colour.
    """
    size = _image_size(data)
    image = resize_image(image, *_resized_size(data))
    if data.padding:
        image = tf.pad(image, [[data.padding, data.padding], [data.padding, data.padding], [0, 0]])
    image = tf.slice(image, [transformation.top, transformation.left, 0], [*size, 3])
    image = normalize_image(_flip(image, transformation.flipped))
    return _erase(image, transformation.erased) if data.erasing_probability else image


def augment_mask(
    mask: tf.Tensor, transformation: Transformation, data: DataConfig, target_size: tuple[int, int]
) -> tf.Tensor:
    """Turn a decoded mask into a target of the mask branch, as the image was turned.

    Args:
      mask: [H, W, 1] uint8, 0 background to 255 person, over the same area as the image.
      transformation: scalar tensors of this image.
      data: sizes and padding.
      target_size: height and width of the target in pixels.

    Returns:
      [h, w, 1] float32 in 0..1; 0 outside the image.
    """
    return _flip(_place(mask, transformation, data, target_size), transformation.flipped)


def augment_keypoints(
    maps: tf.Tensor, transformation: Transformation, data: DataConfig, target_size: tuple[int, int]
) -> tf.Tensor:
    """Turn decoded keypoint maps into targets of the keypoint branch, as the image was turned.

    Args:
      maps: [17, H, W] uint8, 255 at a joint, over the same area as the image.
      transformation: scalar tensors of this image.
      data: sizes and padding.
      target_size: height and width of the targets in pixels.

    Returns:
      [h, w, 17] float32 in 0..1; 0 outside the image. In a flipped image channel j still is joint
      j: what was the left wrist is now the right one, and in its channel.
    """
    # Whole maps change places while they still lie one after the other: as channels of the result
    # they would take twenty times as long.
    maps = tf.transpose(tf.gather(maps, _joint_order(transformation)), [1, 2, 0])
    return _flip(_place(maps, transformation, data, target_size), transformation.flipped)


def draw_keypoints(
    joints: tf.Tensor,
    transformation: Transformation,
    data: DataConfig,
    target_size: tuple[int, int],
) -> tf.Tensor:
    """Draw targets of the keypoint branch from coordinates, moved as the image was turned.

    They are what `augment_keypoints` makes of maps with a Gaussian at each joint, as high as the
    joint's visibility. Like a stored map, a Gaussian ends where the image ends.

    Args:
      joints: [17, 3] float32, x and y in 0..1 of the image's width and height, and visibility;
        a joint of visibility 0 or less is hidden.
      transformation: scalar tensors of this image.
      data: sizes, padding and sigma.
      target_size: height and width of the targets in pixels.

    Returns:
      [h, w, 17] float32 in 0..1, all 0 for a hidden joint. Left and right as in
      `augment_keypoints`.
    """
    scale, shift = _compute_geometry(transformation, data, target_size)
    joints = tf.gather(joints, _joint_order(transformation))
    height, width = (
        _draw_line(
            joints[:, 1 - axis] * scale[axis] + shift[axis],
            sigma=data.keypoint_sigma / _SIGMA_SIZE[axis] * scale[axis],
            border=(shift[axis], shift[axis] + scale[axis]),
            length=target_size[axis],
        )
        for axis in (0, 1)
    )
    peaks = tf.clip_by_value(joints[:, 2], 0, 1)
    maps = (height * peaks)[:, None] * width[None]
    return _flip(maps, transformation.flipped)


def _draw_line(
    centre: tf.Tensor, *, sigma: tf.Tensor, border: tuple[tf.Tensor, tf.Tensor], length: int
) -> tf.Tensor:
    """Return Gaussians over a line of pixels, [length, J]; 0 where the image does not reach."""
    pixels = tf.range(length, dtype=tf.float32)[:, None] + 0.5
    inside = (pixels >= border[0]) & (pixels <= border[1])
    return tf.where(inside, tf.exp(-0.5 * ((pixels - centre) / sigma) ** 2), 0)


def _joint_order(transformation: Transformation) -> tf.Tensor:
    """Return which joint goes into each channel."""
    return tf.where(transformation.flipped, schema.FLIP_PERMUTATION, tf.range(schema.NUM_JOINTS))


def _image_size(data: DataConfig) -> tuple[int, int]:
    return data.image_height, data.image_width


def _resized_size(data: DataConfig) -> tuple[int, int]:
    return data.resize_height or data.image_height, data.resize_width or data.image_width


def _flip(image: tf.Tensor, flipped: tf.Tensor) -> tf.Tensor:
    return tf.cond(flipped, lambda: tf.reverse(image, [1]), lambda: image)


def _erase(image: tf.Tensor, box: tf.Tensor) -> tf.Tensor:
    """Set the pixels inside a box (top, left, bottom, right) to 0."""
    height, width, channels = image.shape
    rows, columns = tf.range(height)[:, None], tf.repeat(tf.range(width), channels)[None]
    inside = (rows >= box[0]) & (rows < box[2]) & (columns >= box[1]) & (columns < box[3])
    kept = tf.where(inside, 0.0, tf.reshape(image, [height, width * channels]))
    return tf.reshape(kept, image.shape)


def _place(
    annotation: tf.Tensor,
    transformation: Transformation,
    data: DataConfig,
    target_size: tuple[int, int],
) -> tf.Tensor:
    """Resize, pad and crop an annotation in one interpolation: [H, W, C] uint8 to [h, w, C]."""
    scale, shift = _compute_geometry(transformation, data, target_size)
    placed = tf.raw_ops.ScaleAndTranslate(
        images=annotation[None],
        size=target_size,
        scale=scale / tf.cast(tf.shape(annotation)[:2], tf.float32),
        translation=shift,
        kernel_type="triangle",
        antialias=True,
    )
    # The interpolation's weights add up to 1 but for rounding.
    return tf.minimum(placed[0] / 255, 1)


def _compute_geometry(
    transformation: Transformation, data: DataConfig, target_size: tuple[int, int]
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return scale and shift, [2] each (vertical, horizontal), from image to target, before a flip.

    A point at y, in 0..1 of the image, is at y * resized in the resized image, at that plus padding
    minus top in the crop, and at that times h / image_height in the target; pixel i covers i..i+1.
    """
    resized = tf.constant(_resized_size(data), tf.float32)
    reduction = tf.constant(target_size, tf.float32) / tf.constant(_image_size(data), tf.float32)
    offset = data.padding - tf.stack([transformation.top, transformation.left])
    return resized * reduction, tf.cast(offset, tf.float32) * reduction
