"""Images that a file names one by one: the CSV of a set of one's own, the lists of a published one.

Such a file was written by a program or by hand, perhaps by somebody else: every line is checked by
itself, and what cannot be used is named with its line.
"""

from __future__ import annotations

import collections
import csv
import dataclasses
import io
import os
import pathlib
import posixpath
import re

from daaf_tf import schema
from daaf_tf.errors import UserError

CSV_COLUMNS = ("path", "person_id")
CSV_OPTIONAL_COLUMNS = ("camera_id", "split")

_WHOLE_NUMBER = re.compile(r"-?[0-9]{1,18}")


@dataclasses.dataclass(frozen=True)
class ListedImage:
    """One line of a list.

    Attributes:
      line: number of the line, from 1.
      split: of schema.SPLITS.
      path: of the image below the folder that the list is about, with no `.` or `..` in it.
      person_id: as listed.
      camera_id: as listed; None: not listed.
    """

    line: int
    split: str
    path: str
    person_id: int
    camera_id: int | None


@dataclasses.dataclass
class ImageList:
    """What a list says.

    Attributes:
      file: path of the list, for messages.
      images: lines that can be used, in their order.
      faults: (line, split or "" if unknown, reason) of lines that cannot.
      notes: what a reader of the summary must know.
    """

    file: str
    images: list[ListedImage] = dataclasses.field(default_factory=list)
    faults: list[tuple[int, str, str]] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)


def read_csv(path: str | os.PathLike, folder: str | os.PathLike) -> ImageList:
    """Read a CSV of images: a header line, then a line for each image.

    Columns, in any order: `path` (below `folder`), `person_id` (a whole number), and if wanted
    `camera_id` (0 or more, or nothing) and `split` (of schema.SPLITS; without the column all images
    are for training). Others are passed over.

    Args:
      path: of a file in UTF-8, with or without a byte order mark, with any line ends.
      folder: that no path may leave, by `..` or by links.

    Raises:
      UserError: not readable, not UTF-8, no CSV, a missing or repeated column, or no line at all.
    """
    reader = csv.reader(
        io.StringIO(_read_text(path), newline=""), skipinitialspace=True, strict=True
    )
    result, inside = ImageList(str(path)), _Inside(folder)
    lines: dict[tuple[str, bool], int] = {}
    try:
        columns = _parse_header(next(reader, []), result)
        for cells in reader:
            if not any(map(str.strip, cells)):
                continue
            split = ""
            try:
                row = _name_cells(columns, cells)
                split = _parse_split(row.get("split"))
                image = _parse_row(row, reader.line_num, split, inside)
                _refuse_repetition(image, lines)
            except ValueError as error:
                result.faults.append((reader.line_num, split, str(error)))
                continue
            result.images.append(image)
    except csv.Error as error:
        raise UserError(f"{path}, line {reader.line_num}: no CSV ({error})") from error
    if not (result.images or result.faults):
        raise UserError(f"{path}: no line after the header, expected one for each image")
    result.notes += _notes(columns, result.images)
    return result


def read_list(path: str | os.PathLike, split: str, folder: str | os.PathLike) -> ImageList:
    """Read a list with a line `path person` for each image of a split, without a header.

    Args:
      path: of a file in UTF-8.
      split: of schema.SPLITS.
      folder: that the paths are below and may not leave.

    Raises:
      UserError: not readable or not UTF-8.
    """
    result, inside = ImageList(str(path)), _Inside(folder)
    lines: dict[tuple[str, bool], int] = {}
    for number, line in enumerate(_read_text(path).splitlines(), start=1):
        if not line.strip():
            continue
        name, _, person = line.strip().rpartition(" ")
        try:
            person_id = _parse_number("person", person)
            image = ListedImage(number, split, inside.check(name.strip()), person_id, None)
            _refuse_repetition(image, lines)
        except ValueError as error:
            result.faults.append((number, split, str(error)))
            continue
        result.images.append(image)
    return result


def _read_text(path: str | os.PathLike) -> str:
    try:
        content = pathlib.Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}; expected a list of images") from None
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path}, line {line}: not UTF-8; save the file as UTF-8") from None
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise UserError(f"{path}, line {line}: a zero byte; save the file as UTF-8 text")
    if not text.strip():
        raise UserError(f"{path}: empty, expected a line for each image")
    return text


def _parse_header(cells: list[str], result: ImageList) -> list[str]:
    """Return the names of the columns; note those that are not known."""
    columns = [cell.strip() for cell in cells]
    missing = [name for name in CSV_COLUMNS if name not in columns]
    if missing:
        hint = "; separate columns by commas" if len(columns) == 1 else ""
        raise UserError(
            f"{result.file}, line 1: no column {' and no column '.join(missing)}; expected "
            f"{','.join(CSV_COLUMNS)} and perhaps {','.join(CSV_OPTIONAL_COLUMNS)}, found "
            f"{','.join(columns)!r}{hint}"
        )
    repeated = [name for name, count in collections.Counter(columns).items() if count > 1]
    if repeated:
        raise UserError(f"{result.file}, line 1: column {repeated[0]!r} is there more than once")
    known = {*CSV_COLUMNS, *CSV_OPTIONAL_COLUMNS}
    passed_over = [name for name in columns if name not in known]
    if passed_over:
        result.notes.append(f"columns not used: {', '.join(passed_over)}")
    return columns


def _name_cells(columns: list[str], cells: list[str]) -> dict[str, str]:
    if len(cells) != len(columns):
        raise ValueError(f"{len(cells)} cells, expected {len(columns)} as in the header")
    return dict(zip(columns, map(str.strip, cells)))


def _parse_split(split: str | None) -> str:
    if split is None:
        return schema.TRAIN
    if split not in schema.SPLITS:
        raise ValueError(f"split {split!r}, expected {' or '.join(schema.SPLITS)}")
    return split


def _parse_row(row: dict[str, str], line: int, split: str, inside: _Inside) -> ListedImage:
    person_id = _parse_number("person_id", row["person_id"])
    camera_id = None
    if row.get("camera_id"):
        camera_id = _parse_number("camera_id", row["camera_id"])
        if camera_id < 0:
            raise ValueError(f"camera_id {camera_id}, expected 0 or more, or nothing")
    return ListedImage(line, split, inside.check(row["path"]), person_id, camera_id)


def _parse_number(name: str, text: str) -> int:
    if not _WHOLE_NUMBER.fullmatch(text):
        raise ValueError(f"{name} {text!r}, expected a whole number")
    return int(text)


def _refuse_repetition(image: ListedImage, lines: dict[tuple[str, bool], int]) -> None:
    """Refuse a path that was listed before.

    A query may be among the images that stand for its person in a multiple query, but an image in
    both query and gallery would find itself.
    """
    first = lines.setdefault((image.path, image.split == schema.MULTI_QUERY), image.line)
    if first != image.line:
        raise ValueError(f"{image.path} is listed in line {first} already")


def _notes(columns: list[str], images: list[ListedImage]) -> list[str]:
    notes = []
    unknown = sum(image.camera_id is None for image in images)
    if unknown:
        known = "camera_id" in columns
        which = f"{unknown:,} images without a camera_id" if known else "no column camera_id"
        notes.append(
            f"{which}: each such image is its own camera, so that no query leaves out a gallery "
            "image for being of its own camera"
        )
    if "split" not in columns:
        notes.append("no column split: all images are for training")
    return notes


class _Inside:
    """Checks that paths stay below a folder."""

    def __init__(self, folder: str | os.PathLike):
        self._folder = os.fspath(folder)
        self._root = os.path.realpath(folder)
        self._known: dict[str, bool] = {}  # folders below, so that each is resolved once

    def check(self, path: str) -> str:
        """Return a relative path in its simplest form; a ValueError says why it is not allowed."""
        if not path:
            raise ValueError("no path")
        if path.startswith("/"):
            raise ValueError(f"path {path!r}, expected one below {self._folder}")
        if ".." in path.split("/"):
            raise ValueError(f"path {path!r} has .. in it, expected one below {self._folder}")
        path = posixpath.normpath(path)
        full = os.path.join(self._folder, path)
        parent = os.path.dirname(full)
        if parent not in self._known:
            self._known[parent] = self._holds(parent)
        if not self._known[parent] or (os.path.islink(full) and not self._holds(full)):
            raise ValueError(f"path {path!r} is a link that leaves {self._folder}")
        return path

    def _holds(self, path: str) -> bool:
        return os.path.commonpath([self._root, os.path.realpath(path)]) == self._root
