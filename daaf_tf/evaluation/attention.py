"""Images with what the attention branches of a network predict on them, for a report."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from daaf_tf import schema
from daaf_tf.config import Config
from daaf_tf.data.example import ImageRecord, parse_record
from daaf_tf.data.preprocess import preprocess_image
from daaf_tf.data.stored import parse_mask
from daaf_tf.errors import UserError
from daaf_tf.evaluation.image_sets import Reader
from daaf_tf.report import AttentionSample
from daaf_tf.training.pictures import compute_pixels

NUM_SAMPLES = 8


def make_samples(
    model: tf.keras.Model, config: Config, reader: Reader, positions: Sequence[int]
) -> list[AttentionSample]:
    """Predict masks and keypoints on up to eight images, evenly spaced among those given.

    Args:
      model: the whole network.
      config: its run; the size of the input is used.
      reader: who reads the images.
      positions: of the images, in the reader's order.

    Returns:
      Samples with the truth where the records have it; none for a model without branches.

    Raises:
      UserError: records that are corrupt or of another form.
    """
    if not {schema.MASK, schema.KEYPOINTS} & set(model.output):
        return []
    chosen = np.linspace(0, len(positions) - 1, min(NUM_SAMPLES, len(positions))).round()
    try:
        encoded = reader.read_many([positions[int(place)] for place in chosen])
        records = [parse_record(each)[0] for each in encoded]
        size = (config.data.image_height, config.data.image_width)
        images = np.stack([preprocess_image(each.encoded, *size).numpy() for each in records])
        outputs = {name: maps.numpy() for name, maps in model(images, training=False).items()}
        return [
            _make_sample(record, image, {name: maps[number] for name, maps in outputs.items()})
            for number, (record, image) in enumerate(zip(records, compute_pixels(images)))
        ]
    except ValueError as error:
        raise UserError(
            f"an image for the report is of another form than its records ({error}); convert the "
            "data set again"
        ) from error


def _make_sample(record: ImageRecord, image: np.ndarray, outputs: dict) -> AttentionSample:
    mask = None
    if record.mask is not None and schema.MASK in outputs:
        mask = parse_mask(record.mask, record.height, record.width)[..., np.newaxis]
    return AttentionSample(
        image=image,
        mask=outputs.get(schema.MASK),
        keypoints=outputs.get(schema.KEYPOINTS),
        true_mask=mask,
        true_joints=record.keypoints if schema.KEYPOINTS in outputs else None,
        caption=record.filename,
    )
