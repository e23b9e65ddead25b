"""Ctrl-C while TensorFlow's threads are at work."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from typing import Callable


@contextlib.contextmanager
def held_interrupt() -> Iterator[Callable[[], None]]:
    """Hold Ctrl-C back until the block asks for it.

    In the middle of TensorFlow's own code, while the threads of tf.data call Python, it has
    been seen to end the process by an abort. A second Ctrl-C is not held back. Where somebody else
    handles the signal, as training does, or outside of the main thread, nothing changes.

    Yields:
      A function that raises KeyboardInterrupt if Ctrl-C was pressed. So does the end of the block.
    """
    received = []

    def receive(number: int, frame: object) -> None:
        received.append(number)
        signal.signal(number, signal.default_int_handler)

    def check() -> None:
        if received:
            raise KeyboardInterrupt

    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield check
        return
    try:
        signal.signal(signal.SIGINT, receive)
    except ValueError:  # not the main thread, which alone gets signals
        yield check
        return
    try:
        yield check
        check()
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
