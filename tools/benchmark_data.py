"""Measure conversion and input pipeline, beside a PyTorch loader, and print a Markdown table.

python tools/benchmark_data.py [--data_root=D] [--records=R] [--torch_python=ENV/bin/python]

Without --data_root the synthetic set is drawn first; it must be in the layout of Market-1501. The
PyTorch loader needs an environment of its own (pip install torch==2.13.0 numpy pillow). Every
figure is the median of --repeats runs, each in a new process, ours and PyTorch's in turns. Nothing
else should run on the machine: the table says how busy it was.
"""

from __future__ import annotations

import json
import os
import pathlib
import statistics
import sys
import tempfile
import time

import numpy as np

from daaf_tf import flags, schema
from daaf_tf.benchmarks import describe_machine, format_table, run_program, say
from daaf_tf.data.conversion import Conversion, convert
from daaf_tf.data.records import MANIFEST, RecordReader, ShardWriter, index_path, shard_name
from daaf_tf.data.synthetic import write_synthetic_market
from daaf_tf.data.synthetic_plan import PRESETS
from daaf_tf.errors import UserError

TOOLS = pathlib.Path(__file__).resolve().parent
SMALL, LARGE = 1_000, 36_000  # images between which memory may not grow
KINDS = {True: "image, mask and 17 maps", False: "image alone"}

flags.DEFINE_string("data_root", "", "Data set in Market-1501's layout; empty: draw it.")
flags.DEFINE_enum("preset", "small", tuple(PRESETS), "Which synthetic set is drawn.")
flags.DEFINE_string("records", "", "Records of --data_root; empty: those of the conversion.")
flags.DEFINE_string("torch_python", "", "Python with torch, numpy, Pillow; empty: no comparison.")
flags.DEFINE_integer("repeats", 3, "Runs of each measurement; the table shows medians.")
flags.DEFINE_integer("batches", 40, "Batches in a timed block.")
flags.DEFINE_integer("blocks", 3, "Timed blocks in a run.")
flags.DEFINE_bool("conversion", True, "Measure the conversion too.")


def main() -> None:
    """Measure everything and print the table."""
    values = flags.FLAGS
    if not (values.conversion or values.records):
        raise UserError("--conversion=false: give the --records to read")
    load = os.getloadavg()
    with tempfile.TemporaryDirectory(prefix="daaf_tf_benchmark_") as folder:
        work = pathlib.Path(folder)
        data_root = pathlib.Path(values.data_root or work / "data")
        if not values.data_root:
            say(f"drawing the synthetic set {values.preset}")
            write_synthetic_market(data_root, preset=values.preset)
        rows = measure_conversion(data_root, work, values.repeats) if values.conversion else []
        records = pathlib.Path(values.records or work / "whole-0")
        for annotated in KINDS:
            rows += measure_batches(data_root, records, annotated)
        rows += measure_memory(records, work)
    print("\n".join([*describe_machine(load), "", *format_table(rows)]))


def measure_conversion(data_root: pathlib.Path, work: pathlib.Path, repeats: int) -> list[tuple]:
    """Return rows: images/s of half the persons and of all, and what doubling them costs."""
    link_half(data_root, work / "half_data")
    # The whole first: it is the one that may be missing.
    roots = {"whole": data_root, "half": work / "half_data"}
    seconds, images = {name: [] for name in roots}, {}
    for repeat in range(repeats):
        for name, root in roots.items():
            say(f"converting {name} of the images, run {repeat + 1}")
            start = time.perf_counter()
            output = work / f"{name}-{repeat}"
            report = convert(Conversion("market1501", str(root), str(output)))
            seconds[name].append(time.perf_counter() - start)
            images[name] = sum(split["images"] for split in report.manifest["splits"].values())
    rows = [
        (f"conversion of {images[name]} images", [images[name] / s for s in runs], "images/s")
        for name, runs in seconds.items()
    ]
    growth = [
        (whole / half) / (images["whole"] / images["half"])
        for half, whole in zip(seconds["half"], seconds["whole"])
    ]
    title = "time grows by this factor times the number of images"
    return [*rows, ("conversion of all images", seconds["whole"], "s"), (title, growth, "")]


def link_half(data_root: pathlib.Path, target: pathlib.Path) -> None:
    """Link the files of every other person, so that the data set below `target` is half as large.

    Person numbers with gaps (Market-1501's are those that were left) are counted off, not halved.
    """
    for folder, _, names in os.walk(data_root):
        place = target / pathlib.Path(folder).relative_to(data_root)
        persons = sorted({name.split("_")[0] for name in names})
        chosen = set(persons[::2])
        place.mkdir(parents=True)
        for name in names:
            if name.split("_")[0] in chosen:
                (place / name).symlink_to((pathlib.Path(folder) / name).resolve())


def measure_batches(data_root: pathlib.Path, records: pathlib.Path, annotated: bool) -> list[tuple]:
    """Return rows: images/s of our batches and of PyTorch's, their ratio, and the start."""
    values, kind = flags.FLAGS, KINDS[annotated]
    ours, theirs = [], []
    for repeat in range(values.repeats):
        say(f"batches of {kind}, run {repeat + 1}")
        ours.append(run_batches(records, annotated))
        if values.torch_python:
            theirs.append(run_torch(data_root, annotated))
    return [
        (f"batches of {kind}", rates(ours), "images/s"),
        *compare(rates(ours), theirs, kind),
        (f"import of TensorFlow ({kind})", [each["import_seconds"] for each in ours], "s"),
        (
            f"from there to the first batch ({kind})",
            [each["first_batch_seconds"] for each in ours],
            "s",
        ),
    ]


def compare(ours: list[float], theirs: list[dict], kind: str) -> list[tuple]:
    """Return rows: images/s of PyTorch, and how many times as fast we are."""
    if not theirs:
        return [(f"PyTorch loader of {kind}: left out, no --torch_python", [], "")]
    ratios = [mine / other for mine, other in zip(ours, rates(theirs))]
    return [
        (
            f"PyTorch {theirs[0]['torch']} loader, 2 workers, of {kind}",
            rates(theirs),
            "images/s",
        ),
        (f"ours over PyTorch's, {kind}", ratios, "x"),
    ]


def rates(runs: list[dict]) -> list[float]:
    """Return the images/s of each run, the median of its blocks."""
    return [statistics.median(run["images_per_second"]) for run in runs]


def measure_memory(records: pathlib.Path, work: pathlib.Path) -> list[tuple]:
    """Return rows: peak memory of a process that reads few images and many, and the growth."""
    peaks = {}
    for wanted in (SMALL, LARGE):
        folder = work / f"images-{wanted}"
        images = replicate(records, folder, wanted)
        say(f"memory at {images} images")
        runs = [run_batches(folder, True) for _ in range(flags.FLAGS.repeats)]
        peaks[images] = [run["peak_mb"] for run in runs]
    rows = [(f"peak memory at {images} images", runs, "MB") for images, runs in peaks.items()]
    growth = [large - small for small, large in zip(*peaks.values())]
    return [*rows, ("memory growth", growth, "MB")]


def replicate(records: pathlib.Path, target: pathlib.Path, wanted: int) -> int:
    """Make a folder of about `wanted` training images out of the first SMALL of `records`.

    One shard is written and linked as often as it takes, every time with persons of its own, so
    36,000 images take no more room on disk than 1,000.

    Returns:
      The number of images.
    """
    reader = RecordReader(records, schema.TRAIN)
    ends = np.cumsum(reader.images_per_label)
    labels = max(1, int(np.searchsorted(ends, SMALL, side="right")))
    copies = max(1, round(wanted / ends[labels - 1]))
    target.mkdir()
    with ShardWriter(target / shard_name(schema.TRAIN, 0, copies)) as writer:
        for position in range(ends[labels - 1]):
            writer.write(reader.read(position))
    shards = [
        {**writer.summary(), "file": shard_name(schema.TRAIN, i, copies)} for i in range(copies)
    ]
    for shard in shards[1:]:
        os.link(writer.path, target / shard["file"])
        os.link(index_path(writer.path), index_path(target / shard["file"]))
    images = int(ends[labels - 1]) * copies
    counts = reader.images_per_label[:labels].tolist() * copies
    train = {"images": images, "shards": shards, "images_per_label": counts}
    manifest = {"schema_version": schema.SCHEMA_VERSION, "splits": {schema.TRAIN: train}}
    (target / MANIFEST).write_text(json.dumps(manifest))
    return images


def run_batches(records: pathlib.Path, annotated: bool) -> dict:
    """Run tools/benchmark_batches.py once."""
    return run(sys.executable, "benchmark_batches.py", f"--data_dir={records}", annotated)


def run_torch(data_root: pathlib.Path, annotated: bool) -> dict:
    """Run tools/benchmark_torch_loader.py once."""
    python = flags.FLAGS.torch_python
    return run(python, "benchmark_torch_loader.py", f"--data_root={data_root}", annotated)


def run(python: str, program: str, source: str, annotated: bool) -> dict:
    """Run a program of this folder and return the JSON that it prints last."""
    values = flags.FLAGS
    command = [python, TOOLS / program, source, f"--annotations={str(annotated).lower()}"]
    return run_program([*command, f"--batches={values.batches}", f"--blocks={values.blocks}"])


if __name__ == "__main__":
    flags.run(main)
