"""Run the requests of many callers in common batches."""

from __future__ import annotations

import collections
import concurrent.futures
import dataclasses
import threading
import time
from collections.abc import Hashable, Mapping
from typing import Callable

import numpy as np

Arrays = Mapping[str, np.ndarray]


class QueueFullError(Exception):
    """More requests wait than may wait; the caller should come back later."""


@dataclasses.dataclass(frozen=True)
class Batching:
    """How requests are put together, in the terms of TensorFlow Serving's parameters file.

    Attributes:
      max_batch_size: rows in a batch; 1 or more.
      timeout: seconds that a request waits for others while nothing else is computed; 0: it takes
        along who is there.
      max_waiting: rows that may wait; whoever comes then is refused.
    """

    max_batch_size: int = 64
    timeout: float = 0.002
    max_waiting: int = 4096


class Batcher:
    """Puts rows that arrive at the same time into one call, in one thread, first come first served.

    While a batch is computed the next one gathers, so that batches grow with the load and a single
    caller waits no longer than the timeout.
    """

    def __init__(self, call: Callable[[Hashable, Arrays], dict[str, np.ndarray]], how: Batching):
        """Start the thread.

        Args:
          call: from a kind and arrays of N rows to arrays of N rows. It may raise.
          how: the sizes and times.
        """
        self._call, self._how = call, how
        self._waiting: collections.deque[_Task] = collections.deque()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._serve, name="batcher", daemon=True)
        self._thread.start()

    def run(self, kind: Hashable, inputs: Arrays) -> dict[str, np.ndarray]:
        """Return what `call` returns for these rows; blocks until then.

        Args:
          kind: rows of one kind only are put together, and only if their shapes agree.
          inputs: arrays of N rows each, N from 1 to the largest batch.

        Raises:
          QueueFullError: too many rows wait.
          RuntimeError: the batcher is closed.
          Exception: what `call` raises for these rows alone; other rows of the batch do not matter.
        """
        shapes = tuple((name, rows.shape[1:]) for name, rows in sorted(inputs.items()))
        task = _Task((kind, shapes), inputs, time.monotonic() + self._how.timeout)
        with self._changed:
            if self._closed:
                raise RuntimeError("the batcher is closed")
            if sum(other.count for other in self._waiting) + task.count > self._how.max_waiting:
                raise QueueFullError
            self._waiting.append(task)
            self._changed.notify_all()
        return task.done.result()

    def close(self) -> None:
        """Finish what waits, and end the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()

    def _serve(self) -> None:
        while batch := self._take():
            self._compute(batch)

    def _take(self) -> list[_Task]:
        """Wait for the first request and those that come soon after; an empty list at the end."""
        with self._changed:
            while not self._waiting and not self._closed:
                self._changed.wait()
            while self._waiting and not self._closed and self._has_room():
                left = self._waiting[0].deadline - time.monotonic()
                if left <= 0:
                    break
                self._changed.wait(left)
            batch = self._list_batch()
            for task in batch:
                self._waiting.remove(task)
            return batch

    def _has_room(self) -> bool:
        return sum(task.count for task in self._list_batch()) < self._how.max_batch_size

    def _list_batch(self) -> list[_Task]:
        """Return the first task and all after it that fit into its batch, in order."""
        batch, room = [], self._how.max_batch_size
        for task in self._waiting:
            if task.key == self._waiting[0].key:
                if task.count > room and batch:
                    break
                batch.append(task)
                room -= task.count
        return batch

    def _compute(self, batch: list[_Task]) -> None:
        """Compute a batch; a row that fails it is found by halving, and fails alone."""
        try:
            outputs = self._call(batch[0].key[0], _join(batch))
        except Exception as error:
            if len(batch) == 1:
                batch[0].done.set_exception(error)
                return
            middle = len(batch) // 2
            self._compute(batch[:middle])
            self._compute(batch[middle:])
            return
        start = 0
        for task in batch:
            end = start + task.count
            task.done.set_result({name: rows[start:end] for name, rows in outputs.items()})
            start = end


class _Task:
    """Rows that wait for their results."""

    def __init__(self, key: tuple, inputs: Arrays, deadline: float):
        self.key, self.inputs, self.deadline = key, inputs, deadline
        self.count = len(next(iter(inputs.values())))
        self.done: concurrent.futures.Future = concurrent.futures.Future()


def _join(batch: list[_Task]) -> Arrays:
    if len(batch) == 1:
        return batch[0].inputs
    names = batch[0].inputs
    return {name: np.concatenate([task.inputs[name] for task in batch]) for name in names}
