"""Which data sets there are, how their folders are laid out, and how their files are found.

A data set is one row of DATASETS; the one converter (`daaf_tf.data.conversion`) serves all rows.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import re

from daaf_tf import schema
from daaf_tf.data.person import Person
from daaf_tf.errors import UserError

IMAGE_EXTENSIONS = (".jpg", ".jpeg", ".png")


@dataclasses.dataclass(frozen=True)
class Counts:
    """What a split holds; in the table, what the real set is published to hold.

    Attributes:
      images: all images, junk and distractors included.
      identities: distinct persons, junk and distractors excluded.
      cameras: distinct cameras.
      junk: images of schema.JUNK_ID.
      distractors: images of schema.DISTRACTOR_ID.
      masks: images with a mask.
      keypoint_maps: images with all 17 heat maps.
    """

    images: int
    identities: int
    cameras: int
    junk: int
    distractors: int
    masks: int
    keypoint_maps: int


@dataclasses.dataclass(frozen=True)
class DataSet:
    """One row of the table: where a data set's files are and what their names say.

    Attributes:
      title: name for people.
      roots: names that the data set's own folder goes by below the data root.
      image_folders: {split: folder below the data set's own}.
      mask_folders: {split: folder below the data root}; a mask has its image's name, as JPEG or
        PNG.
      heatmap_folders: {split: folder below the data root}; maps are `<stem>_00` .. `<stem>_16`, as
        PNG or JPEG.
      name_pattern: matches a file name whole; groups `person` and `camera` are whole numbers.
      name_example: a name that matches, for messages.
      max_stretch: how far an annotation's height over width may be from its image's, as a factor.
      expected: {split: counts of the real set}.
    """

    title: str
    roots: tuple[str, ...]
    image_folders: dict[str, str]
    mask_folders: dict[str, str]
    heatmap_folders: dict[str, str]
    name_pattern: str
    name_example: str
    max_stretch: float
    expected: dict[str, Counts]


DATASETS = {
    "market1501": DataSet(
        title="Market-1501",
        roots=("Market-1501", "Market-1501-v15.09.15"),
        image_folders={
            schema.TRAIN: "bounding_box_train",
            schema.QUERY: "query",
            schema.GALLERY: "bounding_box_test",
        },
        mask_folders={
            schema.TRAIN: "mask-anno/bounding_box_train",
            schema.QUERY: "mask-anno/query",
            schema.GALLERY: "mask-anno/bounding_box_test",
        },
        heatmap_folders={schema.TRAIN: "Market_cpn_keypoints/bounding_box_train_256_2"},
        # Sequence, frame and box say nothing that is needed; a camera number is read to its end,
        # so that c12 is not camera 1.
        name_pattern=r"(?P<person>-1|[0-9]{1,9})_c(?P<camera>[0-9]{1,9})(s[0-9]+)?[_.].*",
        name_example="0002_c1s1_000451_03.jpg",
        # All images are 128 x 64, all maps 256 x 128: anything else belongs to another image.
        max_stretch=1.1,
        expected={
            schema.TRAIN: Counts(12936, 751, 6, 0, 0, 12936, 12936),
            schema.QUERY: Counts(3368, 750, 6, 0, 0, 3368, 0),
            schema.GALLERY: Counts(19732, 750, 6, 3819, 2798, 19732, 0),
        },
    ),
}


# In the order in which they are counted.
PROBLEM_KINDS = ("image", "mask", "heatmaps", "keypoints", "annotations")


@dataclasses.dataclass(frozen=True)
class Problem:
    """A file that could not be used, and why.

    Attributes:
      kind: "image" (the image was skipped), "mask", "heatmaps" or "keypoints" (only that annotation
        was), or "annotations" (what a COCO file has of no image of the data set).
      split: of schema.SPLITS; empty for "annotations".
      file: path below the data root; or path of a COCO file, and where in it.
      reason: for people.
    """

    kind: str
    split: str
    file: str
    reason: str

    def __str__(self) -> str:
        return f"{self.file}: {self.reason}"


@dataclasses.dataclass(frozen=True)
class ImageFile:
    """An image whose name was understood, and where its annotations would be.

    Attributes:
      split: of schema.SPLITS.
      path: of the image, below the data root.
      filename: path below the split's image folder.
      person_id: from the name.
      camera_id: from the name.
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


def list_images(dataset: DataSet, data_root: str | os.PathLike) -> Listing:
    """List a data set's images by the names of its files; opens none of them.

    Args:
      dataset: a row of DATASETS.
      data_root: folder that holds the data set's own folder and the annotation folders.

    Raises:
      UserError: a missing image folder, or one without a single image.
    """
    data_root = pathlib.Path(data_root)
    home = _find_home(dataset, data_root)
    listing = Listing()
    for split, folder in dataset.image_folders.items():
        masks = _annotation_folder(dataset.mask_folders, "masks", split, data_root, listing)
        maps = _annotation_folder(dataset.heatmap_folders, "heat maps", split, data_root, listing)
        images = []
        for name in _list_candidates(split, f"{home}/{folder}", data_root, listing):
            stem = name.rpartition(".")[0]
            path = f"{home}/{folder}/{name}"
            try:
                person_id, camera_id = _parse_name(dataset, name, split)
            except ValueError as error:
                listing.problems.append(Problem("image", split, path, str(error)))
                continue
            mask_stem, heatmap_stem = (where and f"{where}/{stem}" for where in (masks, maps))
            images.append(
                ImageFile(split, path, name, person_id, camera_id, mask_stem, heatmap_stem)
            )
        if split == schema.TRAIN:
            images.sort(key=lambda file: file.person_id)
        listing.images[split] = images
    return listing


def _find_home(dataset: DataSet, data_root: pathlib.Path) -> str:
    """Return the name of the data set's own folder below the data root."""
    if not data_root.is_dir():
        raise UserError(f"--data_root={data_root}: no such folder")
    for name in dataset.roots:
        if (data_root / name).is_dir():
            return name
    hint = ""
    if any((data_root / folder).is_dir() for folder in dataset.image_folders.values()):
        hint = f"; it looks like that folder itself: give the one above it, {data_root.parent}"
    raise UserError(f"--data_root={data_root}: expected a folder {dataset.roots[0]} in it{hint}")


def _annotation_folder(
    folders: dict[str, str], what: str, split: str, data_root: pathlib.Path, listing: Listing
) -> str | None:
    """Return a split's annotation folder, or None (and a note, if there should be one)."""
    folder = folders.get(split)
    if folder is None or (data_root / folder).is_dir():
        return folder
    listing.notes.append(f"no folder {folder}: {split} has no {what}")
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


def _parse_name(dataset: DataSet, name: str, split: str) -> tuple[int, int]:
    """Return person and camera id of a file name; a ValueError carries the reason."""
    match = re.fullmatch(dataset.name_pattern, name, re.DOTALL)
    if match is None:
        raise ValueError(f"name not understood, expected one like {dataset.name_example}")
    person_id = int(match["person"])
    if split != schema.GALLERY and person_id in (schema.JUNK_ID, schema.DISTRACTOR_ID):
        raise ValueError(f"person {match['person']} is junk or distractor; only a gallery has them")
    return person_id, int(match["camera"])
