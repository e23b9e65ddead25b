"""What a gallery knows of its images beside their embeddings."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Sequence

import numpy as np


@dataclasses.dataclass(frozen=True)
class Entry:
    """One image of a gallery.

    Attributes:
      id: its number, which no other image of the gallery has or will have.
      path: below its source's folder; in records, the file name there.
      person_id: whom it shows; None: not known.
      camera_id: which camera took it; None: not known.
      source: number of its source among the gallery's.
      position: of its record; None: it is a file.
    """

    id: int
    path: str
    person_id: int | None
    camera_id: int | None
    source: int
    position: int | None


class Entries(Sequence):
    """The entries of a gallery, in the order of its vectors.

    The lines are kept as they are in the file and parsed when an entry is asked for: a million of
    them take a tenth of a gigabyte and no time.
    """

    def __init__(self, lines: bytes):
        """Take the content of an entries file."""
        self._lines = lines
        ends = np.flatnonzero(np.frombuffer(lines, np.uint8) == ord("\n"))
        self._ends = np.concatenate([[-1], ends])

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, row):
        if isinstance(row, slice):
            return [self[number] for number in range(*row.indices(len(self)))]
        if row < 0:
            row += len(self)
        if not 0 <= row < len(self):
            raise IndexError(f"entry {row} of {len(self)}")
        return Entry(**json.loads(self.line(row)))

    def find(self, entry_id: int) -> Entry | None:
        """Return the entry of a number, or None. Numbers ascend: an image gets the next one."""
        low, high = 0, len(self)
        while low < high:
            middle = (low + high) // 2
            if self[middle].id < entry_id:
                low = middle + 1
            else:
                high = middle
        found = self[low] if low < len(self) else None
        return found if found and found.id == entry_id else None

    def line(self, row: int) -> bytes:
        """Return the line of one entry as it is in the file."""
        return self._lines[self._ends[row] + 1 : self._ends[row + 1] + 1]


def format_entry(entry: Entry) -> bytes:
    """Return the line of an entry."""
    return json.dumps(dataclasses.asdict(entry)).encode() + b"\n"


def name_path(source: dict[str, str], path: str) -> str:
    """Return the path that people know an image by.

    Args:
      source: see `sources`.
      path: of an entry.

    Returns:
      The path of a file; for an image in records, that of their folder, the split, and the name.
    """
    return os.path.join(source["folder"], source.get("split", ""), path)
