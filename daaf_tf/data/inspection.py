"""Records held against every checksum they carry, and against what the manifest says of them."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os
import pathlib
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import tqdm

from daaf_tf import schema
from daaf_tf.data.annotations import BadFile, describe_image
from daaf_tf.data.datasets import DATASETS
from daaf_tf.data.example import ImageRecord, parse_record
from daaf_tf.data.records import MANIFEST, parse_split, read_manifest
from daaf_tf.data.shard_index import open_frame, read_index, scan_shard
from daaf_tf.data.stored import parse_heatmaps, parse_mask
from daaf_tf.data.tally import Tally
from daaf_tf.data.workers import workers
from daaf_tf.errors import UserError


@dataclasses.dataclass(frozen=True)
class Fault:
    """Something in a folder of records that is not as it was written.

    Attributes:
      file: name of the file in the folder.
      reason: for people.
      record: its number in the shard; None: the file as a whole.
    """

    file: str
    reason: str
    record: int | None = None

    def __str__(self) -> str:
        where = self.file if self.record is None else f"{self.file}: record {self.record}"
        return f"{where}: {self.reason}"


@dataclasses.dataclass(frozen=True)
class Inspection:
    """What was found in a folder of records.

    Attributes:
      manifest: of the folder.
      found: {split: counts of the records that were read, as `Tally.summary` gives them}.
      samples: {split: some of its records, evenly spread}.
      faults: sorted by file and record; empty where all is whole.
    """

    manifest: dict
    found: dict[str, dict]
    samples: dict[str, list[ImageRecord]]
    faults: list[Fault]


def inspect_records(
    data_dir: str | os.PathLike,
    splits: Sequence[str] = (),
    *,
    num_samples: int = 8,
    num_workers: int = 0,
    show_progress: bool = True,
) -> Inspection:
    """Read every record of a folder and check all that can be checked.

    Checked are the size and SHA-256 of each shard, its index, the two CRCs of each record, its
    form, the SHA-256 of its image, that image, mask and maps can be decoded and fit together, its
    label, and the counts of the manifest.

    Args:
      data_dir: folder that tools/make_tfrecords.py wrote.
      splits: of schema.SPLITS; empty: all that the manifest names.
      num_samples: records of each split to return.
      num_workers: processes; 0: one for each CPU.
      show_progress: draw a progress bar on stderr.

    Raises:
      UserError: no folder of records, or a manifest that is of another version, is malformed or
        lacks the split: without it there is nothing to check against.
    """
    folder = pathlib.Path(data_dir)
    # Workers are forked first, while this process is small and has one thread and no lock.
    with workers(num_workers or os.cpu_count()) as run:
        manifest = read_manifest(folder)
        plans = [
            _Plan(split, *parse_split(manifest, split, folder / MANIFEST), num_samples)
            for split in splits or manifest["splits"]
        ]
        found, samples, faults = {}, {}, []
        total = sum(plan.images for plan in plans)
        with tqdm.tqdm(total=total, desc="inspect", unit="img", disable=not show_progress) as bar:
            for plan in plans:
                checked = _check_split(folder, manifest, plan, run, bar)
                found[plan.split], samples[plan.split], more = checked
                faults += more
    faults.sort(key=lambda fault: (fault.file, -1 if fault.record is None else fault.record))
    return Inspection(manifest, found, samples, faults)


def _check_split(
    folder: pathlib.Path, manifest: dict, plan: _Plan, run: Callable, bar: tqdm.tqdm
) -> tuple[dict, list[ImageRecord], list[Fault]]:
    """Return counts, samples and faults of one split."""
    entry = manifest["splits"][plan.split]
    dataset = DATASETS.get(str(manifest.get("dataset")))
    zero_is_distractor = dataset is None or dataset.zero_is_distractor
    tally = Tally(plan.split, zero_is_distractor=zero_is_distractor)
    samples, faults = [], []
    frames = _read_frames(folder, plan.shards, entry["shards"], faults)
    for position, checked in run(functools.partial(_check_frame, ends=plan.label_ends), frames):
        bar.update()
        if isinstance(checked, Fault):
            faults.append(checked)
            continue
        tally.add(checked)
        if position in plan.wanted:
            samples.append(checked)
    found = tally.summary()
    # Where records are lost, wrong counts would only say so again.
    return found, samples, faults or _compare(plan.split, found, entry)


class _Plan:
    """What the manifest says a split has."""

    def __init__(
        self,
        split: str,
        shards: list[tuple[str, int, int]],
        images_per_label: np.ndarray,
        num_samples: int,
    ):
        self.split = split
        self.shards = shards
        self.images = sum(images for _, images, _ in shards)
        # Positions of the records to return, evenly spread.
        self.wanted = set(np.linspace(0, self.images - 1, num_samples).round().astype(int))
        # Position of the first record that is of a higher label; None: records have no label.
        self.label_ends = np.cumsum(images_per_label) if split == schema.TRAIN else None


@dataclasses.dataclass(frozen=True)
class _Frame:
    """A record with its framing, as read, and where: shard, number in it, number in the split."""

    file: str
    record: int
    position: int
    data: bytes
    length: int


def _read_frames(
    folder: pathlib.Path,
    shards: list[tuple[str, int, int]],
    entries: list[dict],
    faults: list[Fault],
) -> Iterator[_Frame]:
    """Yield the records of shards; add what is wrong with a shard as a whole to the faults."""
    first = 0
    for (name, images, size), entry in zip(shards, entries):
        try:
            yield from _read_shard(folder, name, first, images, size, entry.get("sha256"), faults)
        except OSError as error:
            faults.append(Fault(name, f"cannot be read ({error.strerror})"))
        except UserError as error:
            faults.append(_make_fault(folder, error))
        first += images


def _read_shard(
    folder: pathlib.Path,
    name: str,
    first: int,
    images: int,
    size: int,
    sha256: str | None,
    faults: list[Fault],
) -> Iterator[_Frame]:
    try:
        offsets, lengths = read_index(folder / name, images, size)
    except UserError as error:
        faults.append(_make_fault(folder, error))
        offsets, lengths = scan_shard(folder / name)
    hashed = hashlib.sha256()
    with open(folder / name, "rb") as file:
        for record, (offset, length) in enumerate(zip(offsets.tolist(), lengths.tolist())):
            data = os.pread(file.fileno(), length, offset)
            hashed.update(data)
            yield _Frame(name, record, first + record, data, length)
    if hashed.hexdigest() != sha256:
        faults.append(Fault(name, f"its SHA-256 is not the one in {MANIFEST}: it was changed"))


def _make_fault(folder: pathlib.Path, error: UserError) -> Fault:
    """Return the fault that a message `<folder>/<file>: <reason>` tells of."""
    file, _, reason = str(error).removeprefix(f"{folder}{os.sep}").partition(": ")
    return Fault(file, reason)


def _check_frame(frame: _Frame, ends: np.ndarray | None) -> tuple[int, ImageRecord | Fault]:
    """Check one record; the work of one process.

    Args:
      frame: the record.
      ends: see `_Plan.label_ends`.

    Returns:
      The record's number in the split, and the record or what is wrong with it.
    """
    try:
        record, label = parse_record(open_frame(frame.data, frame.length))
        expected = schema.NO_LABEL
        if ends is not None:
            expected = int(np.searchsorted(ends, frame.position, side="right"))
        if label != expected:
            raise ValueError(f"label {label}, expected {expected}")
        _check_record(record)
    except (BadFile, ValueError) as error:
        return frame.position, Fault(frame.file, str(error), frame.record)
    return frame.position, record


def _check_record(record: ImageRecord) -> None:
    """Raise a ValueError or a BadFile unless all parts can be decoded and fit together."""
    stored = (record.image_format, record.height, record.width)
    found = describe_image(record.encoded)
    if found != stored:
        raise ValueError(f"image is {found} (format, height, width), the record says {stored}")
    if record.mask is not None:
        parse_mask(record.mask, record.height, record.width)
    if record.heatmaps is not None:
        parse_heatmaps(record.heatmaps)
    if record.keypoints is not None and not np.isfinite(record.keypoints).all():
        raise ValueError("a keypoint is no finite number")


def _compare(split: str, found: dict, entry: dict) -> list[Fault]:
    """Return one fault for each count that the manifest has otherwise."""
    faults = []
    for name, value in found.items():
        if entry.get(name) != value:
            # Long lists of ids would say no more than that they differ.
            told = (
                "" if isinstance(value, list) else f": {entry.get(name)}, the records hold {value}"
            )
            faults.append(Fault(MANIFEST, f"wrong {name} of {split}{told}"))
    return faults
