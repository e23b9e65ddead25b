"""Batches of many callers: everyone gets their own rows, in few calls, and no error of others."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from daaf_tf.serving.batching import Batcher, Batching, QueueFullError

BAD = -1.0


class Doubling:
    """Doubles rows and refuses any batch with a bad one; waits at a gate before each call."""

    def __init__(self):
        self.calls = []
        self.entered, self.gate = threading.Event(), threading.Event()
        self.gate.set()

    def __call__(self, kind, inputs):
        self.entered.set()
        assert self.gate.wait(60)
        rows = inputs["x"]
        self.calls.append((kind, rows.shape))
        if (rows == BAD).any():
            raise ValueError("a bad row")
        return {"y": 2 * rows}


@pytest.fixture
def work():
    return Doubling()


@pytest.fixture
def start(work):
    """Return a function that makes a batcher; all are closed at the end."""
    made = []

    def make(**how):
        made.append(Batcher(work, Batching(**how)))
        return made[-1]

    yield make
    work.gate.set()
    for batcher in made:
        batcher.close()


def rows(*values, width=1):
    return {"x": np.repeat(np.array(values, np.float32)[:, None], width, axis=1)}


def run_behind_gate(batcher, work, jobs):
    """Let one call hold the thread while the jobs queue up in order; return their futures."""
    work.gate.clear()
    pool = ThreadPoolExecutor(len(jobs) + 1)
    first = pool.submit(batcher.run, "first", rows(0))
    assert work.entered.wait(60)
    futures = []
    for kind, inputs in jobs:
        waiting = len(batcher._waiting)
        futures.append(pool.submit(batcher.run, kind, inputs))
        while len(batcher._waiting) == waiting and not futures[-1].done():
            threading.Event().wait(0.001)
    work.gate.set()
    first.result(60)
    pool.shutdown()
    return futures


def test_one_caller(start):
    batcher = start(timeout=0)
    np.testing.assert_array_equal(batcher.run("kind", rows(1, 2))["y"], [[2], [4]])


def test_those_who_wait_go_together_and_get_their_own(start, work):
    jobs = [
        ("kind", rows(*range(start, start + count))) for start, count in ((1, 2), (5, 1), (7, 3))
    ]
    futures = run_behind_gate(start(timeout=0, max_batch_size=64), work, jobs)
    for (_, inputs), future in zip(jobs, futures):
        np.testing.assert_array_equal(future.result(60)["y"], 2 * inputs["x"])
    assert work.calls == [("first", (1, 1)), ("kind", (6, 1))]


def test_a_batch_is_no_larger_than_allowed_and_the_order_stays(start, work):
    jobs = [("kind", rows(*range(count))) for count in (2, 2, 1, 3, 4)]
    futures = run_behind_gate(start(timeout=0, max_batch_size=4), work, jobs)
    assert [len(future.result(60)["y"]) for future in futures] == [2, 2, 1, 3, 4]
    assert [shape[0] for _, shape in work.calls] == [1, 4, 4, 4]


def test_kinds_and_shapes_are_kept_apart(start, work):
    jobs = [("a", rows(1)), ("b", rows(2)), ("a", rows(3, width=2)), ("a", rows(4)), ("b", rows(5))]
    futures = run_behind_gate(start(timeout=0), work, jobs)
    for (_, inputs), future in zip(jobs, futures):
        np.testing.assert_array_equal(future.result(60)["y"], 2 * inputs["x"])
    assert work.calls[1:] == [("a", (2, 1)), ("b", (2, 1)), ("a", (1, 2))]


@pytest.mark.parametrize("place", range(5))
def test_a_bad_row_is_the_error_of_its_sender_alone(start, work, place):
    values = [BAD if number == place else number for number in range(5)]
    batcher = start(timeout=0)
    futures = run_behind_gate(batcher, work, [("kind", rows(value)) for value in values])
    for number, future in enumerate(futures):
        if number == place:
            with pytest.raises(ValueError, match="a bad row"):
                future.result(60)
        else:
            np.testing.assert_array_equal(future.result(60)["y"], [[2 * number]])
    np.testing.assert_array_equal(batcher.run("kind", rows(9))["y"], [[18]])


def test_a_batch_waits_for_others_within_its_time(start, work):
    batcher = start(timeout=60, max_batch_size=2)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda value: batcher.run("kind", rows(value)), (1, 2)))
    assert work.calls == [("kind", (2, 1))]


def test_who_comes_to_a_full_queue_is_refused(start, work):
    jobs = [("kind", rows(1, 2)), ("kind", rows(3, 4)), ("kind", rows(5))]
    futures = run_behind_gate(start(timeout=0, max_waiting=3), work, jobs)
    with pytest.raises(QueueFullError):
        futures[1].result(60)
    assert [len(futures[place].result(60)["y"]) for place in (0, 2)] == [2, 1]


def test_closing_finishes_what_waits(start, work):
    batcher = start(timeout=60)
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(batcher.run, "kind", rows(1))
        while not batcher._waiting:
            threading.Event().wait(0.001)
        batcher.close()
        np.testing.assert_array_equal(future.result(60)["y"], [[2]])
    with pytest.raises(RuntimeError, match="closed"):
        batcher.run("kind", rows(1))
