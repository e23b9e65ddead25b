"""One split's records on their way to disk: labels given, shards cut, everything counted."""

from __future__ import annotations

import os
import pathlib

from daaf_tf.data.example import ImageRecord, make_example
from daaf_tf.data.output import writing
from daaf_tf.data.records import ShardWriter, index_path, shard_name
from daaf_tf.data.tally import Tally

# A shard is closed when it reaches this size: large enough for few open files at millions of
# images, small enough to be copied and checked in a second or two.
SHARD_BYTES = 2**27


class SplitWriter:
    """Context manager that writes the records of one split, in order, into shards.

    If the block raises, no unfinished shard is left. Whatever the file system refuses is raised as
    a UserError.
    """

    def __init__(
        self,
        folder: str | os.PathLike,
        split: str,
        *,
        num_images: int,
        num_shards: int = 0,
        zero_is_distractor: bool = True,
    ):
        """Prepare to write.

        Args:
          folder: where the shards go.
          split: of schema.SPLITS; records of the training split must come sorted by person and
            are labelled 0, 1, .. in that order.
          num_images: how many images are planned, those that will be skipped included.
          num_shards: cut the planned images into so many shards, but no more than there are images;
            0: cut by size.
          zero_is_distractor: count schema.DISTRACTOR_ID as a distractor, not as a person.
        """
        self._folder = pathlib.Path(folder)
        self._split = split
        self._num_images = num_images
        self._num_shards = min(num_shards, num_images)
        self._shards: list[dict] = []
        self._writer: ShardWriter | None = None
        self._position = 0
        self._tally = Tally(split, zero_is_distractor=zero_is_distractor)

    def __enter__(self) -> SplitWriter:
        with writing(self._folder):
            self._open()
        return self

    def write(self, record: ImageRecord | None) -> None:
        """Append the record of the next planned image; None: that image is skipped.

        Shards are cut by planned images, so that cutting does not depend on what was skipped.
        """
        if self._is_full():
            with writing(self._folder):
                self._close(None, None, None)
                self._open()
        self._position += 1
        if record is None:
            return
        label = self._tally.add(record)
        with writing(self._folder):
            self._writer.write(make_example(record, label))

    def __exit__(self, kind, error, traceback) -> None:
        with writing(self._folder):
            self._close(kind, error, traceback)
            if kind is None:
                self._rename()

    def summary(self) -> dict:
        """Return the split's entry in the manifest, when all is written."""
        return {**self._tally.summary(), "shards": self._shards}

    def _is_full(self) -> bool:
        if self._num_shards:
            # Shard i holds the planned images i * n // N up to (i + 1) * n // N.
            end = (len(self._shards) + 1) * self._num_images // self._num_shards
            return self._position >= end
        return self._writer.bytes >= SHARD_BYTES

    def _open(self) -> None:
        # The number of shards, which is part of their names, is known only at the end.
        name = shard_name(self._split, len(self._shards), 0)
        self._writer = ShardWriter(self._folder / name).__enter__()

    def _close(self, kind, error, traceback) -> None:
        self._writer.__exit__(kind, error, traceback)
        self._shards.append(self._writer.summary())

    def _rename(self) -> None:
        for number, shard in enumerate(self._shards):
            old = self._folder / shard["file"]
            shard["file"] = shard_name(self._split, number, len(self._shards))
            new = self._folder / shard["file"]
            os.replace(index_path(old), index_path(new))
            os.replace(old, new)
