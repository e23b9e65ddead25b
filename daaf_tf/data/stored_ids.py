"""Whose pictures the records hold: reading the ids alone, without decoding an image."""

from __future__ import annotations

import os

import numpy as np

from daaf_tf.data.example import ImageRecord, parse_record
from daaf_tf.data.records import RecordReader
from daaf_tf.errors import UserError


def read_image_record(reader: RecordReader, position: int) -> ImageRecord:
    """Return the ImageRecord at a position of a split.

    Raises:
      UserError: the record is damaged or of another form.
    """
    try:
        return parse_record(reader.read(position))[0]
    except ValueError as error:
        raise UserError(
            f"{reader.name}: record {position} is of another form ({error}); convert the data set "
            "again"
        ) from None


def read_person_ids(data_dir: str | os.PathLike, split: str) -> np.ndarray:
    """Return the person ids of a split, [N] int64, in record order.

    Raises:
      UserError: records that are missing, do not fit or are corrupt.
    """
    reader = RecordReader(data_dir, split)
    ids = [read_image_record(reader, n).person_id for n in range(reader.num_images)]
    return np.array(ids, np.int64)
