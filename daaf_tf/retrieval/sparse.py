"""Sparse matrices as re-ranking needs them: the entries of each row, one row after the other."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import numpy as np


@dataclasses.dataclass(frozen=True)
class SparseRows:
    """A matrix of R rows that is zero but for some entries.

    Attributes:
      starts: [R + 1] int64; the entries of row r stand from `starts[r]` to `starts[r + 1]`.
      columns: [entries] int32, ascending within a row.
      values: [entries] float32.
    """

    starts: np.ndarray
    columns: np.ndarray
    values: np.ndarray

    def __len__(self) -> int:
        return len(self.starts) - 1

    def count_entries(self) -> np.ndarray:
        """Return the number of entries of each row, [R] int64."""
        return np.diff(self.starts)

    def slice_rows(self, start: int, stop: int | None = None) -> SparseRows:
        """Return the rows from `start` to `stop`; without `stop`, to the end."""
        starts = self.starts[start : None if stop is None else stop + 1]
        entries = slice(starts[0], starts[-1])
        return SparseRows(starts - starts[0], self.columns[entries], self.values[entries])

    def take_rows(self, rows: np.ndarray) -> SparseRows:
        """Return the rows of some indices, in their order."""
        counts = self.count_entries()[rows]
        positions = find_positions(self.starts[rows], counts)
        return SparseRows(find_starts(counts), self.columns[positions], self.values[positions])

    def transpose(self, num_columns: int) -> SparseRows:
        """Return the matrix with rows and columns exchanged."""
        order = np.argsort(self.columns, kind="stable")
        rows = np.repeat(np.arange(len(self), dtype=np.int32), self.count_entries())
        counts = np.bincount(self.columns, minlength=num_columns)
        return SparseRows(find_starts(counts), rows[order], self.values[order])


def join_rows(parts: Iterable[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> SparseRows:
    """Return the matrix of parts that stand below each other: entries of a row, columns, values."""
    counts, columns, values = map(np.concatenate, zip(*parts))
    return SparseRows(find_starts(counts), columns, values)


def find_starts(counts: np.ndarray) -> np.ndarray:
    """Return where each of several lists starts that stand one after the other, and their end."""
    return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])


def find_positions(first: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return `counts[0]` positions from `first[0]` on, then `counts[1]` from `first[1]` on, ..."""
    starts = find_starts(counts)
    return np.arange(starts[-1]) + np.repeat(first - starts[:-1], counts)
