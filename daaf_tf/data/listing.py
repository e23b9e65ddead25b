"""The images of a data set: which there are, whom they show, and where their annotations would be.

Names and lists are read here; no image is opened.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import posixpath
import re
from collections.abc import Iterator

from daaf_tf import schema
from daaf_tf.data.datasets import DataSet
from daaf_tf.data.listed import ImageList, ListedImage, read_csv, read_list
from daaf_tf.data.person import Person
from daaf_tf.data.problems import Problem
from daaf_tf.errors import UserError

IMAGE_EXTENSIONS = (".jpg", ".jpeg", ".png")


@dataclasses.dataclass(frozen=True)
class ImageFile:
    """An image whose name was understood, and where its annotations would be.

    Attributes:
      split: of schema.SPLITS.
      path: of the image, below the data root.
      filename: path below the split's image folder.
      person_id: from the name or a list.
      camera_id: from the name or a list; a negative number that no other image has where a list
        knows no camera.
      mask_stem: path below the data root, without extension; None: this split has no masks.
      heatmap_stem: path below the data root, without `_00.png`; None: this split has no maps.
      persons: what COCO files have of this image.
    """

    split: str
    path: str
    filename: str
    person_id: int
    camera_id: int
    mask_stem: str | None
    heatmap_stem: str | None
    persons: tuple[Person, ...] = ()


@dataclasses.dataclass
class Listing:
    """What is in a data set's folders.

    Attributes:
      images: {split: files in the order of the records}: train by person and file name, query and
        gallery by file name.
      problems: images whose names were not understood.
      ignored: paths of files that are no images, such as Thumbs.db.
      notes: what a reader of the summary must know.
    """

    images: dict[str, list[ImageFile]] = dataclasses.field(default_factory=dict)
    problems: list[Problem] = dataclasses.field(default_factory=list)
    ignored: list[str] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)


def list_images(
    dataset: DataSet, data_root: str | os.PathLike, csv_file: str | os.PathLike = ""
) -> Listing:
    """List a data set's images by names and lists; open none of them.

    Args:
      dataset: a row of DATASETS.
      data_root: folder that holds the data set's own folder and the annotation folders.
      csv_file: for the row without folders, the file that names the images below `data_root`.

    Raises:
      UserError: a missing folder or list, one without a single image, or two folders that may both
        be the data set's.
    """
    data_root = pathlib.Path(data_root)
    if not data_root.is_dir():
        raise UserError(f"--data_root={data_root}: no such folder")
    listing = Listing()
    if dataset.roots:
        found = _list_folders(dataset, data_root, listing)
    else:
        found = _list_csv(dataset, csv_file, data_root, listing)
    absent: dict[tuple[str, str], list[str]] = {}
    for split, images in found:
        masks = _annotation_folder(dataset.mask_folders, "masks", split, data_root, absent)
        maps = _annotation_folder(dataset.heatmap_folders, "heat maps", split, data_root, absent)
        files = [
            ImageFile(split, *image, *_annotation_stems(image[1], masks, maps)) for image in images
        ]
        files.sort(key=lambda file: (split == schema.TRAIN and file.person_id, file.filename))
        listing.images[split] = files
    for (folder, what), splits in absent.items():
        have = "have" if len(splits) > 1 else "has"
        listing.notes.append(f"no folder {folder}: {', '.join(splits)} {have} no {what}")
    return listing


# Path below the data root, file name below the split's folder, person id, camera id.
_Found = tuple[str, str, int, int]


def _list_folders(
    dataset: DataSet, data_root: pathlib.Path, listing: Listing
) -> Iterator[tuple[str, list[_Found]]]:
    """Yield each split and its images of a data set that has folders."""
    home = _find_home(dataset, data_root)
    for split, names in dataset.image_folders.items():
        folder = _pick(data_root / home, names)
        if folder is None and split == schema.MULTI_QUERY:
            continue
        if folder is None:
            raise UserError(
                f"{data_root / home}: expected a folder {' or '.join(names)} with {split} images"
            )
        where = f"{home}/{folder}"
        if split in dataset.list_files:
            yield split, _list_listed(dataset, split, home, where, data_root, listing)
        else:
            yield split, _list_named(dataset, split, where, data_root, listing)


def _list_named(
    dataset: DataSet, split: str, folder: str, data_root: pathlib.Path, listing: Listing
) -> list[_Found]:
    """Return the images of a folder whose names tell person and camera."""
    images = []
    for name in _list_candidates(split, folder, data_root, listing):
        path = f"{folder}/{name}"
        try:
            match = _match_name(dataset, name)
            person_id = int(match["person"])
            _check_person(dataset, person_id, split)
        except ValueError as error:
            listing.problems.append(Problem("image", split, path, str(error)))
            continue
        images.append((path, name, person_id, int(match["camera"])))
    return images


def _list_listed(
    dataset: DataSet,
    split: str,
    home: str,
    folder: str,
    data_root: pathlib.Path,
    listing: Listing,
) -> list[_Found]:
    """Return the images that a split's list files name; the camera is in the images' names."""
    images, origins = [], {}
    for name in dataset.list_files[split]:
        listed = read_list(data_root / home / name, split, data_root / folder)
        for image in _usable(dataset, listed, listing):
            path = f"{folder}/{image.path}"
            try:
                match = _match_name(dataset, posixpath.basename(image.path))
                if origins.setdefault(path, name) != name:
                    raise ValueError(f"listed in {name}, and in {origins[path]} already")
            except ValueError as error:
                listing.problems.append(Problem("image", split, path, str(error)))
                continue
            images.append((path, image.path, image.person_id, int(match["camera"])))
    return images


def _list_csv(
    dataset: DataSet, csv_file: str | os.PathLike, data_root: pathlib.Path, listing: Listing
) -> Iterator[tuple[str, list[_Found]]]:
    """Yield each split that a CSV file names, and its images."""
    listed = read_csv(csv_file, data_root)
    splits: dict[str, list[_Found]] = {split: [] for split in schema.SPLITS}
    for image in _usable(dataset, listed, listing):
        # A number that no camera and no other image has.
        camera_id = -image.line if image.camera_id is None else image.camera_id
        splits[image.split].append((image.path, image.path, image.person_id, camera_id))
    if not any(splits.values()):
        raise UserError(f"no usable line; the first: {listing.problems[0]}")
    named = {image.split for image in listed.images} | {split for _, split, _ in listed.faults}
    missing = [s for s in (schema.TRAIN, schema.QUERY, schema.GALLERY) if s not in named]
    listing.notes += listed.notes
    if missing:
        listing.notes.append(f"no images for {', '.join(missing)}")
    for split, images in splits.items():
        if split in named:
            yield split, images


def _usable(dataset: DataSet, listed: ImageList, listing: Listing) -> Iterator[ListedImage]:
    """Yield the images of a list that can be used; add the others to the problems."""
    faults = list(listed.faults)
    for image in listed.images:
        try:
            _check_person(dataset, image.person_id, image.split)
        except ValueError as error:
            faults.append((image.line, image.split, str(error)))
            continue
        yield image
    for line, split, reason in sorted(faults):
        listing.problems.append(Problem("image", split, f"{listed.file}, line {line}", reason))


def _find_home(dataset: DataSet, data_root: pathlib.Path) -> str:
    """Return the name of the data set's own folder below the data root."""
    home = _pick(data_root, dataset.roots)
    if home is not None:
        return home
    hint = ""
    if any(_pick(data_root, names) for names in dataset.image_folders.values()):
        hint = f"; it looks like that folder itself: give the one above it, {data_root.parent}"
    raise UserError(f"--data_root={data_root}: expected a folder {dataset.roots[0]} in it{hint}")


def _pick(folder: pathlib.Path, names: tuple[str, ...]) -> str | None:
    """Return the one of the names that is a folder below `folder`, or None."""
    found = [name for name in names if (folder / name).is_dir()]
    # The same folder by two names is none too many: a link, or a disk that does not heed case.
    if len(found) > 1 and not os.path.samefile(folder / found[0], folder / found[1]):
        raise UserError(
            f"{folder} holds both {found[0]} and {found[1]}: rename the one that is not meant"
        )
    return found[0] if found else None


def _annotation_stems(
    name: str, masks: str | None, maps: str | None
) -> tuple[str | None, str | None]:
    stem = posixpath.splitext(name)[0]
    return masks and f"{masks}/{stem}", maps and f"{maps}/{stem}"


def _annotation_folder(
    folders: dict[str, str],
    what: str,
    split: str,
    data_root: pathlib.Path,
    absent: dict[tuple[str, str], list[str]],
) -> str | None:
    """Return a split's annotation folder, or None; add it to the absent ones if it should be."""
    folder = folders.get(split)
    if folder is None or (data_root / folder).is_dir():
        return folder
    absent.setdefault((folder, what), []).append(split)
    return None


def _list_candidates(
    split: str, folder: str, data_root: pathlib.Path, listing: Listing
) -> list[str]:
    """Return the names in a folder that look like images, sorted; list the others as ignored."""
    try:
        with os.scandir(data_root / folder) as entries:
            names = sorted((entry.name, entry.is_file()) for entry in entries)
    except OSError as error:
        raise UserError(
            f"{data_root / folder}: {error.strerror}; expected {split} images"
        ) from None
    images = []
    for name, is_file in names:
        if not name.lower().endswith(IMAGE_EXTENSIONS):
            listing.ignored.append(f"{folder}/{name}")
        elif not is_file:
            listing.problems.append(Problem("image", split, f"{folder}/{name}", "not a file"))
        else:
            images.append(name)
    if not images:
        raise UserError(f"{data_root / folder}: no {' or '.join(IMAGE_EXTENSIONS)} file in it")
    return images


def _match_name(dataset: DataSet, name: str) -> re.Match:
    """Return what a file name says; a ValueError carries the reason if it says nothing."""
    match = re.fullmatch(dataset.name_pattern, name, re.DOTALL)
    if match is None:
        raise ValueError(f"name not understood, expected one like {dataset.name_example}")
    return match


def _check_person(dataset: DataSet, person_id: int, split: str) -> None:
    """Raise a ValueError with the reason if a split may not have a person id."""
    if person_id < schema.JUNK_ID:
        raise ValueError(f"person {person_id}, expected {schema.JUNK_ID} or more")
    special = {schema.JUNK_ID} | ({schema.DISTRACTOR_ID} if dataset.zero_is_distractor else set())
    if split != schema.GALLERY and person_id in special:
        raise ValueError(f"person {person_id} is junk or distractor; only a gallery has them")
