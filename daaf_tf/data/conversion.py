"""A data set's folders into records: one pass, many processes, the same bytes every time.

Workers read, check and encode images; the main process gets their results in order, gives labels
and writes. So every file is read once, the bytes do not depend on the number of workers, and a
problem is known by name before its record would be written.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import json
import os
import pathlib
import shlex

import tqdm

import daaf_tf
from daaf_tf import schema
from daaf_tf.data.annotations import HEATMAP_HEIGHT
from daaf_tf.data.beam import beam_workers
from daaf_tf.data.coco import AUTO, add_persons, parse_sources, without_folders
from daaf_tf.data.datasets import DATASETS
from daaf_tf.data.duplicates import DuplicateFinder
from daaf_tf.data.listing import Listing, list_images
from daaf_tf.data.output import PROBLEMS, OutputFolder, writing
from daaf_tf.data.problems import PROBLEM_KINDS, Problem
from daaf_tf.data.reading import read_record
from daaf_tf.data.records import index_path
from daaf_tf.data.splits import SplitWriter
from daaf_tf.data.tfds_metadata import make_tfds_files
from daaf_tf.data.workers import workers
from daaf_tf.errors import UserError
from daaf_tf.files import write_atomically

RUNNERS = ("processes", "beam")


@dataclasses.dataclass(frozen=True)
class Conversion:
    """What to convert, and how.

    Attributes:
      dataset: a name in DATASETS.
      data_root: folder that holds the data set's folders.
      output_dir: folder for the records.
      csv_file: names the images, for the data set "csv" only.
      annotations: where masks and keypoints come from, see `coco.parse_sources`.
      num_shards: shards of each split; 0: by size.
      heatmap_height: height of a stored heat map in pixels.
      workers: processes; 0: one for each CPU. 1 works in the calling process.
      runner: who reads the images: "processes" of this machine, or "beam".
      beam_options: pipeline options for Apache Beam, see `beam.beam_workers`.
      strict: stop at the first problem instead of listing it and going on.
      overwrite: replace a complete conversion in output_dir.
    """

    dataset: str
    data_root: str
    output_dir: str
    csv_file: str = ""
    annotations: str = AUTO
    num_shards: int = 0
    heatmap_height: int = HEATMAP_HEIGHT
    workers: int = 0
    runner: str = "processes"
    beam_options: str = ""
    strict: bool = False
    overwrite: bool = False

    def command(self) -> str:
        """Return the command for the manifest: only what decides what the records hold."""
        names = ("dataset", "data_root", "csv_file", "annotations", "num_shards", "heatmap_height")
        flags = [f"--{name}={getattr(self, name)}" for name in names if getattr(self, name) != ""]
        return shlex.join(["make_tfrecords.py", *flags])


@dataclasses.dataclass(frozen=True)
class Report:
    """What a conversion did.

    Attributes:
      conversion: what was asked for.
      manifest: as written.
      problems: every file that could not be used.
      ignored: paths below the data root of files that are no images.
      notes: for the reader of the summary.
    """

    conversion: Conversion
    manifest: dict
    problems: list[Problem]
    ignored: list[str]
    notes: list[str]


def convert(conversion: Conversion, *, show_progress: bool = True) -> Report:
    """Convert a data set into the shards of its splits, an index each, and a manifest.

    Args:
      conversion: what to convert, and how.
      show_progress: draw a progress bar on stderr.

    Raises:
      UserError: a wrong option, a missing or empty folder, an output folder that holds something
        else, no room to write, a split without a single usable image; with `strict`, any problem.
    """
    _check(conversion)
    sources = parse_sources(conversion.annotations)
    dataset = DATASETS[conversion.dataset]
    dataset = dataset if sources.folders else without_folders(dataset)
    task = functools.partial(
        read_record,
        data_root=os.path.abspath(conversion.data_root),  # a Beam worker starts elsewhere
        max_stretch=dataset.max_stretch,
        heatmap_height=conversion.heatmap_height,
    )
    folder = OutputFolder(conversion.output_dir, conversion.overwrite)
    # Workers are forked first, while this process is small and has one thread and no lock.
    with _start_runner(conversion, folder) as run, folder as output:
        listing = list_images(dataset, conversion.data_root, conversion.csv_file)
        add_persons(listing, sources.coco_files)
        problems, splits, duplicates = [], {}, DuplicateFinder()
        _note(listing.problems, problems, conversion.strict)
        with _progress_bar(listing, show_progress) as bar:
            for split, files in listing.images.items():
                with SplitWriter(
                    output.staging,
                    split,
                    num_images=len(files),
                    num_shards=conversion.num_shards,
                    zero_is_distractor=dataset.zero_is_distractor,
                ) as writer:
                    for file, (record, found) in zip(files, run(task, files)):
                        found += duplicates.check(file, record)
                        _note(found, problems, conversion.strict)
                        writer.write(record)
                        bar.update()
                splits[split] = writer.summary()
        _check_usable(splits, problems)
        report = _make_report(conversion, listing, splits, problems)
        _publish(output, report)
    return report


def _check(conversion: Conversion) -> None:
    """Refuse options that make no sense."""
    if conversion.dataset not in DATASETS:
        raise UserError(f"--dataset={conversion.dataset}: expected one of {', '.join(DATASETS)}")
    for name in ("data_root", "output_dir"):
        if not getattr(conversion, name):
            raise UserError(f"--{name} is missing: give a folder")
    if bool(DATASETS[conversion.dataset].roots) == bool(conversion.csv_file):
        raise UserError(
            f"--csv_file={conversion.csv_file} with --dataset={conversion.dataset}: the data set "
            "csv needs the file that names its images, and no other takes one"
        )
    if conversion.runner not in RUNNERS:
        raise UserError(f"--runner={conversion.runner}: expected one of {', '.join(RUNNERS)}")
    if conversion.beam_options and conversion.runner != "beam":
        raise UserError("--beam_options are given without --runner=beam")
    for name, minimum, maximum in (
        ("workers", 0, 1024),
        ("num_shards", 0, 99999),
        ("heatmap_height", 8, 1024),
    ):
        if not minimum <= getattr(conversion, name) <= maximum:
            raise UserError(
                f"--{name}={getattr(conversion, name)}: expected {minimum} to {maximum}"
            )


def _start_runner(conversion: Conversion, folder: OutputFolder):
    if conversion.runner == "beam":
        return beam_workers(conversion.beam_options, folder.staging)
    return workers(conversion.workers or os.cpu_count())


def _check_usable(splits: dict[str, dict], problems: list[Problem]) -> None:
    for split, summary in splits.items():
        if summary["images"] == 0:
            first = next(problem for problem in problems if problem.split == split)
            raise UserError(f"no usable image in {split}; the first: {first}")


def _note(found: list[Problem], problems: list[Problem], strict: bool) -> None:
    """Add what was found to the problems; raise the first if strict."""
    if found and strict:
        raise UserError(f"{found[0]} (--strict stops at the first problem)")
    problems.extend(found)


def _progress_bar(listing: Listing, show: bool) -> tqdm.tqdm:
    total = sum(map(len, listing.images.values()))
    return tqdm.tqdm(total=total, desc="convert", unit="img", disable=not show)


def _make_report(
    conversion: Conversion, listing: Listing, splits: dict[str, dict], problems: list[Problem]
) -> Report:
    kinds = collections.Counter(problem.kind for problem in problems)
    manifest = {
        "schema_version": schema.SCHEMA_VERSION,
        "dataset": conversion.dataset,
        "command": conversion.command(),
        "created_by": f"daaf_tf {daaf_tf.__version__}",
        "splits": splits,
        "problems": {kind: kinds[kind] for kind in PROBLEM_KINDS},
    }
    return Report(conversion, manifest, problems, listing.ignored, listing.notes)


def _publish(output: OutputFolder, report: Report) -> None:
    listed = {
        "problems": [dataclasses.asdict(problem) for problem in report.problems],
        "ignored": report.ignored,
        "notes": report.notes,
    }
    texts = {PROBLEMS: json.dumps(listed, indent=1) + "\n", **make_tfds_files(report.manifest)}
    with writing(output.path):
        for name, text in texts.items():
            write_atomically(output.staging / name, text)
    shards = [
        pathlib.Path(shard["file"])
        for split in report.manifest["splits"].values()
        for shard in split["shards"]
    ]
    names = [name for shard in shards for name in (index_path(shard).name, shard.name)]
    output.publish([*texts, *names], report.manifest)
