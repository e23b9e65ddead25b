"""Which data sets there are, how their folders are laid out, and what the real ones hold.

A data set is one row of DATASETS; the one converter (`daaf_tf.data.conversion`) serves all rows.
"""

from __future__ import annotations

import dataclasses
import math

from daaf_tf import schema


@dataclasses.dataclass(frozen=True)
class Counts:
    """What a split holds; in the table, what the real set is published to hold.

    Attributes:
      images: all images, junk and distractors included.
      identities: distinct persons, junk and distractors excluded.
      cameras: distinct cameras.
      junk: images of schema.JUNK_ID.
      distractors: images of schema.DISTRACTOR_ID, where that is no person.
      masks: images with a mask.
      keypoint_maps: images with all 17 heat maps.

    In the table None stands for what is not published.
    """

    images: int | None
    identities: int | None
    cameras: int | None
    junk: int | None = 0
    distractors: int | None = 0
    masks: int | None = None
    keypoint_maps: int | None = None


@dataclasses.dataclass(frozen=True)
class DataSet:
    """One row of the table: where a data set's files are and what their names say.

    Attributes:
      title: name for people.
      roots: names that the data set's own folder goes by below the data root. Empty: there is no
        such folder; a CSV file names the images (see `daaf_tf.data.listed`).
      image_folders: {split: names that its folder goes by below the data set's own}.
        schema.MULTI_QUERY is left out where its folder is missing.
      list_files: {split: files in the data set's own folder with a line `path person` for each
        image, the path below the split's folder}; a split without one is what its folder holds.
      mask_folders: {split: folder below the data root}; a mask has its image's path there, as JPEG
        or PNG.
      heatmap_folders: {split: folder below the data root}; maps are `<stem>_00` .. `<stem>_16`, as
        PNG or JPEG.
      name_pattern: matches a file name whole; groups `person` and `camera` are whole numbers. With
        list files the person comes from those.
      name_example: a name that matches, for messages.
      zero_is_distractor: schema.DISTRACTOR_ID is a distractor of the gallery, not a person.
      max_stretch: how far an annotation's height over width may be from its image's, as a factor.
      expected: {split: counts of the real set}; empty: there is no real one to compare with.
    """

    title: str
    roots: tuple[str, ...] = ()
    image_folders: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    list_files: dict[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    mask_folders: dict[str, str] = dataclasses.field(default_factory=dict)
    heatmap_folders: dict[str, str] = dataclasses.field(default_factory=dict)
    name_pattern: str = ""
    name_example: str = ""
    zero_is_distractor: bool = True
    # Crops of any shape, and maps as a pose network drew them, for an input of one shape.
    max_stretch: float = math.inf
    expected: dict[str, Counts] = dataclasses.field(default_factory=dict)


# Sequence, frame and box say nothing that is needed; a camera number is read to its end, so that
# c12 is not camera 1.
_MARKET_PATTERN = r"(?P<person>-1|[0-9]{1,9})_c(?P<camera>[0-9]{1,9})(s[0-9]+)?[_.].*"


def _market_folders(below: str = "") -> dict[str, tuple[str, ...]]:
    """Return the image folders that Market-1501 gave to most sets after it."""
    return {
        schema.TRAIN: (f"{below}bounding_box_train",),
        schema.QUERY: (f"{below}query",),
        schema.GALLERY: (f"{below}bounding_box_test",),
    }


def _beside(root: str, image_folders: dict[str, tuple[str, ...]]) -> dict[str, str]:
    """Return annotation folders that repeat the image folders below one folder beside the set's."""
    return {split: f"{root}/{names[0]}" for split, names in image_folders.items()}


def _market_like(
    title: str,
    roots: tuple[str, ...],
    example: str,
    expected: tuple[Counts, Counts, Counts],
    below: str = "",
) -> DataSet:
    """Return the row of a set with the folders and names of Market-1501."""
    folders = _market_folders(below)
    return DataSet(
        title=title,
        roots=roots,
        image_folders=folders,
        mask_folders=_beside(f"{roots[0]}-masks", folders),
        heatmap_folders=_beside(f"{roots[0]}-keypoints", folders),
        name_pattern=_MARKET_PATTERN,
        name_example=example,
        expected=dict(zip(folders, expected)),
    )


_CUHK03_ROOTS = ("cuhk03-np", "CUHK03-NP")
_MSMT17_FOLDERS = {
    schema.TRAIN: ("train", "mask_train_v2"),
    schema.QUERY: ("test", "mask_test_v2"),
    schema.GALLERY: ("test", "mask_test_v2"),
}

DATASETS = {
    "market1501": DataSet(
        title="Market-1501",
        roots=("Market-1501", "Market-1501-v15.09.15"),
        image_folders={**_market_folders(), schema.MULTI_QUERY: ("gt_bbox",)},
        mask_folders=_beside("mask-anno", _market_folders()),
        heatmap_folders={schema.TRAIN: "Market_cpn_keypoints/bounding_box_train_256_2"},
        name_pattern=_MARKET_PATTERN,
        name_example="0002_c1s1_000451_03.jpg",
        # All images are 128 x 64, all maps 256 x 128: anything else belongs to another image.
        max_stretch=1.1,
        expected={
            schema.TRAIN: Counts(12936, 751, 6, 0, 0, 12936, 12936),
            schema.QUERY: Counts(3368, 750, 6, 0, 0, 3368, 0),
            schema.GALLERY: Counts(19732, 750, 6, 3819, 2798, 19732, 0),
            schema.MULTI_QUERY: Counts(25259, 1501, 6, 0, 0, 0, 0),
        },
    ),
    "dukemtmc": _market_like(
        "DukeMTMC-reID",
        ("DukeMTMC-reID", "dukemtmc-reid"),
        "0001_c2_f0046182.jpg",
        (Counts(16522, 702, 8), Counts(2228, 702, 8), Counts(17661, 1110, 8)),
    ),
    "occluded_duke": _market_like(
        "Occluded-Duke",
        ("Occluded_Duke", "Occluded-Duke", "Occluded-DukeMTMC-reID"),
        "0001_c2_f0046182.jpg",
        (Counts(15618, 702, 8), Counts(2210, 519, 8), Counts(17661, 1110, 8)),
    ),
    "cuhk03_labeled": _market_like(
        "CUHK03-NP (labeled)",
        _CUHK03_ROOTS,
        "0003_c1_21.png",
        (Counts(7368, 767, 2), Counts(1400, 700, 2), Counts(5328, 700, 2)),
        below="labeled/",
    ),
    "cuhk03_detected": _market_like(
        "CUHK03-NP (detected)",
        _CUHK03_ROOTS,
        "0003_c1_21.png",
        (Counts(7365, 767, 2), Counts(1400, 700, 2), Counts(5332, 700, 2)),
        below="detected/",
    ),
    "msmt17": DataSet(
        title="MSMT17",
        roots=("MSMT17", "MSMT17_V1", "MSMT17_V2"),
        image_folders=_MSMT17_FOLDERS,
        list_files={
            schema.TRAIN: ("list_train.txt", "list_val.txt"),
            schema.QUERY: ("list_query.txt",),
            schema.GALLERY: ("list_gallery.txt",),
        },
        mask_folders=_beside("MSMT17-masks", _MSMT17_FOLDERS),
        heatmap_folders=_beside("MSMT17-keypoints", _MSMT17_FOLDERS),
        name_pattern=r"(?P<person>[0-9]+)_[0-9]+_(?P<camera>[0-9]{1,9})_.*",
        name_example="0000_000_01_0303morning_0015_0.jpg",
        # Train and test both count their persons from 0, and mean others by the same number.
        zero_is_distractor=False,
        expected={
            schema.TRAIN: Counts(32621, 1041, 15),
            schema.QUERY: Counts(11659, 3060, 15),
            schema.GALLERY: Counts(82161, 3060, 15),
        },
    ),
    "csv": DataSet(
        title="a set of your own",
        mask_folders=dict.fromkeys(schema.SPLITS, "masks"),
        heatmap_folders=dict.fromkeys(schema.SPLITS, "keypoints"),
        # Whoever counts persons from 0 means a person by it.
        zero_is_distractor=False,
    ),
}
