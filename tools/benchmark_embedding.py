"""Measure embedding through the SavedModel against the bare backbone, and print a Markdown table.

python tools/benchmark_embedding.py [--batch_sizes=1,8,64] [--rounds=9]

Measured is DAAF-TriNet with ResNet-50 at 256x128 on random images; every setting of daaf_tf.train
changes that. The bare backbone is compiled and gets images that are normalised already; the
SavedModels, of the same network and of one without branches, get uint8 pixels of the network's
size, so that normalisation and head come on top. The three take turns in one process; ratios are
taken within a round. Two minutes on two cores; nothing else should run: the first line says how
busy the machine was.
"""

from __future__ import annotations

import os

from daaf_tf import flags
from daaf_tf.benchmarks import describe_machine, format_table, say
from daaf_tf.errors import UserError

# By how much the SavedModel may be slower than the bare backbone.
BARS = {1: 0.95, 8: 0.97, 64: 0.97}


def main() -> None:
    """Measure, and print the table."""
    from daaf_tf.serving.timing import time_embedding

    values = flags.FLAGS
    batch_sizes = parse_sizes(values.batch_sizes)
    load = os.getloadavg()
    say(f"timing batches of {values.batch_sizes}, {values.rounds} rounds")
    times = time_embedding(
        flags.config_from_flags(), batch_sizes, rounds=values.rounds, calls=values.calls
    )
    rows = [row for batch in batch_sizes for row in make_rows(batch, times[batch])]
    print("\n".join([*describe_machine(load), "", *format_table(rows)]))


def parse_sizes(text: str) -> list[int]:
    """Return the batch sizes that a flag lists.

    Raises:
      UserError: anything but whole numbers above 0.
    """
    words = [word.strip() for word in text.split(",")]
    if not all(word.isdecimal() and int(word) for word in words):
        raise UserError(f"--batch_sizes={text}: expected whole numbers above 0 and commas")
    return [int(word) for word in words]


def make_rows(batch: int, seconds) -> list[tuple]:
    """Return the rows of a batch size.

    Args:
      batch: images in a call.
      seconds: `serving.timing.Seconds` of the batch.
    """
    bar = f" (bar: {BARS[batch]} or more)" if batch in BARS else ""
    speed = [bare / daaf for bare, daaf in zip(seconds.bare, seconds.daaf)]
    branches = [plain / daaf for plain, daaf in zip(seconds.baseline, seconds.daaf)]
    return [
        (f"batch {batch}: bare backbone", [batch / each for each in seconds.bare], "images/s"),
        (f"batch {batch}: SavedModel", [batch / each for each in seconds.daaf], "images/s"),
        (f"batch {batch}: SavedModel over bare backbone{bar}", speed, "x"),
        (f"batch {batch}: DAAF's SavedModel over the baseline's", branches, "x"),
    ]


if __name__ == "__main__":
    flags.define_settings()
    flags.DEFINE_string("batch_sizes", "1,8,64", "Images in a call.")
    flags.DEFINE_integer("rounds", 9, "Timings of each; the table shows medians.", lower_bound=1)
    flags.DEFINE_integer(
        "calls",
        1,
        "Calls in a timing at batch 64; smaller batches are called more often.",
        lower_bound=1,
    )
    flags.run(main)
