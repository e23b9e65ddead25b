"""The folder that holds a synthetic set: whose it is, and whether it is whole.

`synthetic.json` says what a whole set is; `synthetic.json.part` says what a begun one will be, so
that only the same command goes on with it. Nothing else that is there is ever touched.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
from collections.abc import Iterator

from daaf_tf import files
from daaf_tf.errors import UserError

MANIFEST = "synthetic.json"
_BEGUN = "synthetic.json.part"


@contextlib.contextmanager
def writing(folder: pathlib.Path) -> Iterator[None]:
    """Turn an OSError of the block (disk full, read-only) into a UserError."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"cannot write {error.filename or folder}: {error.strerror or error}; mend that and "
            "give the same command again: it goes on where it stopped"
        ) from error


@contextlib.contextmanager
def locked(folder: pathlib.Path) -> Iterator[None]:
    """Make the folder if need be, and hold its lock; the kernel frees it however a process ends.

    Raises:
      UserError: a file is in the folder's place, or another run is writing there.
    """
    if folder.exists() and not folder.is_dir():
        raise UserError(f"--output_dir={folder} is a file, expected a folder")
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(files.locked(folder))
        except BlockingIOError:
            raise UserError(f"--output_dir={folder}: another run is writing there") from None
        yield


def begin(folder: pathlib.Path, description: dict) -> bool:
    """Return whether the set is there, whole; note what is being written if it is not.

    Args:
      folder: the folder, locked.
      description: what the set follows from, as JSON values.

    Raises:
      UserError: the folder holds another set, whole or begun, or files that are not ours.
    """
    for name in (MANIFEST, _BEGUN):
        if (folder / name).exists():
            _check_same(folder / name, description)
            return name == MANIFEST
    others = os.listdir(folder)
    if others:
        raise UserError(
            f"--output_dir={folder} holds other files, {min(others)!r} for example, and no "
            "synthetic set: choose a new or an empty folder"
        )
    files.write_atomically(folder / _BEGUN, json.dumps(description, indent=1) + "\n")
    return False


def finish(folder: pathlib.Path, description: dict, counts: dict[str, int]) -> None:
    """Note that the set is whole."""
    manifest = {**description, "counts": counts}
    files.write_atomically(folder / MANIFEST, json.dumps(manifest, indent=1) + "\n")
    (folder / _BEGUN).unlink()


def _check_same(path, description):
    try:
        found = json.loads(path.read_text("utf-8"))
        found.pop("counts", None)
    except (ValueError, AttributeError):
        raise UserError(f"{path}: expected a JSON object; choose another folder") from None
    if found == description:
        return
    keys = [key for key in description if found.get(key) != description[key]]
    shown = [f"{key} {found.get(key)} instead of {description[key]}" for key in keys]
    raise UserError(
        f"--output_dir={path.parent} holds another synthetic set ({'; '.join(shown)}): choose "
        "another folder"
    )
