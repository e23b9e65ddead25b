"""The folder that a conversion fills: locked, staged, and published as a whole or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pathlib
import re
import shutil
from collections.abc import Iterator

from daaf_tf.data.records import MANIFEST, index_path
from daaf_tf.data.tfds_metadata import DATASET_INFO, FEATURES
from daaf_tf.errors import UserError
from daaf_tf.files import write_atomically
from daaf_tf.schema import SPLITS

PROBLEMS = "problems.json"

# Files of an unfinished conversion. The staging folder lies inside the output folder, not beside
# it, so that both are on one file system (the output folder may be a mount point) and publishing
# is nothing but renames.
STAGING = ".incomplete"
_LOCK = ".daaf_tf.lock"
_OURS = re.compile(
    rf"({'|'.join(SPLITS)})-\d{{5}}-of-\d{{5}}\.(tfrecord|index)"
    r"|(problems|dataset_info|features)\.json"
)


@contextlib.contextmanager
def writing(path: str | os.PathLike) -> Iterator[None]:
    """Turn an OSError of the block (disk full, read-only, too long a name) into a UserError."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"cannot write to {path}: {error.strerror or error}; what was complete before is "
            "untouched: make room or choose another --output_dir, and start again"
        ) from error


class OutputFolder:
    """Context manager over an output folder, safe against kill, Ctrl-C, a full disk and a rival.

    All files are written in `staging`; `publish` moves them into place and writes the manifest
    last. If the block raises, the staging folder is removed and what was there before stays. If the
    process is killed, the staging folder tells the next conversion that it may start afresh.

    Attributes:
      path: the folder.
      staging: folder in it where the new files are written.
    """

    def __init__(self, path: str | os.PathLike, overwrite: bool):
        """Prepare; the folder is made, locked and checked on entering the context.

        Args:
          path: absent, empty, or left by an interrupted conversion; or, with `overwrite`, holding
            a complete one.
          overwrite: replace a complete conversion.
        """
        self.path = pathlib.Path(path)
        self.staging = self.path / STAGING
        self._overwrite = overwrite

    def __enter__(self) -> OutputFolder:
        """Make, lock and check the folder.

        Raises:
          UserError: a complete conversion without `overwrite`, foreign files, a file in the
            folder's place, another conversion at work in it, or no right to write.
        """
        with contextlib.ExitStack() as undo, writing(self.path):
            if not self.path.exists():
                self.path.mkdir(parents=True)
                undo.callback(_remove_if_empty, self.path)
            if not self.path.is_dir():
                raise UserError(f"--output_dir={self.path} is a file, expected a folder")
            undo.enter_context(self._locked())
            self._check()
            self._clear()
            self.staging.mkdir()
            undo.callback(self._clear)
            self._undo = undo.pop_all()
        return self

    def __exit__(self, *error) -> None:
        self._undo.close()

    def publish(self, names: list[str], manifest: dict) -> None:
        """Move the staged files into place, in the place of what was there, the manifest last.

        While files are being moved there is no manifest, so no reader takes a mixture for whole.
        """
        with writing(self.path):
            # What may fail for want of room comes first; the rest is renames.
            write_atomically(self.staging / MANIFEST, json.dumps(manifest, indent=1) + "\n")
            if (self.path / MANIFEST).exists():
                old = self._files_of_manifest()
                (self.path / MANIFEST).unlink()
                for name in old:
                    (self.path / name).unlink(missing_ok=True)
            for name in [*names, MANIFEST]:
                os.replace(self.staging / name, self.path / name)

    def _check(self) -> None:
        """Refuse a folder whose content is not ours to replace."""
        names = {entry.name for entry in os.scandir(self.path)} - {_LOCK}
        if MANIFEST in names:
            if not self._overwrite:
                raise UserError(
                    f"--output_dir={self.path} holds a complete conversion; choose another folder "
                    "or give --overwrite to replace it"
                )
            self._files_of_manifest()
        elif STAGING in names:
            names = {name for name in names if name != STAGING and not _OURS.fullmatch(name)}
        if names and MANIFEST not in names:
            raise UserError(
                f"--output_dir={self.path} holds {len(names)} other files, for example "
                f"{min(names)!r}; choose an empty or a new folder"
            )

    def _clear(self) -> None:
        """Remove what an interrupted conversion left: the staging folder, files half published."""
        if self.staging.exists():
            shutil.rmtree(self.staging)
        if not (self.path / MANIFEST).exists():
            for name in os.listdir(self.path):
                if _OURS.fullmatch(name):
                    (self.path / name).unlink()

    def _files_of_manifest(self) -> list[str]:
        """Return the names of the files that the conversion in place consists of."""
        try:
            manifest = json.loads((self.path / MANIFEST).read_text(encoding="utf-8"))
            entries = [shard for split in manifest["splits"].values() for shard in split["shards"]]
            shards = [pathlib.Path(entry["file"]).name for entry in entries]
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise UserError(
                f"--output_dir={self.path}: its {MANIFEST} is of no conversion ({error!r}); "
                "choose another folder"
            ) from error
        return [
            PROBLEMS,
            DATASET_INFO,
            FEATURES,
            *shards,
            *(index_path(name).name for name in shards),
        ]

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the folder's lock; the kernel releases it when the process dies, however it dies."""
        path = self.path / _LOCK
        with open(path, "ab") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                rival = os.fstat(lock.fileno()).st_nlink == 0  # just finished, and removed it
            except BlockingIOError:
                rival = True
            if rival:
                raise UserError(f"--output_dir={self.path}: another conversion is writing there")
            try:
                yield
            finally:
                path.unlink(missing_ok=True)


def _remove_if_empty(folder: pathlib.Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()
