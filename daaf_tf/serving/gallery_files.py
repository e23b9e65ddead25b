"""The files of a gallery: checked when read, and changed as a whole or not at all.

A gallery is a folder. `gallery.json` says what it is and names the other files, each with the bytes
that count and their checksum (CRC-32C); what it does not name is not part of the gallery.

- `vectors-<n>.f32`: an embedding for each image, float32 little-endian, row after row.
- `entries-<n>.jsonl`: a line of JSON for each image, in the same order.
- `index-<n>.faiss`: an approximate index over the first rows, where there is one.

Images are added by writing beyond the end that `gallery.json` knows and then replacing it, which is
one rename. Images are removed by writing files of the next number. So whoever is killed leaves the
gallery as it was, and bytes that the next writer cuts off. Nothing is pickled.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pathlib
import re
from collections.abc import Iterator
from typing import Any

import google_crc32c
import numpy as np

import daaf_tf
from daaf_tf.errors import UserError
from daaf_tf.files import locked, remove_leftovers, write_atomically
from daaf_tf.serving.entries import Entries

MANIFEST = "gallery.json"
FORMAT_VERSION = 1

# Little-endian whatever the processor, so that a gallery may move.
VECTOR = np.dtype("<f4")

_OURS = re.compile(r"(vectors|entries|index)-(\d+)\.(f32|jsonl|faiss)")
_SUFFIXES = {"vectors": "f32", "entries": "jsonl", "index": "faiss"}
_CHUNK_BYTES = 1 << 22


@dataclasses.dataclass(frozen=True)
class StoredFile:
    """A file of a gallery.

    Attributes:
      name: in the gallery's folder.
      bytes: of it that count, from its beginning.
      crc32c: of those bytes.
    """

    name: str
    bytes: int = 0
    crc32c: int = 0


@dataclasses.dataclass(frozen=True)
class State:
    """What `gallery.json` says.

    Attributes:
      model: fingerprint of the SavedModel whose embeddings these are.
      model_path: where that SavedModel lay.
      embedding_size: D.
      metric: of `retrieval`: "euclidean", or "cosine" (the vectors are then of norm 1).
      index_type: of `nearest.INDEX_TYPES`.
      vectors: [count, D].
      entries: `count` lines.
      count: images.
      next_id: that the next image gets.
      sources: where images came from, see `sources`.
      index: the approximate index; None: none is there (yet).
      indexed: rows that the index holds, the first ones.
      calibration: see `threshold.Calibration`; None: not calibrated.
    """

    model: str
    model_path: str
    embedding_size: int
    metric: str
    index_type: str
    vectors: StoredFile
    entries: StoredFile
    count: int = 0
    next_id: int = 0
    sources: tuple[dict[str, str], ...] = ()
    index: StoredFile | None = None
    indexed: int = 0
    calibration: dict[str, Any] | None = None


def read_state(folder: pathlib.Path) -> State:
    """Read `gallery.json`.

    Raises:
      UserError: there is no gallery, another version wrote it, or it is damaged.
    """
    path = folder / MANIFEST
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(
            f"{folder}: expected a gallery, found no {MANIFEST}; build one with "
            "python -m daaf_tf.search build"
        ) from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise _damaged(path, f"no JSON: {error}") from error
    version = content.get("format_version") if isinstance(content, dict) else None
    if version != FORMAT_VERSION:
        raise UserError(
            f"{path}: a gallery of format version {version!r}, expected {FORMAT_VERSION}; build it "
            "again with this version of daaf_tf"
        )
    try:
        if content["crc32c"] != _sum_up(content["state"]):
            raise _damaged(path, "the checksum differs")
        return _parse_state(content["state"])
    except (AttributeError, KeyError, TypeError) as error:
        raise _damaged(path, repr(error)) from error


def write_state(folder: pathlib.Path, state: State) -> None:
    """Replace `gallery.json`; from then on the gallery is what `state` says."""
    stored = dataclasses.asdict(state)
    content = {
        "format_version": FORMAT_VERSION,
        "created_by": f"daaf_tf {daaf_tf.__version__}",
        "crc32c": _sum_up(stored),
        "state": stored,
    }
    write_atomically(folder / MANIFEST, json.dumps(content, indent=1) + "\n")


@contextlib.contextmanager
def changing(folder: pathlib.Path) -> Iterator[None]:
    """Be the only one who writes to a gallery, and name what the file system refuses.

    What killed writers have left is removed first, and what is not part of the gallery afterwards.

    Raises:
      UserError: somebody else is writing to it, or the disk is full or read-only.
    """
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locked(folder))
            remove_leftovers(folder)
            remove_strays(folder)
            try:
                yield
            finally:
                remove_strays(folder)
        except BlockingIOError:
            raise UserError(f"{folder}: another program is changing this gallery; wait") from None
        except OSError as error:
            raise UserError(
                f"{folder}: the gallery could not be changed ({error.strerror or error}); it is "
                "as it was before"
            ) from error


def remove_strays(folder: pathlib.Path) -> None:
    """Remove the files that `gallery.json` does not name; without one, all that a writer makes."""
    named = set()
    if (folder / MANIFEST).exists():
        try:
            state = read_state(folder)
        except UserError:
            return  # what a damaged one names, nobody knows
        named = {file.name for file in (state.vectors, state.entries, state.index) if file}
    for path in folder.iterdir():
        if _OURS.fullmatch(path.name) and path.name not in named:
            path.unlink()


def is_ours(name: str) -> bool:
    """Return whether a writer of galleries may have made a file of that name."""
    return name == MANIFEST or bool(_OURS.fullmatch(name))


def name_next(folder: pathlib.Path, kind: str) -> StoredFile:
    """Return an empty file's entry; its name is that of no file that is there.

    Args:
      folder: of the gallery.
      kind: "vectors", "entries" or "index".
    """
    matches = (_OURS.fullmatch(path.name) for path in folder.iterdir())
    numbers = [int(match[2]) for match in matches if match and match[1] == kind]
    return StoredFile(f"{kind}-{max(numbers, default=0) + 1}.{_SUFFIXES[kind]}")


class Appender:
    """Context manager that writes behind the end of a file; what counted before stays as it is."""

    def __init__(self, folder: pathlib.Path, stored: StoredFile):
        """Take a file that is there, or an entry of `name_next`."""
        self._stored = stored
        self._path = folder / stored.name

    def __enter__(self) -> Appender:
        self._file = open(self._path, "r+b" if self._stored.bytes else "wb")
        self._file.truncate(self._stored.bytes)
        self._file.seek(self._stored.bytes)
        return self

    def write(self, data: bytes) -> None:
        """Append bytes."""
        self._file.write(data)
        self._stored = dataclasses.replace(
            self._stored,
            bytes=self._stored.bytes + len(data),
            crc32c=google_crc32c.extend(self._stored.crc32c, data),
        )

    def finish(self) -> StoredFile:
        """Return the file's new entry once all is on the disk."""
        self._file.flush()
        os.fsync(self._file.fileno())
        return self._stored

    def __exit__(self, *error) -> None:
        self._file.close()


def seal_file(folder: pathlib.Path, name: str) -> StoredFile:
    """Return the entry of a file that somebody else has written, once it is on the disk."""
    crc = 0
    with open(folder / name, "rb", buffering=0) as file:
        os.fsync(file.fileno())
        while chunk := file.read(_CHUNK_BYTES):
            crc = google_crc32c.extend(crc, chunk)
        return StoredFile(name, file.tell(), crc)


def check_file(folder: pathlib.Path, stored: StoredFile) -> pathlib.Path:
    """Return the path of a file whose bytes are those that were written.

    Raises:
      UserError: it is missing, cut off or changed.
    """
    path = folder / stored.name
    crc, left = 0, stored.bytes
    try:
        with open(path, "rb", buffering=0) as file:
            while left and (chunk := file.read(min(left, _CHUNK_BYTES))):
                crc = google_crc32c.extend(crc, chunk)
                left -= len(chunk)
    except OSError as error:
        raise _damaged(path, error.strerror) from error
    if left:
        raise _damaged(path, f"{stored.bytes - left:,} bytes, expected {stored.bytes:,}")
    if crc != stored.crc32c:
        raise _damaged(path, "the checksum differs")
    return path


def map_vectors(folder: pathlib.Path, state: State) -> np.ndarray:
    """Return the vectors [count, D], checked, as a view of the file: read where they are used."""
    path = check_file(folder, state.vectors)
    shape = (state.count, state.embedding_size)
    if not state.count:  # an empty file cannot be mapped
        return np.empty(shape, VECTOR)
    return np.asarray(np.memmap(path, VECTOR, mode="r", shape=shape))


def read_entries(folder: pathlib.Path, state: State) -> Entries:
    """Return the entries, checked.

    Raises:
      UserError: the file is damaged.
    """
    path = check_file(folder, state.entries)
    with open(path, "rb") as file:
        entries = Entries(file.read(state.entries.bytes))
    if len(entries) != state.count:
        raise _damaged(path, f"{len(entries)} lines, expected {state.count}")
    return entries


def _parse_state(stored: dict[str, Any]) -> State:
    files = {
        name: StoredFile(**stored[name]) if stored[name] else None
        for name in ("vectors", "entries", "index")
    }
    return State(**{**stored, **files, "sources": tuple(stored["sources"])})


def _sum_up(stored: Any) -> int:
    return google_crc32c.value(json.dumps(stored, sort_keys=True).encode())


def _damaged(path: pathlib.Path, reason: str) -> UserError:
    return UserError(f"{path}: the gallery is damaged ({reason}); build it again")
