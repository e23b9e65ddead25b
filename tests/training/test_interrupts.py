"""Ctrl-C is held back until it is asked for, once."""

import os
import signal
import threading

import pytest

from daaf_tf.training.interrupts import held_interrupt


def press():
    os.kill(os.getpid(), signal.SIGINT)


def test_it_comes_when_it_is_asked_for():
    done = []

    def work():
        with held_interrupt() as check:
            check()
            press()
            done.append("went on")
            check()
            done.append("not reached")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == ["went on"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_it_comes_at_the_end_at_the_latest():
    with pytest.raises(KeyboardInterrupt), held_interrupt():
        press()


def test_the_second_is_not_held_back():
    done = []

    def work():
        with held_interrupt():
            press()
            done.append("went on")
            press()
            done.append("not reached")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == ["went on"]


def test_another_handler_is_left_alone():
    received = []
    signal.signal(signal.SIGINT, lambda *_: received.append("theirs"))
    try:
        with held_interrupt() as check:
            press()
            check()
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    assert received == ["theirs"]


def test_a_thread_works_as_before():
    done = []

    def work():
        with held_interrupt() as check:
            check()
            done.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [True]
