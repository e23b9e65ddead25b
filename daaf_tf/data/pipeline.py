"""Batches for training and evaluation, as one visible chain of tf.data each."""

from __future__ import annotations

import re
from typing import Callable

import numpy as np
import tensorflow as tf

from daaf_tf import schema
from daaf_tf.config import Config
from daaf_tf.data.augment import (
    Transformation,
    augment_image,
    augment_keypoints,
    augment_mask,
    draw_keypoints,
    draw_transformations,
)
from daaf_tf.data.closing import Calls
from daaf_tf.data.held_out import count_trained
from daaf_tf.data.photometric import make_photometric
from daaf_tf.data.preprocess import decode_image, preprocess_image
from daaf_tf.data.records import RecordReader, parse_example
from daaf_tf.data.sampling import BatchSampler
from daaf_tf.errors import UserError

# Around a UserError's message on its way through TensorFlow, which keeps only the text of an
# exception and puts more before and after.
_MARKS = ("<UserError>", "</UserError>")
# How TensorFlow reports an image that it cannot decode: the reason, and then the op.
_UNDECODABLE = re.compile(r"([^\n}]+)\n\s*\[\[.*\{\{node \S*Decode(?:Jpeg|Png)\}\}")

# AutoGraph rewrites Python's control flow over tensors. Here is none, and looking for it takes
# longer than all the rest from the start to the first batch.
_as_written = tf.autograph.experimental.do_not_convert

# Reads wait for the disk, so one may wait while another's records are decoded.
_PARALLEL_READS = 2

# What tf.data's threads have under way in Python.
_calls = Calls()


def make_train_batches(
    config: Config, step: int = 0, *, worker: int = 0, workers: int = 1, pieces: int = 1
) -> tf.data.Dataset:
    """Make the endless row of training batches from a step on.

    Element i is the batch of step `step + i` and depends on that number, the config and the records
    alone, bit for bit: wherever a run begins, each step sees the same batch.

    Args:
      config: `data`, and of `model` which branches there are and the size of their targets.
      step: the first step, 0 or more.
      worker: which of the `workers` reads, from 0; it gets, and reads, its share of each batch.
      workers: how many workers share a batch, each a contiguous part of it.
      pieces: how many elements make up a worker's share, e.g. one for each of its replicas.

    Returns:
      A dataset of dicts, B = P * K / (workers * pieces), ordered by identity (K images of one
      person in a row):
        image [B, H, W, 3] float32, RGB, normalised; person_id, label (0..N-1) and camera_id
        [B] int64; with HAB mask [B, h, w, 1] float32 in 0..1 and mask_presence [B] float32; with
        PAB keypoints [B, h, w, 17] float32 in 0..1 and keypoints_presence [B] float32. An image
        without the annotation has zeros and presence 0. Keypoints come from stored maps, or from
        coordinates where there are none.

    Raises:
      UserError: records that are missing or do not fit, or hold fewer identities than P. A record
        that proves corrupt when it is read raises a tf.errors.OpError while iterating: see
        `user_error`.
    """
    data = config.data
    reader = RecordReader(data.data_dir, schema.TRAIN)
    sampler = BatchSampler(
        reader.images_per_label[: count_trained(len(reader.images_per_label), data)],
        seed=data.seed,
        identities_per_batch=data.identities_per_batch,
        images_per_identity=data.images_per_identity,
    )
    photometric = make_photometric(data.photometric)
    count = config.batch_size
    if count % (workers * pieces):
        raise UserError(f"a batch of {count} images cannot be cut into {workers} x {pieces} parts")
    share = count // workers
    own = slice(worker * share, (worker + 1) * share)

    def read_step(step):
        # All chance is here, in numbers, and for the whole batch, so that it does not matter who
        # shares it; what follows is the same for every step.
        records = reader.read_many(sampler.positions(int(step))[own])
        colours = photometric.draw(data.seed, int(step), count)[own]
        transformations = draw_transformations(data, int(step), count)
        return [_as_strings(records), colours, *(values[own] for values in transformations)]

    read = _make_op(
        read_step,
        tf.TensorSpec([share], tf.string),
        tf.TensorSpec([share, photometric.num_values], tf.float32),
        tf.TensorSpec([share], tf.int32),
        tf.TensorSpec([share], tf.int32),
        tf.TensorSpec([share], tf.bool),
        tf.TensorSpec([share, 4], tf.int32),
    )

    @_as_written
    def parse(record, colours, *transformation):
        example = parse_example(record)
        image = photometric.apply(decode_image(example[schema.IMAGE_ENCODED]), colours)
        return _augment(image, example, Transformation(*transformation), config)

    return (
        tf.data.Dataset.counter(start=step)
        # A step's records at a time: what is waiting is encoded, and so small.
        .map(read, num_parallel_calls=_PARALLEL_READS)
        # Then image by image, so that all cores work on the batch that is wanted next.
        .unbatch()
        .map(parse, num_parallel_calls=tf.data.AUTOTUNE)
        .batch(share // pieces, drop_remainder=True)
        # Last, so that whole batches are ready when the training step asks.
        .prefetch(tf.data.AUTOTUNE)
        .with_options(_make_options())
    )


def make_eval_batches(
    config: Config,
    split: str,
    size: tuple[int, int] | None = None,
    *,
    positions: np.ndarray | None = None,
) -> tf.data.Dataset:
    """Make the batches of a split in record order, without augmentation.

    Args:
      config: data_dir, image size and eval_batch_size are used.
      split: one of schema.SPLITS.
      size: height and width of the images in pixels; None: those of the network's input.
      positions: [N] int, which records, in this order; None: every one in record order.

    Returns:
      A finite dataset of dicts, B = eval_batch_size and fewer in the last: image [B, H, W, 3]
      float32, RGB, normalised; person_id, label and camera_id [B] int64; filename [B] string.

    Raises:
      UserError: records that are missing or do not fit, or a split without images. While
        iterating, as `make_train_batches`.
    """
    reader = RecordReader(config.data.data_dir, split)
    if not reader.num_images:
        raise UserError(f"{config.data.data_dir}: the split {split} holds no images")
    read = _make_op(
        lambda positions: [_as_strings(reader.read_many(positions))],
        tf.TensorSpec([None], tf.string),
    )
    size = size or (config.data.image_height, config.data.image_width)
    if positions is None:
        positions = np.arange(reader.num_images)

    @_as_written
    def parse(record):
        example = parse_example(record)
        return {
            schema.IMAGE: preprocess_image(example[schema.IMAGE_ENCODED], *size),
            schema.FILENAME: example[schema.IMAGE_FILENAME],
            **_parse_ids(example),
        }

    return (
        tf.data.Dataset.from_tensor_slices(np.asarray(positions, np.int64))
        .batch(config.eval.eval_batch_size)
        .map(read, num_parallel_calls=_PARALLEL_READS)
        .unbatch()
        .map(parse, num_parallel_calls=tf.data.AUTOTUNE)
        .batch(config.eval.eval_batch_size)
        .prefetch(tf.data.AUTOTUNE)
        .with_options(_make_options())
    )


def user_error(error: tf.errors.OpError) -> UserError | None:
    """Return the UserError behind an error of these datasets, or None if there is none.

    TensorFlow turns an exception raised inside tf.data into an error of its own, with the first
    one's message somewhere inside. A program that iterates, or fits, catches tf.errors.OpError and
    raises what this finds in it.

    Args:
      error: what iterating, or `fit`, raised.
    """
    message = error.message or ""
    found = re.search("(.*?)".join(_MARKS), message, re.DOTALL)
    if found:
        return UserError(found[1])
    found = _UNDECODABLE.search(message)
    if found:
        return UserError(
            "an image or an annotation in the records cannot be decoded "
            f"({found[1].strip()}); convert the data set again"
        )
    return None


def _make_op(function: Callable, *outputs: tf.TensorSpec) -> Callable:
    """Return a numpy function as an op; its results may depend on nothing but its argument."""

    def guarded(argument):
        try:
            with _calls:
                return function(argument)
        except UserError as error:
            raise RuntimeError(str(error).join(_MARKS)) from None

    @_as_written
    def op(argument):
        types = [output.dtype for output in outputs]
        values = tf.numpy_function(guarded, [argument], types, stateful=False)
        return tuple(tf.ensure_shape(value, spec.shape) for value, spec in zip(values, outputs))

    return op


def _as_strings(records: list[bytes]) -> np.ndarray:
    # As numpy's own strings they would lose the zero bytes at their end.
    return np.array(records, dtype=object)


def _augment(
    image: tf.Tensor,
    example: dict[str, tf.Tensor],
    transformation: Transformation,
    config: Config,
) -> dict[str, tf.Tensor]:
    """Augment an image, and the annotations that the model's branches learn from."""
    result = {
        schema.IMAGE: augment_image(image, transformation, config.data),
        **_parse_ids(example),
    }
    how = (transformation, config.data, config.target_size)
    if config.model.hab:
        result[schema.MASK], result[schema.MASK_PRESENCE] = _parse_target(
            example[schema.MASK_ENCODED],
            lambda encoded: augment_mask(tf.io.decode_png(encoded, channels=1), *how),
            [*config.target_size, 1],
        )
    if config.model.pab:
        result[schema.KEYPOINTS], result[schema.KEYPOINTS_PRESENCE] = _parse_keypoints(example, how)
    return result


def _parse_ids(example: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    return {
        schema.PERSON_ID: example[schema.PERSON_ID_FEATURE],
        schema.LABEL: example[schema.CLASS_LABEL],
        schema.CAMERA_ID: example[schema.CAMERA_ID_FEATURE],
    }


def _parse_target(
    encoded: tf.Tensor, parse: Callable[[tf.Tensor], tf.Tensor], shape: list[int]
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the target of an annotation and presence 1, or zeros and 0 where it is absent."""
    present = tf.strings.length(encoded) > 0
    target = tf.cond(present, lambda: parse(encoded), lambda: tf.zeros(shape))
    return target, tf.cast(present, tf.float32)


def _parse_keypoints(example: dict[str, tf.Tensor], how: tuple) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the keypoint target and its presence: from stored maps, else from coordinates."""
    encoded = example[schema.HEATMAPS_ENCODED]
    names = (schema.KEYPOINT_X, schema.KEYPOINT_Y, schema.KEYPOINT_VISIBILITY)
    joints = tf.stack([example[name] for name in names], axis=-1)
    stored = tf.strings.length(encoded) > 0
    # Absent coordinates are -1, and so hidden: zeros are drawn.
    target = tf.cond(
        stored,
        lambda: augment_keypoints(_decode_maps(encoded), *how),
        lambda: draw_keypoints(joints, *how),
    )
    return target, tf.cast(stored | (joints[0, 2] >= 0), tf.float32)


def _decode_maps(encoded: tf.Tensor) -> tf.Tensor:
    """Decode a PNG of 17 maps stacked top to bottom, to [17, H, W] uint8."""
    stacked = tf.io.decode_png(encoded, channels=1)
    return tf.reshape(stacked, [schema.NUM_JOINTS, -1, tf.shape(stacked)[1]])


def _make_options() -> tf.data.Options:
    options = tf.data.Options()
    options.deterministic = True
    # Every worker makes the global batch by itself and takes its share of it: there are no files to
    # share out, and a share of the steps would be other batches.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return options
