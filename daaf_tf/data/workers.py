"""A map over many processes that keeps the order, the memory and Ctrl-C under control."""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import functools
import itertools
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures.process import BrokenProcessPool

from daaf_tf.errors import UserError

# Images per task: some 0.1 s of work, which is also how long Ctrl-C waits for a worker.
_CHUNK = 16


@contextlib.contextmanager
def workers(count: int) -> Iterator[Callable[[Callable, Iterable], Iterator]]:
    """Start processes; yield a function like `map` that shares the work out and keeps the order."""
    if count == 1:
        yield map
        return
    # Forked workers start at once. Only Linux forks safely, and there only as long as nobody else
    # holds a lock: nothing here imports TensorFlow, whose threads would.
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    pool = concurrent.futures.ProcessPoolExecutor(count, context, initializer=_start_worker)
    try:
        pool.submit(int).result()  # processes start with the first task
        yield functools.partial(_map_in_order, pool, 4 * count)
    except BrokenProcessPool as error:
        raise UserError(
            f"a worker process was killed, perhaps for want of memory; give fewer than {count} "
            "--workers"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _map_in_order(
    pool: concurrent.futures.Executor, ahead: int, function: Callable, items: Iterable
) -> Iterator:
    """Yield `function(item)` for all items in order, with at most `ahead` chunks under way."""
    items, pending = iter(items), collections.deque()
    for chunk in iter(lambda: list(itertools.islice(items, _CHUNK)), []):
        pending.append(pool.submit(_map_chunk, function, chunk))
        if len(pending) > ahead:
            yield from pending.popleft().result()
    while pending:
        yield from pending.popleft().result()


def _map_chunk(function: Callable, chunk: list) -> list:
    return list(map(function, chunk))


def _start_worker() -> None:
    """Leave Ctrl-C to the main process, and end when that ends, even if it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_exit_with_parent, daemon=True).start()


def _exit_with_parent() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)
