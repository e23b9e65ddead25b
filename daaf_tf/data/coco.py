"""COCO files, read and shared out to the images of a data set by file name.

A ground-truth file has `images` and `annotations`; a result file is a list of annotations whose
`image_id` (or `file_name`) is a file name. docs/annotations.md describes both.
"""

from __future__ import annotations

import collections
import dataclasses
import importlib.util
import json
import os
import re
from collections.abc import Iterable
from typing import Any

from daaf_tf import schema
from daaf_tf.data.datasets import DataSet
from daaf_tf.data.listing import ImageFile, Listing
from daaf_tf.data.person import Person, is_number
from daaf_tf.data.problems import Problem
from daaf_tf.errors import UserError

AUTO = "auto"  # the data set's own annotation folders
NONE = "none"

_PERSON = "person"
# Without a list of categories, these are persons: COCO's own number, and the first from 0.
_PERSON_CATEGORIES = (0, 1, None)


@dataclasses.dataclass(frozen=True)
class Sources:
    """Where annotations come from.

    Attributes:
      folders: whether the data set's own folders are read.
      coco_files: paths of COCO files. What one of them says of an image takes the place of the
        folders' annotation of the same kind.
    """

    folders: bool
    coco_files: tuple[str, ...]


def parse_sources(text: str) -> Sources:
    """Parse the value of `--annotations`: `none`, or `auto` and paths of COCO files with commas.

    Raises:
      UserError: nothing, `none` beside something else, or a path that is no file.
    """
    names = [name.strip() for name in text.split(",")]
    paths = tuple(name for name in names if name not in (AUTO, NONE))
    if not all(names) or (NONE in names and len(names) > 1):
        raise UserError(
            f"--annotations={text}: expected none, or auto and paths of COCO JSON files, "
            "separated by commas"
        )
    for path in paths:
        if not os.path.isfile(path):
            raise UserError(f"--annotations={text}: no file {path}; expected auto, none or a path")
    return Sources(AUTO in names, paths)


def without_folders(dataset: DataSet) -> DataSet:
    """Return a data set of which only the images are used."""
    return dataclasses.replace(dataset, mask_folders={}, heatmap_folders={})


def add_persons(listing: Listing, paths: Iterable[str]) -> None:
    """Give the images of a listing the persons that COCO files have for them.

    A name belongs to the image that shares most of its path with it, from the end: the file name
    and, if the name has one, the folder. What belongs to no image becomes a problem.

    Args:
      listing: its images get `persons`; problems and notes are added.
      paths: COCO files.

    Raises:
      UserError: a file that cannot be read or used as a whole, see `read_coco`.
    """
    images = collections.defaultdict(list)
    for file in (file for files in listing.images.values() for file in files):
        images[file.path.rpartition("/")[2]].append(file.path)
    persons = collections.defaultdict(list)
    for path in paths:
        found = read_coco(path)
        for name, of_image in found.persons.items():
            try:
                persons[_match(name, images)].extend(of_image)
            except ValueError as error:
                found.problems.append(Problem("annotations", "", f"{path}: {name}", str(error)))
        listing.problems.extend(found.problems)
        if found.others:
            listing.notes.append(f"{path}: {found.others:,} annotations of other things ignored")
    for split, files in listing.images.items():
        listing.images[split] = [_with_persons(file, persons.get(file.path)) for file in files]


def _with_persons(file: ImageFile, persons: list[Person] | None) -> ImageFile:
    return dataclasses.replace(file, persons=tuple(persons)) if persons else file


def _match(name: str, images: dict[str, list[str]]) -> str:
    """Return the path of the image that a name in a COCO file means; a ValueError says why not."""
    parts = [part for part in re.split(r"[\\/]", name) if part not in ("", ".")]
    shared = {}
    for path in images.get(parts[-1] if parts else "", ()):
        folders = path.split("/")
        pairs = zip(reversed(parts), reversed(folders))
        count = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(parts), len(folders)))
        if count >= min(2, len(parts), len(folders)):
            shared[path] = count
    if not shared:
        raise ValueError("no such image in the data set")
    best = [path for path, count in shared.items() if count == max(shared.values())]
    if len(best) > 1:
        raise ValueError(f"may be {' or '.join(best[:3])}; write more of its folders before it")
    return best[0]


@dataclasses.dataclass
class CocoFile:
    """What a COCO file holds.

    Attributes:
      persons: {file name as the file has it: persons on that image}, images without any included.
      problems: annotations that belong to no image.
      others: how many annotations are of another category.
    """

    persons: dict[str, list[Person]] = dataclasses.field(default_factory=dict)
    problems: list[Problem] = dataclasses.field(default_factory=list)
    others: int = 0


def read_coco(path: str) -> CocoFile:
    """Read a COCO file, ground truth or result.

    Raises:
      UserError: unreadable, no JSON, neither of the two formats, joints other than COCO's 17, no
        person among its categories, or polygons and no pycocotools.
    """
    content = _read_json(path)
    if isinstance(content, list):
        return _collect(path, content, _PERSON_CATEGORIES, None)
    if not (isinstance(content, dict) and isinstance(content.get("annotations"), list)):
        raise UserError(
            f"{path}: expected a COCO file: an object with images and annotations, or a list of "
            f"results; received {_outline(content)}"
        )
    persons = _person_categories(path, content.get("categories"))
    return _collect(path, content["annotations"], persons, _image_table(path, content))


def _read_json(path: str) -> Any:
    try:
        with open(path, "rb") as file:
            return json.load(file)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not JSON ({error}); expected a COCO file") from None


def _outline(content: Any) -> str:
    if isinstance(content, dict):
        return f"an object with {', '.join(map(repr, sorted(content)[:8])) or 'nothing in it'}"
    return type(content).__name__


def _person_categories(path: str, categories: Any) -> tuple:
    """Return the ids of the categories that are persons."""
    if not categories:
        return _PERSON_CATEGORIES
    if not isinstance(categories, list) or not all(
        isinstance(each, dict) and type(each.get("id")) is int for each in categories
    ):
        raise UserError(f"{path}: categories should be a list of objects with an id")
    persons = {
        each["id"]
        for each in categories
        if str(each.get("name")).lower() == _PERSON or each.get("keypoints")
    }
    if not persons and len(categories) > 1:
        names = ", ".join(str(each.get("name")) for each in categories[:8])
        raise UserError(f"{path}: no category person, found {names}")
    for each in categories:
        if each.get("keypoints"):
            _check_joints(path, each["keypoints"])
    return tuple(persons or [categories[0]["id"]])


def _check_joints(path: str, joints: Any) -> None:
    names = joints if isinstance(joints, list) else [joints]
    spelt = tuple(re.sub(r"[\s-]+", "_", str(name).strip().lower()) for name in names)
    if spelt != schema.JOINTS:
        raise UserError(
            f"{path}: its keypoints are not COCO's: expected {', '.join(schema.JOINTS)}; found "
            f"{len(names)}: {', '.join(map(str, names))}"
        )


def _image_table(path: str, content: dict) -> dict[int | str, tuple[str, Any]]:
    """Return {id: (file name, (width, height) or None)} of a ground-truth file."""
    table = {}
    images = content.get("images")
    if not isinstance(images, list):
        raise UserError(f"{path}: expected a list of images, received {_outline(images)}")
    for number, image in enumerate(images):
        fields = image if isinstance(image, dict) else {}
        key, name = fields.get("id"), fields.get("file_name")
        if type(key) not in (int, str) or not isinstance(name, str):
            raise UserError(f"{path}: images[{number}] has no id or no file_name: {image!r:.120}")
        size = fields.get("width"), fields.get("height")
        entry = (name, size if any(size) else None)
        if table.setdefault(key, entry) != entry:
            raise UserError(f"{path}: two images have the id {key!r}: {table[key][0]} and {name}")
    return table


def _collect(
    path: str, annotations: list, persons: tuple, table: dict[int | str, tuple[str, Any]] | None
) -> CocoFile:
    """Share annotations out to file names; without a table their image ids are the names."""
    is_list = table is None
    found = CocoFile({name: [] for name, _ in (table or {}).values()})
    for number, entry in enumerate(annotations):
        origin = f"{path}: [{number}]" if is_list else f"{path}: annotations[{number}]"
        if not isinstance(entry, dict):
            problem = f"{type(entry).__name__}, expected an object"
            found.problems.append(Problem("annotations", "", origin, problem))
            continue
        category = entry.get("category_id")
        if category not in persons:
            found.others += 1
            continue
        try:
            name, size = _image_of(entry, table)
        except ValueError as error:
            found.problems.append(Problem("annotations", "", origin, str(error)))
            continue
        found.persons.setdefault(name, []).append(_make_person(path, origin, entry, size, is_list))
    return found


def _image_of(entry: dict, table: dict[int | str, tuple[str, Any]] | None) -> tuple[str, Any]:
    """Return file name and size of an annotation's image; a ValueError carries the reason."""
    key, name = entry.get("image_id"), entry.get("file_name")
    if table is None:
        if isinstance(name, str) or isinstance(key, str):
            return (name if isinstance(name, str) else key), None
        raise ValueError(
            f"image_id {key!r:.80} is no file name; put the list into a ground-truth file, "
            'as "annotations" beside its "images"'
        )
    if type(key) not in (int, str) or key not in table:
        raise ValueError(f"image_id {key!r:.80} is none of the file's images")
    return table[key]


def _make_person(path: str, origin: str, entry: dict, size: Any, is_list: bool) -> Person:
    # Some writers leave an empty list where there is nothing.
    keypoints, segmentation = entry.get("keypoints") or None, entry.get("segmentation") or None
    if isinstance(keypoints, list) and len(keypoints) % 3 == 0 and len(keypoints) != 51:
        raise UserError(
            f"{origin}: {len(keypoints) // 3} joints, expected COCO's {schema.NUM_JOINTS}: "
            f"{', '.join(schema.JOINTS)}"
        )
    if isinstance(segmentation, list) and importlib.util.find_spec("pycocotools") is None:
        raise UserError(
            f"{path} holds polygons; to draw them the package pycocotools is needed: "
            "pip install pycocotools"
        )
    score = entry.get("score")
    return Person(
        origin=origin,
        keypoints=keypoints,
        segmentation=segmentation,
        box=entry.get("bbox") or None,
        image_size=size,
        score=score if is_number(score) else 0.0,
        is_result=is_list or score is not None,
        is_crowd=bool(entry.get("iscrowd")),
    )
