from __future__ import annotations

import os
import signal

import pytest

from daaf_tf.data.workers import workers
from daaf_tf.errors import UserError


def square(number: int) -> tuple[int, int]:
    return number**2, os.getpid()


def die(number: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def fail(number: int) -> None:
    raise ValueError(f"no {number}")


@pytest.mark.parametrize("count", [1, 2, 3])
def test_order_is_kept_and_the_work_shared(count):
    with workers(count) as run:
        results, pids = zip(*run(square, range(500)))
    assert list(results) == [number**2 for number in range(500)]
    assert (os.getpid() in pids) == (count == 1)


def test_no_more_than_a_window_is_read_ahead():
    taken = []
    with workers(2) as run:
        results = run(square, (taken.append(n) or n for n in range(5000)))
        next(results)
        assert len(taken) < 500
        assert sum(1 for _ in results) == 4999


def test_killed_worker_is_an_error_and_no_endless_wait():
    reason = "worker process was killed.*fewer than 2 --workers"
    with pytest.raises(UserError, match=reason), workers(2) as run:
        list(run(die, range(3)))


def test_exception_of_the_work_arrives():
    with pytest.raises(ValueError, match="no 0"), workers(2) as run:
        list(run(fail, range(3)))
