"""The training identities that are held out: nothing is learned from them.

Only training images have both masks and heat maps in the published sets, so what the branches have
learned can be measured on other people than they learned it from only if some are held out.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterator

import numpy as np
from PIL import Image

from daaf_tf import schema
from daaf_tf.config import Config
from daaf_tf.data.augment import Transformation, augment_mask
from daaf_tf.data.example import ImageRecord
from daaf_tf.data.preprocess import preprocess_image
from daaf_tf.data.records import RecordReader
from daaf_tf.data.stored_ids import read_image_record
from daaf_tf.sections.data import DataConfig

_AS_IT_IS = Transformation(top=0, left=0, flipped=False, erased=(0, 0, 0, 0))


@dataclasses.dataclass(frozen=True)
class HeldOut:
    """A batch of images with the truth about their people, B images of record order.

    Attributes:
      images: [B, H, W, 3] float32, RGB, normalised, as in evaluation.
      masks: [B, h, w] bool, (h, w) = config.target_size; True on the person.
      has_mask: [B] bool; where it is False the mask is all False.
      joints: [B, 17, 3] float32, x and y in 0..1 of the image's width and height, and visibility;
        zeros where the image has none.
    """

    images: np.ndarray
    masks: np.ndarray
    has_mask: np.ndarray
    joints: np.ndarray


def count_trained(num_identities: int, data: DataConfig) -> int:
    """Return how many identities of the training records are trained on: the first so many."""
    return max(0, num_identities - data.held_out_identities)


def read_held_out(config: Config) -> Iterator[HeldOut]:
    """Read the images of the held-out identities, without augmentation, in batches.

    Args:
      config: data_dir, held_out_identities, image size, target_size and eval_batch_size are used.

    Yields:
      Batches of eval_batch_size images and fewer in the last.

    Raises:
      UserError: records that are missing, do not fit or are corrupt.
    """
    reader = RecordReader(config.data.data_dir, schema.TRAIN)
    trained = count_trained(len(reader.images_per_label), config.data)
    first, size = int(reader.images_per_label[:trained].sum()), config.eval.eval_batch_size
    for start in range(first, reader.num_images, size):
        positions = range(start, min(start + size, reader.num_images))
        yield _parse([read_image_record(reader, position) for position in positions], config)


def _parse(records: list[ImageRecord], config: Config) -> HeldOut:
    size = (config.data.image_height, config.data.image_width)
    absent = np.zeros((schema.NUM_JOINTS, 3), np.float32)
    return HeldOut(
        images=np.stack([preprocess_image(record.encoded, *size).numpy() for record in records]),
        masks=np.stack([_parse_mask(record.mask, config) for record in records]),
        has_mask=np.array([record.mask is not None for record in records]),
        joints=np.stack(
            [absent if record.keypoints is None else record.keypoints for record in records]
        ),
    )


def _parse_mask(encoded: bytes | None, config: Config) -> np.ndarray:
    """Return a mask over the whole image at the size of the mask branch's output."""
    if encoded is None:
        return np.zeros(config.target_size, bool)
    whole = dataclasses.replace(config.data, resize_height=0, resize_width=0, padding=0)
    mask = np.asarray(Image.open(io.BytesIO(encoded)))[..., np.newaxis]
    return augment_mask(mask, _AS_IT_IS, whole, config.target_size).numpy()[..., 0] >= 0.5
