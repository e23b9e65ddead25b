"""Measure requests to a served model: concurrent clients, with and without batching.

python tools/benchmark_requests.py [--saved_model=S] [--clients=1,4,16,64] [--seconds=20]

tools/serve_rest.py is started twice for each turn, without and with batching, and asked by so many
clients at once, each of which sends one image, waits for its embedding and sends the next. Without
--saved_model an untrained network is exported first, ResNet-50 at 256x128; every setting of
daaf_tf.train changes it. The images are drawn (--images names a folder of others). With the
defaults the whole takes some 9 minutes; --seconds=2 --repeats=1 makes it one. Server and clients
share the machine, on which nothing else should run.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator

from daaf_tf import flags
from daaf_tf.benchmarks import describe_machine, parse_numbers, say
from daaf_tf.clients import RestClient
from daaf_tf.clients.embedding import list_images
from daaf_tf.clients.load import Load, measure_load
from daaf_tf.data.synthetic import write_synthetic_market
from daaf_tf.errors import UserError

SERVER = pathlib.Path(__file__).resolve().with_name("serve_rest.py")
MODEL = "daaf"
WAYS = {"one by one": "--nobatching", "batching": "--batching"}


def main() -> None:
    """Measure everything and print the table."""
    values = flags.FLAGS
    counts = parse_numbers("clients", values.clients)
    load = os.getloadavg()
    with tempfile.TemporaryDirectory(prefix="daaf_tf_benchmark_") as folder:
        work = pathlib.Path(folder)
        saved_model = values.saved_model or export_untrained(work / "saved_model")
        images = read_images(values.images or draw_images(work / "data"), values.num_images)
        runs = {(way, count): [] for way in WAYS for count in counts}
        for repeat in range(values.repeats):
            for way, flag in WAYS.items():
                with serving(saved_model, flag) as client:
                    for count in counts:
                        runs[way, count].append(measure_load(client, images, count, values.seconds))
                        done = runs[way, count][-1]
                        say(
                            f"turn {repeat + 1} of {values.repeats}, {way}, {count} clients: "
                            f"{done.requests_per_second:.1f} requests/s"
                        )
    print("\n".join([*describe_machine(load), "", *format_runs(runs)]))


def export_untrained(folder: pathlib.Path) -> str:
    """Export a network with random weights: how fast it is does not hang on them."""
    from daaf_tf.model import build_daaf, embedding_model
    from daaf_tf.serving import write_saved_model

    config = flags.config_from_flags().replace(hab=False, pab=False, identity_weight=0.0)
    say(f"exporting an untrained {config.model.backbone}")
    write_saved_model(embedding_model(build_daaf(config)), config, folder)
    return str(folder)


def draw_images(folder: pathlib.Path) -> str:
    """Draw the small synthetic set; return the folder of its gallery."""
    say("drawing images")
    write_synthetic_market(folder, preset="small", progress=False)
    return str(folder / "Market-1501" / "bounding_box_test")


def read_images(places: str, most: int) -> list[bytes]:
    """Return the first image files of some files and folders."""
    return [path.read_bytes() for path in list_images(places)[:most]]


@contextlib.contextmanager
def serving(saved_model: str, flag: str) -> Iterator[RestClient]:
    """Start the server in a process of its own; end it afterwards.

    Raises:
      UserError: it does not start; what it says is quoted.
    """
    command = [sys.executable, str(SERVER), f"--saved_model={saved_model}", f"--model={MODEL}"]
    command += ["--port=0", flag]
    with (
        tempfile.TemporaryFile("w+") as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as process,
    ):
        try:
            address = re.search(r"at (http://[^/]+)/", process.stdout.readline())
            if not address:
                process.wait()
                errors.seek(0)
                raise UserError(f"{SERVER.name} does not start: {errors.read().strip()}")
            yield RestClient(address[1], MODEL, timeout=600)
        finally:
            process.terminate()


def format_runs(runs: dict[tuple[str, int], list[Load]]) -> list[str]:
    """Return a Markdown table, a row for each way and number of clients, of medians over turns.

    Args:
      runs: by (way, clients); the first of them is what speed is compared to.
    """
    lines = [
        "| requests | clients | requests/s | over the first row | p50 | p95 | p99 |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    first = next(iter(runs.values()))
    for (way, count), loads in runs.items():
        speed = statistics.median(load.requests_per_second for load in loads)
        ratio = statistics.median(
            load.requests_per_second / base.requests_per_second for load, base in zip(loads, first)
        )
        times = [
            f"{1000 * statistics.median(load.latency(share) for load in loads):,.1f} ms"
            for share in (0.5, 0.95, 0.99)
        ]
        cells = [way, str(count), f"{speed:,.1f}", f"{ratio:.2f} x", *times]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


if __name__ == "__main__":
    flags.define_settings()
    flags.DEFINE_string("saved_model", "", "Exported model; empty: an untrained network.")
    flags.DEFINE_string("images", "", "Image files and folders; empty: drawn ones.")
    flags.DEFINE_integer("num_images", 256, "Images that clients take turns with.", lower_bound=1)
    flags.DEFINE_string("clients", "1,4,16,64", "Numbers of clients that ask at once.")
    flags.DEFINE_integer("seconds", 20, "How long each number of clients asks.", lower_bound=1)
    flags.DEFINE_integer("repeats", 3, "Turns; the table shows medians.", lower_bound=1)
    flags.run(main)
