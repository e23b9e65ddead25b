"""What is fuzzed: whole inputs for each reader, and what must become of a damaged one."""

from __future__ import annotations

import dataclasses
import functools
import io
import pathlib
import re
from typing import Callable

import numpy as np
from fuzz_lists import CocoCheck, CsvCheck, demand, make_coco_corpus, make_csv_corpus
from PIL import Image
from tiny_market import GALLERY, MAPS, QUERY, TRAIN, draw_market

from daaf_tf.data.conversion import Conversion, convert
from daaf_tf.data.datasets import DATASETS
from daaf_tf.data.example import parse_record
from daaf_tf.data.inspection import inspect_records
from daaf_tf.data.inspection_report import format_inspection
from daaf_tf.data.listing import list_images
from daaf_tf.data.reading import read_record
from daaf_tf.data.records import RecordReader, index_path
from daaf_tf.data.stored import parse_heatmaps, parse_mask
from daaf_tf.errors import UserError

MARKET = DATASETS["market1501"]
FIRST = "0002_c12s1_000001_01"  # of the training images, in record order
SHARD = "train-00000-of-00001.tfrecord"


@dataclasses.dataclass(frozen=True)
class Target:
    """Something that is read.

    Attributes:
      corpus: whole inputs, which are mutated.
      check: takes a mutated input; returns True if it was refused with a reason and False if it was
        read right; raises whatever else happens.
    """

    corpus: list[bytes]
    check: Callable[[bytes], bool]


def make_targets(folder: pathlib.Path) -> dict[str, Target]:
    """Return all targets by name; their inputs are written below an empty folder."""
    root = draw_market(folder / "data")
    records = folder / "R"
    convert(Conversion("market1501", str(root), str(records), workers=1), show_progress=False)
    # The command holds the folder's path; mutations shall be the same in every folder.
    manifest = records / "manifest.json"
    manifest.write_text(manifest.read_text().replace(str(root), "data"))
    maps = [(root / MAPS / f"{FIRST}_{joint:02d}.png").read_bytes() for joint in (0, 5)]
    masks = (root / TRAIN.replace("Market-1501", "mask-anno") / f"{FIRST}.jpg").read_bytes()
    reader = RecordReader(records, "train")
    names = [name for split in (TRAIN, QUERY, GALLERY) for name in _names(root / split)]
    return {
        "image": Target(_encodings(root / TRAIN / f"{FIRST}.jpg"), _ImageCheck(root)),
        "mask": Target([masks, maps[0]], _AnnotationCheck(root, "mask")),
        "heat map": Target(maps, _AnnotationCheck(root, "heatmaps")),
        "file name": Target(names, _NameCheck(folder / "names")),
        "CSV": Target(make_csv_corpus(), CsvCheck(folder / "listed")),
        "COCO file": Target(make_coco_corpus(root), CocoCheck(root)),
        "record": Target(reader.read_many(range(reader.num_images)), _check_record),
        **{
            name: Target([(records / file).read_bytes()], _FolderCheck(records, file, lost_index))
            for name, file, lost_index in (
                ("shard", SHARD, False),
                ("shard without index", SHARD, True),
                ("index", index_path(SHARD).name, False),
                ("manifest", "manifest.json", False),
            )
        },
    }


def _names(folder: pathlib.Path) -> list[bytes]:
    return sorted(path.name.encode() for path in folder.iterdir())


def _encodings(path: pathlib.Path) -> list[bytes]:
    """Return an image in all forms that are taken."""
    noise = np.random.RandomState(0).randint(-20, 20, (32, 16, 3))
    picture = Image.fromarray(np.clip(np.asarray(Image.open(path)) + noise, 0, 255).astype("uint8"))
    forms = []
    for mode, kind, options in (
        ("RGB", "JPEG", {"quality": 90}),
        ("RGB", "JPEG", {"progressive": True, "subsampling": 0}),
        ("L", "JPEG", {"restart_marker_rows": 1}),
        ("RGB", "PNG", {}),
        ("L", "PNG", {"compress_level": 0}),
    ):
        buffer = io.BytesIO()
        picture.convert(mode).save(buffer, kind, **options)
        forms.append(buffer.getvalue())
    return forms


def _read_first(root: pathlib.Path):
    file = list_images(MARKET, root).images["train"][0]
    assert FIRST in file.path
    return lambda: read_record(file, str(root), MARKET.max_stretch, 64)


class _ImageCheck:
    """An image is refused, or the network gets the pixels that Pillow sees."""

    def __init__(self, root: pathlib.Path):
        # Here and not above: daaf_tf must be imported before TensorFlow.
        import tensorflow as tf

        self._decode = functools.partial(
            tf.io.decode_jpeg, channels=3, dct_method="INTEGER_ACCURATE"
        )
        self._path, self._read = root / TRAIN / f"{FIRST}.jpg", _read_first(root)
        self._whole = self._path.read_bytes()

    def __call__(self, data: bytes) -> bool:
        self._path.write_bytes(data)
        try:
            record, problems = self._read()
        finally:
            self._path.write_bytes(self._whole)
        if record is None:
            (problem,) = problems
            assert problem.file.endswith(f"{FIRST}.jpg"), problem
            assert problem.reason
            return True
        assert record.encoded == data
        pixels = self._decode(data).numpy()
        assert pixels.shape == (record.height, record.width, 3)
        seen = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
        assert np.array_equal(pixels, seen), "TensorFlow and Pillow see different pixels"
        return False


class _AnnotationCheck:
    """A mask or a map is left out with a reason, or what is stored can be decoded and fits."""

    def __init__(self, root: pathlib.Path, kind: str):
        self._kind, self._read = kind, _read_first(root)
        self._path = root / MAPS / f"{FIRST}_05.png"
        if kind == "mask":
            self._path = root / TRAIN.replace("Market-1501", "mask-anno") / f"{FIRST}.jpg"
        self._whole = self._path.read_bytes()

    def __call__(self, data: bytes) -> bool:
        self._path.write_bytes(data)
        try:
            record, problems = self._read()
        finally:
            self._path.write_bytes(self._whole)
        if problems:
            (problem,) = problems
            assert (problem.kind, FIRST in problem.file) == (self._kind, True), problem
            assert problem.reason
            assert getattr(record, self._kind) is None
            return True
        parse_mask(record.mask, record.height, record.width)
        parse_heatmaps(record.heatmaps)
        assert ((record.keypoints >= 0) & (record.keypoints <= 1)).all()
        return False


class _NameCheck:
    """A file is listed with the ids of its name, or among the problems, or among the ignored."""

    def __init__(self, root: pathlib.Path):
        self._root = root
        for split in (TRAIN, QUERY, GALLERY):
            (root / split).mkdir(parents=True)
            (root / split / "0001_c1s1_000001_01.jpg").touch()

    def __call__(self, data: bytes) -> bool:
        name = data.replace(b"/", b"").replace(b"\0", b"")[:200].decode("utf-8", "surrogateescape")
        path = self._root / QUERY / (name.strip(".") or "x")
        existed = path.exists()
        path.touch()
        try:
            listing = list_images(MARKET, self._root)
        finally:
            if not existed:
                path.unlink()
        assert len(listing.images["query"]) >= 1
        taken = [file for file in listing.images["query"] if file.filename == path.name]
        refused = [p for p in listing.problems if p.file == f"{QUERY}/{path.name}" and p.reason]
        ignored = [file for file in listing.ignored if file == f"{QUERY}/{path.name}"]
        assert len(taken) + len(refused) + len(ignored) == 1
        for file in taken:
            # The camera number is read to its end, so that c12 is not camera 1.
            person, camera = re.match(r"(-?\d+)_c(\d+)(?!\d)", path.name).groups()
            assert (file.person_id, file.camera_id) == (int(person), int(camera))
        return not taken


def _check_record(data: bytes) -> bool:
    """A record is refused, or its image is the one that was hashed."""
    try:
        record, _ = parse_record(data)
    except ValueError as error:
        demand(error, "")
        return True
    assert Image.open(io.BytesIO(record.encoded)).size == (16, 32)
    return False


class _FolderCheck:
    """A folder with one damaged file is refused by file and reason, or gives the same records."""

    def __init__(self, records: pathlib.Path, file: str, lost_index: bool):
        self._records, self._file, self._lost_index = records, file, lost_index
        self._whole = (records / file).read_bytes()
        self._index = index_path(records / SHARD).read_bytes()
        self._expected = {split: self._read(split) for split in ("train", "query", "gallery")}

    def _read(self, split: str) -> list[bytes]:
        reader = RecordReader(self._records, split)
        return reader.read_many(range(reader.num_images))

    def __call__(self, data: bytes) -> bool:
        index = index_path(self._records / SHARD)
        (self._records / self._file).write_bytes(data)
        if self._lost_index:
            index.unlink()
        try:
            refused = self._check(data)
            if self._lost_index and index.exists():
                assert index.read_bytes() == self._index, "a wrong index was built"
        finally:
            index.write_bytes(self._index)
            (self._records / self._file).write_bytes(self._whole)
        return refused

    def _check(self, data: bytes) -> bool:
        refused = False
        for split, expected in self._expected.items():
            try:
                assert self._read(split) == expected, "other records than were written"
            except UserError as error:
                demand(error, f"{self._records}/", self._file)
                refused = True
        try:
            inspection = inspect_records(self._records, num_workers=1, show_progress=False)
        except UserError as error:
            demand(error, f"{self._records}/", self._file)
            return True
        format_inspection(inspection, self._records)
        # It sees what a reader sees, and any change of a shard, read or not.
        assert inspection.faults or not (refused or self._file == SHARD), "nothing was found"
        return refused
