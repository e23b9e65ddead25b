"""The images of a plain folder, read as if they were records already."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from daaf_tf.data.annotations import HEATMAP_HEIGHT
from daaf_tf.data.example import ImageRecord, make_example
from daaf_tf.data.listing import ImageFile
from daaf_tf.data.problems import Problem
from daaf_tf.data.reading import read_record
from daaf_tf.errors import UserError


class FolderReader:
    """Random access to the images of one split, as `RecordReader` gives it to records.

    An image is checked when it is read, as the conversion checks it. One that cannot be used is
    noted and left out, or stops the reading.

    Attributes:
      num_images: files in the split.
      problems: {position: what is wrong with the file}, of those that were found unusable.
    """

    def __init__(self, files: Sequence[ImageFile], data_root: str | os.PathLike, *, strict: bool):
        """Take the files of a listing.

        Args:
          files: of one split, in the order of the records; their annotations are not read.
          data_root: folder that their paths are below.
          strict: raise a UserError for a file that cannot be used, instead of leaving it out.
        """
        self.num_images = len(files)
        self.problems: dict[int, Problem] = {}
        self._files, self._data_root, self._strict = files, os.fspath(data_root), strict

    def read_many(self, positions: Iterable[int]) -> list[bytes]:
        """Return the serialized Examples at the positions, those left out that cannot be used.

        Raises:
          UserError: with `strict`, the first that cannot be used.
        """
        records = (self._read(int(position)) for position in positions)
        return [make_example(record) for record in records if record is not None]

    def list_usable(self) -> list[int]:
        """Return the positions of the images that were not found unusable, ascending."""
        return [position for position in range(self.num_images) if position not in self.problems]

    def _read(self, position: int) -> ImageRecord | None:
        file = self._files[position]
        record, problems = read_record(file, self._data_root, 1.0, HEATMAP_HEIGHT)
        if record is None:
            if self._strict:
                raise UserError(f"{problems[0]} (--strict stops at the first problem)")
            self.problems[position] = problems[0]
        return record
