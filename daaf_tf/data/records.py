"""Shards of records on disk: written whole, read at random, never trusted blindly.

A shard is a TFRecord file with an index beside it (`train-00000-of-00004.tfrecord` and `.index`):
one line `offset length` per record, in the layout of DALI's tfrecord2idx. `manifest.json` names the
shards of all splits; it is written last, so where it exists everything it names is whole.
"""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import re

import numpy as np

from daaf_tf import schema
from daaf_tf.data.example import ImageRecord, make_example, parse_example
from daaf_tf.data.shard_index import (
    index_path,
    make_header,
    masked_crc,
    open_frame,
    read_index,
)
from daaf_tf.errors import UserError

__all__ = [
    "MANIFEST",
    "ImageRecord",
    "RecordReader",
    "ShardWriter",
    "compute_digest",
    "index_path",
    "make_example",
    "parse_example",
    "read_manifest",
    "shard_name",
]

MANIFEST = "manifest.json"

# After its split's name; a shard lies in the folder of its manifest, whatever the manifest says.
_SHARD_NAME = r"[A-Za-z0-9._-]+"


def shard_name(split: str, shard: int, num_shards: int) -> str:
    """Return the file name of a shard, e.g. `train-00000-of-00004.tfrecord`."""
    return f"{split}-{shard:05d}-of-{num_shards:05d}.tfrecord"


class ShardWriter:
    """Write one shard and its index under temporary names, and rename them when all is written.

    Use it as a context manager. If the block raises, nothing is left on disk.

    Attributes:
      path: the shard.
      images: records written so far.
      bytes: size of the shard so far.
    """

    def __init__(self, path: str | os.PathLike):
        """Prepare to write `path` (`*.tfrecord`); the files are made on entering the context."""
        self.path = pathlib.Path(path)
        self.images = 0
        self.bytes = 0
        self._hash = hashlib.sha256()
        self._temporary = [
            final.with_name(f".{final.name}.tmp") for final in (self.path, index_path(self.path))
        ]

    def __enter__(self) -> ShardWriter:
        self._shard = open(self._temporary[0], "wb", buffering=1 << 20)
        self._index = open(self._temporary[1], "w", encoding="ascii", newline="\n")
        return self

    def write(self, serialized: bytes) -> None:
        """Append one record."""
        frame = b"".join((make_header(serialized), serialized, masked_crc(serialized)))
        self._shard.write(frame)
        self._hash.update(frame)
        self._index.write(f"{self.bytes} {len(frame)}\n")
        self.images += 1
        self.bytes += len(frame)

    def summary(self) -> dict:
        """Return the shard's entry in the manifest."""
        return {
            "file": self.path.name,
            "images": self.images,
            "bytes": self.bytes,
            "sha256": self._hash.hexdigest(),
        }

    def __exit__(self, kind, error, traceback) -> None:
        try:
            self._close(keep=kind is None)
        finally:
            for temporary in self._temporary:
                temporary.unlink(missing_ok=True)

    def _close(self, keep: bool) -> None:
        try:
            for file in (self._shard, self._index):
                if keep:
                    file.flush()
                    os.fsync(file.fileno())
        finally:
            # Closing flushes what a full disk did not take; every file must be closed even so.
            try:
                self._shard.close()
            finally:
                self._index.close()
        if keep:
            os.replace(self._temporary[1], index_path(self.path))
            os.replace(self._temporary[0], self.path)


def read_manifest(data_dir: str | os.PathLike) -> dict:
    """Read `manifest.json` of a folder of records.

    Raises:
      UserError: no such folder, no manifest (the conversion did not finish), no valid JSON, or
        another schema version.
    """
    folder = pathlib.Path(data_dir)
    path = folder / MANIFEST
    if not folder.is_dir():
        raise UserError(
            f"{folder}: no such folder; expected the --output_dir of tools/make_tfrecords.py"
        )
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(
            f"{folder} holds no {MANIFEST}: it is no folder of records, or its conversion did not "
            "finish; run tools/make_tfrecords.py"
        ) from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: unreadable ({error}); convert the data set again") from error
    version = manifest.get("schema_version") if isinstance(manifest, dict) else None
    if version != schema.SCHEMA_VERSION:
        raise UserError(
            f"{path}: schema version {version!r}, expected {schema.SCHEMA_VERSION}; "
            "convert the data set again with this version of daaf_tf"
        )
    splits = manifest.get("splits")
    if not isinstance(splits, dict) or set(splits) - set(schema.SPLITS):
        known = ", ".join(schema.SPLITS)
        raise UserError(f"{path}: malformed (expected splits of {known}); convert again")
    return manifest


def compute_digest(split: dict) -> str:
    """Return 16 hexadecimal digits that stand for the contents of a split of a manifest."""
    shards = "".join(shard["sha256"] for shard in split["shards"])
    return hashlib.sha256(shards.encode()).hexdigest()[:16]


class RecordReader:
    """Random access to the records of one split.

    Shards are opened when first read and stay open. Safe to share between threads: reads carry
    their own offset. A read checks both of the record's checksums.

    Attributes:
      name: folder and split, for messages.
      num_images: records in the split.
      images_per_label: [N] int64, images of class 0..N-1 (train only, empty elsewhere). Records are
        sorted by label, so class i begins at position `images_per_label[:i].sum()`.
    """

    def __init__(self, data_dir: str | os.PathLike, split: str):
        """Read the manifest and the indexes of `split`.

        Args:
          data_dir: folder that tools/make_tfrecords.py wrote.
          split: one of schema.SPLITS.

        Raises:
          UserError: a missing folder, manifest, split or shard; another schema version; an index
            that does not fit its shard. A missing index is rebuilt, and a line in the log says so.
        """
        self.name = f"{data_dir}, {split}"
        manifest_path = pathlib.Path(data_dir) / MANIFEST
        entries, self.images_per_label = parse_split(read_manifest(data_dir), split, manifest_path)
        self._shards = [_Shard(manifest_path.parent, *entry) for entry in entries]
        self._ends = np.cumsum([len(shard) for shard in self._shards], dtype=np.int64)
        self.num_images = int(self._ends[-1]) if len(self._ends) else 0

    def read(self, position: int) -> bytes:
        """Return the serialized Example at `position` (0..num_images-1).

        Raises:
          UserError: the record is corrupt; names the shard and the record's number in it.
          IndexError: no such position.
        """
        if not 0 <= position < self.num_images:
            raise IndexError(f"position {position} of {self.num_images} records")
        shard = int(np.searchsorted(self._ends, position, side="right"))
        first = int(self._ends[shard - 1]) if shard else 0
        return self._shards[shard].read(int(position) - first)

    def read_many(self, positions) -> list[bytes]:
        """Return the serialized Examples at the positions, in their order."""
        return [self.read(position) for position in positions]


class _Shard:
    """One shard, opened when first read."""

    def __init__(self, folder: pathlib.Path, name: str, images: int, size: int):
        self._path = folder / name
        self._file = None
        self._offsets, self._lengths = read_index(self._path, images, size)

    def __len__(self) -> int:
        return len(self._offsets)

    def read(self, record: int) -> bytes:
        if self._file is None:
            # Two threads may both get here; the loser's file is closed when it is collected.
            self._file = self._open()
        length, offset = int(self._lengths[record]), int(self._offsets[record])
        try:
            frame = os.pread(self._file.fileno(), length, offset)
        except OSError as error:
            raise UserError(f"{self._path}: cannot read record {record} ({error})") from error
        try:
            return open_frame(frame, length)
        except ValueError as error:
            raise UserError(
                f"{self._path}: record {record} is corrupt ({error}); "
                "the file was changed after it was written: convert the data set again"
            ) from None

    def _open(self):
        try:
            return open(self._path, "rb", buffering=0)
        except OSError as error:
            raise UserError(f"{self._path}: cannot open the shard ({error.strerror})") from error


def parse_split(
    manifest: dict, split: str, path: pathlib.Path
) -> tuple[list[tuple[str, int, int]], np.ndarray]:
    """Return (file, images, bytes) of each shard, and the images per label, from a manifest.

    Args:
      manifest: as `read_manifest` returns it.
      split: one of schema.SPLITS.
      path: of the manifest, for messages.

    Raises:
      UserError: no such split, an entry of another form, or counts that contradict each other.
    """
    try:
        if split not in manifest["splits"]:
            raise UserError(
                f"{path}: no split {split!r}; there is {', '.join(manifest['splits']) or 'none'}"
            )
        entry = manifest["splits"][split]
        shards = [(str(s["file"]), int(s["images"]), int(s["bytes"])) for s in entry["shards"]]
        images_per_label = np.array(entry.get("images_per_label", []), dtype=np.int64).reshape(-1)
        images = int(entry["images"])
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise UserError(f"{path}: malformed ({error!r}); convert the data set again") from error
    fits = sum(count for _, count, _ in shards) == images
    if len(images_per_label):
        fits = fits and images_per_label.min() > 0 and images_per_label.sum() == images
    names = [name for name, _, _ in shards]
    named = all(re.fullmatch(rf"{split}-{_SHARD_NAME}", name) for name in names)
    if not fits or not named or len(set(names)) < len(names):
        raise UserError(
            f"{path}: counts or file names of {split} contradict; convert the data set again"
        )
    return shards, images_per_label
