"""Data sets whose images are still to be embedded: records, or the plain folders they are made of.

Nothing here needs TensorFlow.
"""

from __future__ import annotations

import dataclasses
import io
import os
from collections.abc import Mapping, Sequence
from typing import Union

import numpy as np
from PIL import Image

from daaf_tf.data.coco import without_folders
from daaf_tf.data.datasets import DATASETS
from daaf_tf.data.example import parse_record
from daaf_tf.data.folder_reader import FolderReader
from daaf_tf.data.listing import list_images
from daaf_tf.data.problems import Problem
from daaf_tf.data.records import RecordReader
from daaf_tf.errors import UserError

Reader = Union[RecordReader, FolderReader]


@dataclasses.dataclass(frozen=True)
class ImageSet:
    """The images of a data set.

    Attributes:
      name: what the user calls it.
      readers: {split: who reads its images}.
      data_dir: the folder of records; "": they are no records.
      listed_problems: of images in folders that are not read at all.
    """

    name: str
    readers: Mapping[str, Reader]
    data_dir: str = ""
    listed_problems: tuple[Problem, ...] = ()

    def read_image(self, split: str, index: int) -> np.ndarray:
        """Return the pixels of the image that was embedded at an index of a split.

        Args:
          split: of those that were embedded.
          index: from 0; images that could not be used do not count.

        Returns:
          [H, W, 3] uint8, RGB.

        Raises:
          UserError: the image is not there any more, or not as it was.
        """
        reader = self.readers[split]
        if isinstance(reader, FolderReader):
            index = reader.list_usable()[index]
        try:
            ((record, _),) = map(parse_record, reader.read_many([index]))
            return np.asarray(Image.open(io.BytesIO(record.encoded)).convert("RGB"))
        except (OSError, ValueError) as error:
            raise UserError(f"{self.name}: image {index} of {split}: {error}") from error

    def list_problems(self) -> list[Problem]:
        """Return what was wrong with images of folders, as far as they were read."""
        found = [
            problem
            for reader in self.readers.values()
            if isinstance(reader, FolderReader)
            for _, problem in sorted(reader.problems.items())
        ]
        return [*self.listed_problems, *found]


def open_records(data_dir: str, splits: Sequence[str]) -> ImageSet:
    """Open the records of some splits.

    Raises:
      UserError: a folder, manifest, split, shard or index that is missing or does not fit, or a
        split without images.
    """
    readers = {split: RecordReader(data_dir, split) for split in splits}
    for split, reader in readers.items():
        if not reader.num_images:
            raise UserError(f"{data_dir}: the split {split} holds no images")
    return ImageSet(data_dir, readers, data_dir)


def open_folder(
    dataset: str,
    data_root: str | os.PathLike,
    splits: Sequence[str],
    *,
    csv_file: str = "",
    strict: bool = False,
) -> ImageSet:
    """List the images of some splits of a data set in plain folders; only those splits need be.

    Args:
      dataset: a name in DATASETS.
      data_root: as `list_images` takes it.
      splits: of schema.SPLITS.
      csv_file: as `list_images` takes it.
      strict: refuse an image that cannot be used, instead of leaving it out.

    Raises:
      UserError: as `list_images`; or no image of a split.
    """
    row = without_folders(DATASETS[dataset])
    folders = {split: names for split, names in row.image_folders.items() if split in splits}
    listing = list_images(dataclasses.replace(row, image_folders=folders), data_root, csv_file)
    problems = tuple(p for p in listing.problems if p.split in ("", *splits))
    if problems and strict:
        raise UserError(f"{problems[0]} (--strict stops at the first problem)")
    name = f"{csv_file or dataset} in {data_root}"
    for split in splits:
        if not listing.images.get(split):
            raise UserError(f"{name}: no images of the split {split}")
    readers = {
        split: FolderReader(listing.images[split], data_root, strict=strict) for split in splits
    }
    return ImageSet(name, readers, listed_problems=problems)
