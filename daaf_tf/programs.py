"""Programs that run programs, and are interrupted meanwhile."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Sequence


def run_python(arguments: Sequence[str], keep_open: Sequence[int] = ()) -> int:
    """Run a Python program in a process of its own, to its end.

    Ctrl-C and SIGTERM are handed on to it as Ctrl-C, and waited for: training finishes its step,
    saves and ends. A second Ctrl-C is handed on too.

    Args:
      arguments: of Python, such as `-m daaf_tf.train --flagfile=...`.
      keep_open: file descriptors that it inherits.

    Returns:
      Its exit code; 130 if it was told to stop, even if it just had nothing left to do.
    """
    # A session of its own, else the terminal's Ctrl-C would reach it besides the one handed on.
    process = subprocess.Popen(
        [sys.executable, *arguments], start_new_session=True, pass_fds=keep_open
    )
    received = []

    def hand_on(number, frame):
        received.append(number)
        process.send_signal(signal.SIGINT)

    previous = {
        number: signal.signal(number, hand_on) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        code = process.wait()
        return 130 if received and code in (0, -signal.SIGINT) else code
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
