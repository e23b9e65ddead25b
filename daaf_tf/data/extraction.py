"""The original image files, back out of the records."""

from __future__ import annotations

import os
import pathlib
import shutil
import tempfile
from collections.abc import Sequence

import tqdm

from daaf_tf.data.example import parse_record
from daaf_tf.data.records import RecordReader, read_manifest
from daaf_tf.errors import UserError


def extract_images(
    data_dir: str | os.PathLike,
    output_dir: str | os.PathLike,
    splits: Sequence[str] = (),
    *,
    show_progress: bool = True,
) -> int:
    """Write every image's own bytes to `<output_dir>/<split>/<file name>`, all or nothing.

    Args:
      data_dir: folder that tools/make_tfrecords.py wrote.
      output_dir: absent or empty.
      splits: of schema.SPLITS; empty: all that the manifest names.
      show_progress: draw a progress bar on stderr.

    Returns:
      How many files were written.

    Raises:
      UserError: corrupt records, a folder that is not empty, a file name that leads elsewhere or
        occurs twice, no room to write.
    """
    output = pathlib.Path(output_dir).absolute()
    splits = splits or list(read_manifest(data_dir)["splits"])
    readers = {split: RecordReader(data_dir, split) for split in splits}
    total = sum(reader.num_images for reader in readers.values())
    try:
        if output.exists() and (not output.is_dir() or any(output.iterdir())):
            raise UserError(f"--extract={output_dir} is not empty; choose an empty or a new folder")
        output.parent.mkdir(parents=True, exist_ok=True)
        # Beside the folder, so that it gets its name by a single rename when all is there.
        staging = pathlib.Path(tempfile.mkdtemp(prefix=f".{output.name}.", dir=output.parent))
        try:
            with tqdm.tqdm(
                total=total, desc="extract", unit="img", disable=not show_progress
            ) as bar:
                for split, reader in readers.items():
                    _extract_split(reader, staging / split, f"{data_dir}, {split}", bar)
            staging.chmod(0o777 & ~_umask())
            os.replace(staging, output)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    except OSError as error:
        raise UserError(
            f"--extract={output_dir}: {error.filename or ''}: {error.strerror or error}; "
            "nothing was extracted"
        ) from error
    return total


def _extract_split(reader: RecordReader, folder: pathlib.Path, where: str, bar: tqdm.tqdm) -> None:
    folder.mkdir()
    for position in range(reader.num_images):
        try:
            record, _ = parse_record(reader.read(position))
            path = folder / _check_name(record.filename)
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(path, "xb") as file:
                file.write(record.encoded)
        except FileExistsError:
            raise UserError(
                f"{where}, record {position}: file name {record.filename!r} occurs twice"
            ) from None
        except ValueError as error:
            raise UserError(f"{where}, record {position}: {error}") from error
        bar.update()


def _check_name(name: str) -> str:
    """Return a name that leads to a file below its folder; a ValueError carries the reason."""
    parts = name.split("/")
    if "\0" in name or any(part in ("", ".", "..") for part in parts):
        raise ValueError(f"unsafe file name {name!r}, nothing is written under it")
    return name


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
