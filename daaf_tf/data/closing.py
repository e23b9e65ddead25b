"""The end of a program whose batches are still being read."""

from __future__ import annotations

import atexit
import gc
import sys
import threading
import time

_QUIET_SECONDS = 0.05
_PATIENCE_SECONDS = 10


class Calls:
    """Count the calls that foreign threads make into Python, and end them before Python ends.

    Destroying a tf.data iterator waits for its threads. When Python shuts down, a thread that asks
    for Python waits for ever, and so would the program: after its last line, at each end with an
    iterator still alive, as the traceback of an error keeps it. So each call is made inside
    `with calls:`, and at exit new ones are refused, iterators that nobody holds are destroyed, and
    the threads get time to meet their refusals; then their buffers are full and they are still.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._begun = 0
        self._running = 0
        self._closed = False
        atexit.register(self.close)

    def __enter__(self) -> None:
        with self._lock:
            self._begun += 1
            if self._closed:
                raise RuntimeError("the program ends")
            self._running += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._running -= 1

    def close(self) -> None:
        """Refuse further calls, and return when none has come for a while."""
        with self._lock:
            self._closed = True
            begun = self._begun
        if not begun:
            return
        for name in ("last_exc", "last_value", "last_traceback"):
            if hasattr(sys, name):
                setattr(sys, name, None)
        gc.collect()
        end = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < end:
            time.sleep(_QUIET_SECONDS)
            with self._lock:
                if begun == self._begun and not self._running:
                    return
                begun = self._begun
