"""Where the images of a gallery come from: a folder, a CSV file, or records."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Iterable

from daaf_tf import schema
from daaf_tf.data.datasets import DATASETS
from daaf_tf.data.listed import read_csv
from daaf_tf.data.listing import IMAGE_EXTENSIONS
from daaf_tf.data.reading import MAX_FILE_BYTES
from daaf_tf.data.records import RecordReader, read_manifest
from daaf_tf.data.stored_ids import read_image_record
from daaf_tf.errors import UserError


@dataclasses.dataclass(frozen=True)
class SourceImage:
    """An image that a source has.

    Attributes:
      path: of the file below the source's folder; in records, the file name there.
      person_id: whom it shows; None: not known.
      camera_id: which camera took it; None: not known.
      position: of its record; None: it is a file.
    """

    path: str
    person_id: int | None = None
    camera_id: int | None = None
    position: int | None = None


@dataclasses.dataclass
class Source:
    """Images of one origin, listed but not yet read.

    Attributes:
      folder: absolute path that the images' paths are below; of records, their folder.
      split: of records; empty: the images are files.
      images: in the order of adding; no path is there twice.
      problems: what cannot be used, and why, a line each.
      junk: images left out because they show nobody (person id below 0).
    """

    folder: str
    split: str = ""
    images: list[SourceImage] = dataclasses.field(default_factory=list)
    problems: list[str] = dataclasses.field(default_factory=list)
    junk: int = 0

    @property
    def description(self) -> dict[str, str]:
        """What a gallery remembers of the source."""
        return {"folder": self.folder, **({"split": self.split} if self.split else {})}

    def add(self, image: SourceImage) -> None:
        """Take an image, unless it is junk."""
        if image.person_id is not None and image.person_id < 0:
            self.junk += 1
        else:
            self.images.append(image)


def list_folder(folder: str | os.PathLike) -> Source:
    """List the JPEG and PNG files in a folder and below it; whom they show is not known.

    Raises:
      UserError: no such folder, or no image in it.
    """
    source = Source(_find_folder(folder))
    for path, folders, names in os.walk(source.folder):
        folders.sort()
        below = os.path.relpath(path, source.folder)
        for name in sorted(names):
            if name.lower().endswith(IMAGE_EXTENSIONS):
                source.add(SourceImage(os.path.normpath(os.path.join(below, name))))
    if not source.images:
        raise UserError(f"{folder}: no {' or '.join(IMAGE_EXTENSIONS)} file in it")
    return source


def list_csv(csv_file: str | os.PathLike, data_root: str | os.PathLike, split: str = "") -> Source:
    """List the images that a CSV file names, see `data.listed.read_csv`.

    Args:
      csv_file: with columns path, person_id and perhaps camera_id and split.
      data_root: folder that the paths are below.
      split: take the lines of this split only; empty: all.

    Raises:
      UserError: the file cannot be used, or has no line of that split.
    """
    listed = read_csv(csv_file, data_root)
    source = Source(_find_folder(data_root))
    source.problems = [f"{csv_file}, line {line}: {reason}" for line, _, reason in listed.faults]
    seen: set[str] = set()  # an image may be a query and among those of a multiple query
    for image in listed.images:
        if split in ("", image.split) and image.path not in seen:
            seen.add(image.path)
            source.add(SourceImage(image.path, image.person_id, image.camera_id))
    if not source.images:
        which = f"of split {split}" if split else "that can be used"
        raise UserError(f"{csv_file}: no line {which}" + "".join(f"; {p}" for p in source.problems))
    return source


def list_records(data_dir: str | os.PathLike, split: str) -> Source:
    """List the images of a split of records; junk is left out, of distractors nobody is known.

    Raises:
      UserError: no such records, or damaged ones.
    """
    dataset = DATASETS.get(str(read_manifest(data_dir).get("dataset")))
    nobody = {schema.DISTRACTOR_ID} if dataset is None or dataset.zero_is_distractor else set()
    source = Source(os.path.abspath(data_dir), split)
    reader = RecordReader(data_dir, split)
    for position in range(reader.num_images):
        record = read_image_record(reader, position)
        person_id = None if record.person_id in nobody else record.person_id
        camera_id = None if record.camera_id < 0 else record.camera_id
        source.add(SourceImage(record.filename, person_id, camera_id, position))
    if not source.images:
        raise UserError(f"{data_dir}: no person on any image of split {split}")
    return source


def list_paths(paths: Iterable[str | os.PathLike]) -> Source:
    """List files, and the images in folders, by the paths that they were given."""
    source = Source("")
    for path in paths:
        if os.path.isdir(path):
            images = list_folder(path).images
            source.images += [SourceImage(os.path.join(path, image.path)) for image in images]
        else:
            source.add(SourceImage(os.fspath(path)))
    return source


class SourceReader:
    """Reads the images of a source; the records' files are opened once."""

    def __init__(self, description: dict[str, str]):
        """Take a source's description; nothing is opened yet."""
        self._folder = description["folder"]
        self._split = description.get("split", "")
        self._reader: RecordReader | None = None

    def read(self, path: str, position: int | None) -> bytes:
        """Return an image's file, or the one that its record holds.

        Args:
          path: of the image, see `SourceImage`.
          position: of its record, or None.

        Raises:
          UserError: it cannot be read, or the record is of another image by now.
        """
        if position is None:
            return _read_file(pathlib.Path(self._folder, path))
        if self._reader is None:
            self._reader = RecordReader(self._folder, self._split)
        if position < self._reader.num_images:
            record = read_image_record(self._reader, position)
            if record.filename == path:
                return record.encoded
        raise UserError(
            f"{self._folder}: record {position} of {self._split} is {path} no more; add it again"
        )


def _find_folder(folder: str | os.PathLike) -> str:
    if not os.path.isdir(folder):
        raise UserError(f"{folder}: expected a folder of images, there is none")
    return os.path.abspath(folder)


def _read_file(path: pathlib.Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise UserError(f"{path}: {size:,} bytes are no picture of a person")
        return path.read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(f"{path}: cannot be read ({reason})") from error
