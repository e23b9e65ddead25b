"""Training images by which an int8 model chooses its ranges."""

from __future__ import annotations

import numpy as np

from daaf_tf import schema
from daaf_tf.config import Config
from daaf_tf.data.preprocess import decode_image, resize_image
from daaf_tf.data.records import RecordReader
from daaf_tf.data.stored_ids import read_image_record
from daaf_tf.data.views import compute_viewed_size
from daaf_tf.errors import UserError


def read_calibration(config: Config, count: int) -> list[np.ndarray]:
    """Read training images, spread evenly over the persons.

    Args:
      config: the run; data_dir and the image sizes are used.
      count: how many, 1 or more.

    Returns:
      [height, width, 3] float32 in 0..255 each, resized as in evaluation.

    Raises:
      UserError: records that are missing or corrupt, or none of training.
    """
    reader = RecordReader(config.data.data_dir, schema.TRAIN)
    if not reader.num_images:
        raise UserError(
            f"{config.data.data_dir}: the split {schema.TRAIN} holds no images, by which int8 "
            "could choose its ranges; name the training's records by --data_dir"
        )
    # Records of one person lie side by side.
    positions = np.unique(np.linspace(0, reader.num_images - 1, count).astype(int))
    size = compute_viewed_size(config)
    files = (read_image_record(reader, int(position)).encoded for position in positions)
    return [resize_image(decode_image(file), *size).numpy() for file in files]
