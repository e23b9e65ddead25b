"""Work on rows in blocks: bounded memory, and all processors busy."""

from __future__ import annotations

import collections
import concurrent.futures
import itertools
import os
from collections.abc import Iterable, Iterator
from typing import Callable, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

# More workers than this would cost memory and gain little: matrix products have threads anyway.
_MOST_WORKERS = 4


def make_blocks(num_rows: int, size: int) -> Iterator[slice]:
    """Return slices of up to `size` rows that follow each other from 0 to `num_rows`."""
    return (slice(start, min(start + size, num_rows)) for start in range(0, num_rows, size))


def map_in_threads(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Yield `function(item)` of every item, in order, computed by threads.

    No more results than there are processors wait to be taken, so that memory stays bounded.
    """
    workers = min(count_processors(), _MOST_WORKERS)
    items = iter(items)
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        waiting = collections.deque(
            pool.submit(function, item) for item in itertools.islice(items, workers)
        )
        while waiting:
            result = waiting.popleft().result()
            waiting.extend(pool.submit(function, item) for item in itertools.islice(items, 1))
            yield result


def count_processors() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
