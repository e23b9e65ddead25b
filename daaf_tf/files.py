"""Writing files so that one that exists is whole."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pathlib
import re
from collections.abc import Iterator
from typing import BinaryIO

# What open_atomically calls a file until it is whole.
_TEMPORARY = re.compile(r"\..+\.\d+\.tmp")


def write_atomically(path: str | os.PathLike, content: str | bytes) -> None:
    """Write a file under a temporary name beside it and rename it.

    Args:
      path: the file; replaced if it exists.
      content: text (written as UTF-8) or bytes.

    Raises:
      OSError: the file system's own reason (full, read-only); what existed before is untouched.
    """
    data = content.encode("utf-8") if isinstance(content, str) else content
    with open_atomically(path) as file:
        file.write(data)


@contextlib.contextmanager
def open_atomically(path: str | os.PathLike) -> Iterator[BinaryIO]:
    """Open a file for what is too large to be held; it gets its name when the block has ended well.

    Args:
      path: the file; replaced if it exists.

    Raises:
      OSError: as `write_atomically`.
    """
    path = pathlib.Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def is_leftover(name: str) -> bool:
    """Return whether a file's name is that of a write which a kill has cut off."""
    return bool(_TEMPORARY.fullmatch(name))


def remove_leftovers(folder: str | os.PathLike) -> None:
    """Remove what killed processes have left of `open_atomically` in a folder."""
    for path in pathlib.Path(folder).iterdir():
        if is_leftover(path.name):
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def locked(folder: str | os.PathLike) -> Iterator[int]:
    """Hold a folder's lock; the kernel frees it however the process ends.

    Yields:
      The file descriptor that holds it; a process that inherits it holds the lock too.

    Raises:
      BlockingIOError: another process holds it.
      OSError: there is no such folder.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield handle
    finally:
        os.close(handle)
