"""Measure training steps and print Markdown tables.

python tools/benchmark_training.py [--data_dir=R] [--parts=loop,branches,precision,replicas]

Measured is DAAF-TriNet with ResNet-50 at 256x128 and batches of 16; every setting of daaf_tf.train
changes that, say --backbone=resnet18 --image_height=128 --image_width=64. Without --data_dir a
synthetic set is drawn and converted first. Every figure is the median over --repeats runs, each in
a new process, the measurements in turns; ratios are taken within a turn. The whole takes some 20
minutes on two cores; smaller sizes, --repeats=1, --steps=2 and --blocks=1 make it two. Nothing else
should run on the machine: the first line says how busy it was.

loop       our training, with input pipeline and callbacks, against a bare compiled loop
branches   what HAB and PAB add to the baseline's step
precision  mixed_bfloat16 against float32
replicas   step time against replicas (as logical CPUs) and batch size
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import statistics
import sys
import tempfile

from daaf_tf import flags
from daaf_tf.benchmarks import (
    BFLOAT16_INSTRUCTIONS,
    describe_machine,
    find_bfloat16_instructions,
    format_table,
    parse_numbers,
    run_program,
    say,
)
from daaf_tf.config import Config
from daaf_tf.data.conversion import Conversion, convert
from daaf_tf.data.synthetic import write_synthetic_market
from daaf_tf.data.synthetic_plan import PRESETS
from daaf_tf.errors import UserError

STEPS_PROGRAM = pathlib.Path(__file__).resolve().with_name("benchmark_steps.py")
# DAAF-TriNet's input, in batches of 16.
BASE = Config().replace(resize_height=288, resize_width=144, identities_per_batch=4)


@dataclasses.dataclass(frozen=True)
class Measurement:
    """One kind of run: which loop, and the config's settings that are its own."""

    loop: str
    settings: tuple[tuple[str, object], ...] = ()


TRAIN = Measurement("train")
BOTH = Measurement("bare")
BASELINE = Measurement("bare", (("hab", False), ("pab", False)))
HAB = Measurement("bare", (("pab", False),))
PAB = Measurement("bare", (("hab", False),))
BFLOAT16 = Measurement("bare", (("precision", "mixed_bfloat16"),))

# What each part takes; those of the last one hang on flags.
PARTS = {
    "loop": (TRAIN, BOTH),
    "branches": (BASELINE, HAB, PAB, BOTH),
    "precision": (BOTH, BFLOAT16),
    "replicas": (),
}


def main() -> None:
    """Measure everything and print the tables."""
    values = flags.FLAGS
    config = flags.config_from_flags(BASE)
    parts = parse_parts(values.parts)
    grid = make_grid(config, values.replicas, values.batch_sizes) if "replicas" in parts else {}
    load = os.getloadavg()
    with tempfile.TemporaryDirectory(prefix="daaf_tf_benchmark_") as folder:
        work = pathlib.Path(folder)
        if "loop" in parts and not config.data.data_dir:
            config = config.replace(data_dir=make_records(work, values.preset))
        chosen = list(dict.fromkeys(each for part in parts for each in PARTS[part]))
        runs = measure(chosen, config, work, values.repeats)
        grid_runs = measure(list(grid.values()), config, work, values.grid_repeats)
    times = {each: seconds(runs[each]) for each in chosen}
    rows = {"loop": loop_rows, "branches": branches_rows, "precision": precision_rows}
    lines = describe_machine(load)
    for part in parts:
        if part in rows:
            title, table = rows[part](times, config)
            lines += ["", title, "", *format_table(table)]
    if grid:
        lines += ["", "Step time against replicas and batch:", ""]
        lines += format_grid({at: grid_runs[each] for at, each in grid.items()})
    print("\n".join(lines))


def parse_parts(text: str) -> list[str]:
    """Return the parts that a flag names.

    Raises:
      UserError: none, or an unknown one.
    """
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts or set(parts) - set(PARTS):
        raise UserError(f"--parts={text}: expected some of {','.join(PARTS)}")
    return parts


def make_grid(
    config: Config, replicas: str, batch_sizes: str
) -> dict[tuple[int, int], Measurement]:
    """Return the measurements by (replicas, batch size).

    Raises:
      UserError: a batch that is no P x K, or whose P the replicas do not divide.
    """
    grid, per_person = {}, config.data.images_per_identity
    for batch in parse_numbers("batch_sizes", batch_sizes):
        for count in parse_numbers("replicas", replicas):
            if batch % (per_person * count):
                raise UserError(
                    f"--batch_sizes={batch_sizes}: expected multiples of {per_person * count}, K="
                    f"{per_person} images of a person for each of {count} replicas, found {batch}"
                )
            settings = (
                ("identities_per_batch", batch // per_person),
                ("num_cpu_replicas", count),
            )
            grid[count, batch] = Measurement("bare", settings)
    return grid


def make_records(work: pathlib.Path, preset: str) -> str:
    """Draw and convert a synthetic set; return the folder of its records."""
    say(f"drawing and converting the synthetic set {preset}")
    write_synthetic_market(work / "data", preset=preset)
    convert(Conversion("market1501", str(work / "data"), str(work / "records")))
    return str(work / "records")


def measure(
    measurements: list[Measurement], config: Config, work: pathlib.Path, repeats: int
) -> dict[Measurement, list[dict]]:
    """Run every measurement in turns; return what benchmark_steps.py has printed each time."""
    values, runs = flags.FLAGS, {each: [] for each in measurements}
    for repeat in range(repeats):
        for number, each in enumerate(measurements, 1):
            shown = ", ".join(f"{name}={value}" for name, value in each.settings)
            say(
                f"turn {repeat + 1} of {repeats}, run {number} of {len(measurements)}: "
                f"{each.loop} loop{shown and ', '}{shown}"
            )
            flagfile = work / "settings.flags"
            flagfile.write_text(flags.to_flagfile(config.replace(**dict(each.settings))))
            command = [sys.executable, STEPS_PROGRAM, f"--flagfile={flagfile}"]
            command += [f"--loop={each.loop}", f"--steps={values.steps}"]
            runs[each].append(run_program([*command, f"--blocks={values.blocks}"]))
            say(f"  {statistics.median(runs[each][-1]['seconds_per_step']):.3f} s a step")
    return runs


def seconds(runs: list[dict]) -> list[float]:
    """Return the seconds per step of each run, the median of its blocks."""
    return [statistics.median(run["seconds_per_step"]) for run in runs]


def milliseconds(figures: list[float]) -> list[float]:
    """Return seconds in milliseconds."""
    return [1000 * figure for figure in figures]


def ratios(upper: list[float], lower: list[float]) -> list[float]:
    """Return the ratios of figures of the same turn."""
    return [a / b for a, b in zip(upper, lower)]


def loop_rows(times: dict[Measurement, list[float]], config: Config) -> tuple[str, list[tuple]]:
    """Return title and rows: our training and the bare loop."""
    images = [config.batch_size / each for each in times[TRAIN]]
    return "Our training against a bare compiled loop on random tensors:", [
        ("step of the bare loop", milliseconds(times[BOTH]), "ms"),
        ("step of our training, real batches and callbacks", milliseconds(times[TRAIN]), "ms"),
        (
            "our speed over the bare loop's (bar: 0.95 or more)",
            ratios(times[BOTH], times[TRAIN]),
            "x",
        ),
        ("images in our training", images, "images/s"),
    ]


def branches_rows(times: dict[Measurement, list[float]], config: Config) -> tuple[str, list[tuple]]:
    """Return title and rows: the baseline's step, and those with branches over it."""
    return f"What the branches add to a step of {config.batch_size} images:", [
        ("step of the baseline", milliseconds(times[BASELINE]), "ms"),
        ("with HAB over the baseline", ratios(times[HAB], times[BASELINE]), "x"),
        ("with PAB over the baseline", ratios(times[PAB], times[BASELINE]), "x"),
        (
            "with both over the baseline (bar: below 1.35)",
            ratios(times[BOTH], times[BASELINE]),
            "x",
        ),
    ]


def precision_rows(
    times: dict[Measurement, list[float]], config: Config
) -> tuple[str, list[tuple]]:
    """Return title and rows: mixed_bfloat16 and what the config has."""
    found = find_bfloat16_instructions()
    if found is None:
        machine = "which instructions the processor has is not known"
    else:
        machine = f"the processor has {' and '.join(found) or 'no instructions for it'}"
    amx = BFLOAT16_INSTRUCTIONS[0] in (found or ())
    bar = "bar: 1.4 or more" if amx else "the bar of 1.4 is for processors with AMX"
    name = config.train.precision
    return f"mixed_bfloat16 ({machine}):", [
        (f"step in {name}", milliseconds(times[BOTH]), "ms"),
        ("step in mixed_bfloat16", milliseconds(times[BFLOAT16]), "ms"),
        (f"speed of mixed_bfloat16 over {name} ({bar})", ratios(times[BOTH], times[BFLOAT16]), "x"),
    ]


def format_grid(runs: dict[tuple[int, int], list[dict]]) -> list[str]:
    """Return a Markdown table: a row for each number of replicas and batch size."""
    lines = ["| replicas | batch | step | images/s | most memory |", "|---:|---:|---:|---:|---:|"]
    for (replicas, batch), each in runs.items():
        step = statistics.median(seconds(each))
        memory = statistics.median(run["peak_mb"] for run in each)
        lines.append(
            f"| {replicas} | {batch} | {step:.3f} s | {batch / step:,.1f} | {memory:,.0f} MB |"
        )
    return lines


if __name__ == "__main__":
    flags.define_settings()
    flags.DEFINE_string("parts", ",".join(PARTS), "What is measured, comma-separated.")
    flags.DEFINE_integer("repeats", 3, "Runs of each measurement; the tables show medians.")
    flags.DEFINE_integer("grid_repeats", 1, "Runs for each number of replicas and batch size.")
    flags.DEFINE_integer("steps", 3, "Steps in a timed block.")
    flags.DEFINE_integer("blocks", 3, "Timed blocks in a run; one more is not counted.")
    flags.DEFINE_string("replicas", "1,2,4", "Numbers of replicas, as logical CPUs.")
    flags.DEFINE_string("batch_sizes", "16,32", "Images in a global batch.")
    flags.DEFINE_enum("preset", "small", tuple(PRESETS), "Synthetic set drawn without --data_dir.")
    flags.run(main)
