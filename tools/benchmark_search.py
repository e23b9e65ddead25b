"""Measure gallery search beside one numpy matrix-vector product, and print a Markdown table.

python tools/benchmark_search.py [--images=1000000] [--width=512] [--index_types=ivfpq,hnsw]

The default sizes write 2 GB of drawn embeddings (see tools/benchmark_search_case.py for how) and
the indexes to --output_dir, a temporary folder by default; building the two indexes is what takes
the time. Smaller sizes take a minute:

python tools/benchmark_search.py --images=20000 --width=64 --queries=20 --repeats=1

Within one process each query goes to numpy, to the exact search and to the approximate one, in
turns; a figure is the median over the queries, and the table shows --repeats such processes. Memory
is the peak of a process that opens a gallery and asks once; the vectors' file is mapped, so its
pages count as soon as they are read, and are the system's to take back. Nothing else should run on
the machine: the table says how busy it was.
"""

from __future__ import annotations

import os
import pathlib
import sys
import tempfile

from daaf_tf import flags
from daaf_tf.benchmarks import describe_machine, format_table, run_program, say
from daaf_tf.errors import UserError
from daaf_tf.serving.nearest import EF_SEARCH, FLAT, HNSW, IVFPQ, LEAST_FOR_IVFPQ, NPROBE

CASE = pathlib.Path(__file__).resolve().parent / "benchmark_search_case.py"

flags.DEFINE_integer("images", 1_000_000, "Images of the gallery.")
flags.DEFINE_integer("width", 512, "Features of an image.")
flags.DEFINE_float("noise", 1.0, "Of each feature, where the spread of the persons is 1.")
flags.DEFINE_integer("queries", 100, "Queries, one at a time.")
flags.DEFINE_integer("nprobe", NPROBE, "Lists visited in an ivfpq gallery.")
flags.DEFINE_integer("ef_search", EF_SEARCH, "Candidates in an hnsw gallery.")
flags.DEFINE_string("index_types", f"{IVFPQ},{HNSW}", "Approximate galleries to build.")
flags.DEFINE_integer("repeats", 3, "Processes of each measurement; the table shows medians.")
flags.DEFINE_string("output_dir", None, "Folder for the galleries; default: a temporary one.")


def main() -> None:
    """Draw, build, measure, and print the table."""
    index_types = parse_index_types(flags.FLAGS.index_types)
    load = os.getloadavg()
    with tempfile.TemporaryDirectory(prefix="daaf_tf_search_", dir=flags.FLAGS.output_dir) as name:
        folder = pathlib.Path(name)
        say(f"drawing {flags.FLAGS.images:,} embeddings")
        drawn = run_case("draw", folder)
        rows = [("vectors on disk", [drawn["megabytes"]], "MB"), *measure_opening(folder, FLAT)]
        for index_type in index_types:
            rows += measure_index(folder, index_type)
    print("\n".join([*describe_machine(load), "", *format_table(rows)]))


def parse_index_types(text: str) -> list[str]:
    """Return the types of a list with commas."""
    types = text.split(",")
    unknown = [name for name in types if name not in (IVFPQ, HNSW)]
    if unknown:
        raise UserError(f"--index_types={text}: expected {IVFPQ} and {HNSW}, with a comma")
    if IVFPQ in types and flags.FLAGS.images < LEAST_FOR_IVFPQ:
        raise UserError(f"--images={flags.FLAGS.images}: {IVFPQ} needs {LEAST_FOR_IVFPQ:,} or more")
    return types


def measure_index(folder: pathlib.Path, index_type: str) -> list[tuple]:
    """Return rows: what it takes to build an approximate gallery, and how fast and right it is."""
    say(f"building {index_type}")
    built = run_case("build", folder, index_type=index_type)
    runs = [run_case("query", folder, index_type=index_type) for _ in range(flags.FLAGS.repeats)]
    return [
        (f"{index_type}: building", [built["seconds"]], "s"),
        (f"{index_type}: peak memory of building", [built["peak_mb"]], "MB"),
        (f"{index_type}: index on disk", [built["megabytes"]], "MB"),
        *measure_opening(folder, index_type),
        (f"{index_type}: numpy's product, one query", take(runs, "product", 1e3), "ms"),
        (f"{index_type}: exact search, one query", take(runs, "exact", 1e3), "ms"),
        (f"{index_type}: approximate search, one query", take(runs, "approximate", 1e3), "ms"),
        (
            f"{index_type}: exact search over numpy's product",
            [run["exact"] / run["product"] for run in runs],
            "x",
        ),
        (
            f"{index_type}: approximate is faster than exact by",
            [run["exact"] / run["approximate"] for run in runs],
            "x",
        ),
        (f"{index_type}: recall@10", take(runs, "recall"), ""),
        (f"{index_type}: exact hits of the query's person", take(runs, "right"), ""),
    ]


def measure_opening(folder: pathlib.Path, index_type: str) -> list[tuple]:
    """Return rows: time and memory of opening a gallery and asking once."""
    say(f"opening {index_type}")
    runs = [run_case("open", folder, index_type=index_type) for _ in range(flags.FLAGS.repeats)]
    return [
        (f"{index_type}: opening, every byte checked", take(runs, "seconds"), "s"),
        (f"{index_type}: peak memory of a query", take(runs, "peak_mb"), "MB"),
    ]


def take(runs: list[dict], name: str, factor: float = 1.0) -> list[float]:
    """Return a figure of each run."""
    return [factor * run[name] for run in runs]


def run_case(case: str, folder: pathlib.Path, **options) -> dict:
    """Run tools/benchmark_search_case.py once."""
    names = ("images", "width", "noise", "queries", "nprobe", "ef_search")
    arguments = {**{name: getattr(flags.FLAGS, name) for name in names}, **options}
    words = [f"--{name}={value}" for name, value in arguments.items()]
    return run_program([sys.executable, CASE, f"--case={case}", f"--folder={folder}", *words])


if __name__ == "__main__":
    flags.run(main)
