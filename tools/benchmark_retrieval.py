"""Measure ranking and re-ranking, beside the dense original, and print a Markdown table.

python tools/benchmark_retrieval.py [--queries=3368] [--gallery=15913] [--repeats=3]

The default sizes are those of Market-1501, of MSMT17 (--large_...), and of Market-1501 with 500,000
distractors; they take a quarter of an hour, and 11 GB for the dense original in float64. Smaller
sizes take a minute:

python tools/benchmark_retrieval.py --queries=300 --gallery=1500 --growth=1000,9000 --repeats=1
    --large_queries=500 --large_gallery=5000

Every figure is the median of --repeats runs, each in a new process, ours and the original in turns.
Memory is the peak of such a process, features included. Nothing else should run on the machine: the
table says how busy it was.
"""

from __future__ import annotations

import os
import pathlib
import sys
import tempfile

import numpy as np

from daaf_tf import flags
from daaf_tf.benchmarks import describe_machine, format_table, run_program, say
from daaf_tf.errors import UserError

CASE = pathlib.Path(__file__).resolve().parent / "benchmark_retrieval_case.py"

flags.DEFINE_integer("queries", 3368, "Query images.")
flags.DEFINE_integer("gallery", 15913, "Gallery images of ranking and re-ranking.")
flags.DEFINE_integer("width", 512, "Features of an image.")
flags.DEFINE_string(
    "growth", "10000,50000,100000,200000,500000,515913", "Gallery images; time and memory of each."
)
flags.DEFINE_integer("large_queries", 11659, "Query images of the large re-ranking; 0: leave out.")
flags.DEFINE_integer("large_gallery", 82161, "Gallery images of the large re-ranking.")
flags.DEFINE_bool("dense", True, "Compare with the dense original.")
flags.DEFINE_integer("repeats", 3, "Runs of each measurement; the table shows medians.")


def main() -> None:
    """Measure everything and print the table."""
    values = flags.FLAGS
    sizes = parse_sizes(values.growth)
    load = os.getloadavg()
    rows = measure_ranking() + measure_growth(sizes)
    rows += measure_reranking()
    if values.large_queries:
        rows += measure_large()
    print("\n".join([*describe_machine(load), "", *format_table(rows)]))


def parse_sizes(text: str) -> list[int]:
    """Return the numbers of a list with commas, ascending."""
    try:
        sizes = sorted(int(size) for size in text.split(","))
    except ValueError:
        raise UserError(f"--growth={text}: expected whole numbers and commas") from None
    if sizes[0] < 1 or len(sizes) < 2:
        raise UserError(f"--growth={text}: expected two sizes or more, of 1 image or more")
    return sizes


def measure_ranking() -> list[tuple]:
    """Return rows: seconds to rank from distances and from features."""
    values = flags.FLAGS
    size = f"{values.queries} x {values.gallery}"
    distances, features = run_in_turns(("distances", "features"))
    return [
        (f"ranking of {size} from a distance matrix", seconds(distances), "s"),
        (
            f"ranking of {size} from {values.width} features, distances included",
            seconds(features),
            "s",
        ),
        (f"peak memory of ranking from features, {size}", peaks(features), "MB"),
        ("mAP of these features", [run["mean_ap"] for run in features], ""),
    ]


def measure_growth(sizes: list[int]) -> list[tuple]:
    """Return rows: time and memory of ranking against the size of the gallery, and their growth."""
    queries, rows, runs = flags.FLAGS.queries, [], []
    for size in sizes:
        (measured,) = run_in_turns(("features",), gallery=size)
        runs.append(measured)
        rows.append((f"ranking of {queries} x {size} from features", seconds(measured), "s"))
        rows.append((f"peak memory of ranking {queries} x {size}", peaks(measured), "MB"))
    first, last = runs[0], runs[-1]
    factor = [(b / sizes[-1]) / (a / sizes[0]) for a, b in zip(seconds(first), seconds(last))]
    title = f"time grows by this factor times the gallery, {sizes[0]} to {sizes[-1]}"
    growth = [(b - a) * 1000 / (sizes[-1] - sizes[0]) for a, b in zip(peaks(first), peaks(last))]
    return [*rows, (title, factor, ""), ("memory for 1,000 more gallery images", growth, "MB")]


def measure_reranking() -> list[tuple]:
    """Return rows: time, memory and exactness of re-ranking, beside the dense original."""
    values = flags.FLAGS
    size = f"{values.queries + values.gallery} points"
    cases = ("rerank", "dense") if values.dense else ("rerank",)
    ours, *others = run_in_turns(cases)
    rows = [
        (f"re-ranking of {size}", seconds(ours), "s"),
        (f"peak memory of re-ranking {size}", peaks(ours), "MB"),
        ("mAP after re-ranking", [run["mean_ap"] for run in ours], ""),
    ]
    for dense in others:
        ratios = [theirs / mine for mine, theirs in zip(seconds(ours), seconds(dense))]
        rows += [
            (f"dense original, float32, of {size}", seconds(dense), "s"),
            (f"peak memory of the dense original, {size}", peaks(dense), "MB"),
            ("ours is faster than the dense original by", ratios, "x"),
            ("largest difference from the dense original in float64", [compare()], ""),
        ]
    return rows


def compare() -> float:
    """Return the largest difference between our re-ranked distances and the dense original's."""
    with tempfile.TemporaryDirectory(prefix="daaf_tf_benchmark_") as folder:
        results = []
        for case in ("rerank", "dense_exact"):
            path = pathlib.Path(folder) / f"{case}.npy"
            run_case(case, output=path)
            results.append(np.load(path, mmap_mode="r"))
        return max(float(np.abs(ours - exact).max()) for ours, exact in zip(*results))


def measure_large() -> list[tuple]:
    """Return rows: time and memory of a re-ranking that is scored in blocks."""
    values = flags.FLAGS
    queries, gallery = values.large_queries, values.large_gallery
    (runs,) = run_in_turns(("rerank_blocks",), queries=queries, gallery=gallery)
    size = f"{queries + gallery} points"
    return [
        (f"re-ranking of {size}, scored in blocks", seconds(runs), "s"),
        (f"peak memory of re-ranking {size}", peaks(runs), "MB"),
    ]


def run_in_turns(cases: tuple[str, ...], **sizes: int) -> list[list[dict]]:
    """Return the figures of --repeats runs of each case."""
    runs: list[list[dict]] = [[] for _ in cases]
    for repeat in range(flags.FLAGS.repeats):
        for case, done in zip(cases, runs):
            say(f"{case} {' '.join(map(str, sizes.values()))}, run {repeat + 1}")
            done.append(run_case(case, **sizes))
    return runs


def run_case(case: str, **changes) -> dict:
    """Run tools/benchmark_retrieval_case.py once."""
    values = flags.FLAGS
    arguments = {"queries": values.queries, "gallery": values.gallery, "width": values.width}
    arguments.update(changes)
    options = [f"--{name}={value}" for name, value in arguments.items()]
    return run_program([sys.executable, str(CASE), f"--case={case}", *options])


def seconds(runs: list[dict]) -> list[float]:
    """Return the time of each run."""
    return [run["seconds"] for run in runs]


def peaks(runs: list[dict]) -> list[float]:
    """Return the peak memory of each run."""
    return [run["peak_mb"] for run in runs]


if __name__ == "__main__":
    flags.run(main)
