"""Train the baseline, +HAB, +PAB and both, over several seeds, and print what the branches do.

python tools/ablation.py --flagfile=configs/synthetic_daaf.flags --data_dir=R --output_dir=A
    [--seeds=1,2,3] [--variants=baseline,both]

Each run is `python -m daaf_tf.train` with the given settings, but for --hab, --pab and --seed, in
A/runs. After each, A gets table.md, plot.png, results.json and hparams (tensorboard
--logdir=A/hparams) of all that are done. Interrupt it whenever you like: the same command goes on,
and does nothing again that is done.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable

from daaf_tf import files, flags
from daaf_tf.config import Config
from daaf_tf.errors import UserError
from daaf_tf.programs import run_python

FLAGS = flags.FLAGS


def main() -> None:
    """Make one run after the other, and report after each."""
    config, seeds = flags.config_from_flags(), parse_seeds(FLAGS.seeds)

    from daaf_tf.training import ablation

    ablation.check_config(config)
    runs = ablation.plan_runs(seeds, parse_variants(FLAGS.variants, ablation.VARIANTS))
    with locked(FLAGS.output_dir) as lock:
        settings = os.path.join(FLAGS.output_dir, "settings.flags")
        curves = {run: read(config, run) for run in runs}
        curves = {run: curve for run, curve in curves.items() if curve}
        files.write_atomically(settings, flags.to_flagfile(config))
        for number, run in enumerate(runs, start=1):
            if run not in curves:
                print(f"\nrun {number} of {len(runs)}: {run.name}", flush=True)
                train(settings, run, lock)
                curves[run] = read(config, run)
                if not curves[run]:
                    folder = ablation.model_dir(FLAGS.output_dir, run)
                    raise UserError(f"{folder}: trained without its last evaluation; delete it")
                report(curves)
        print(report(curves), end="")


def parse_seeds(text: str) -> list[int]:
    """Return the whole numbers of --seeds.

    Raises:
      UserError: no numbers, a repeated one, or one that no run takes.
    """
    try:
        seeds = [int(item) for item in text.split(",")]
    except ValueError:
        seeds = []
    if not seeds or len(set(seeds)) < len(seeds):
        raise UserError(f"--seeds={text}: expected different whole numbers and commas, as in 1,2,3")
    for seed in seeds:
        Config().replace(seed=seed)
    return seeds


def parse_variants(text: str, known: Iterable[str]) -> list[str]:
    """Return the names of --variants.

    Raises:
      UserError: an unknown or a repeated name.
    """
    variants = text.split(",") if text else list(known)
    if set(variants) - set(known) or len(set(variants)) < len(variants):
        raise UserError(f"--variants={text}: expected some of {','.join(known)}, each once")
    return variants


def read(config: Config, run) -> list[dict[str, float]]:
    """Return the evaluations of a run that is done; of another nothing."""
    from daaf_tf.training import ablation

    return ablation.read_curve(
        config.replace(**run.settings()), ablation.model_dir(FLAGS.output_dir, run)
    )


def train(settings: str, run, lock: int) -> None:
    """Make one run, or go on with it; end this program as that process ended if it failed."""
    from daaf_tf.training import ablation

    folder = ablation.model_dir(FLAGS.output_dir, run)
    differing = [f"--{name}={value}".lower() for name, value in run.settings().items()]
    flagged = [f"--flagfile={settings}", *differing, f"--model_dir={folder}"]
    code = run_python(["-m", "daaf_tf.train", *flagged], keep_open=[lock])
    if code:
        what = "stopped" if code == 130 else f"training has ended with code {code}"
        print(f"{what}; the same command goes on from here ({run.name})", file=sys.stderr)
        sys.exit(code if code > 0 else 128 - code)


def report(curves) -> str:
    """Write all that is known to the output folder and return the table."""
    from daaf_tf.training.ablation_report import write_report

    return write_report(FLAGS.output_dir, curves)


@contextlib.contextmanager
def locked(folder: str):
    """Make the folder if need be, and hold its lock; a run that outlives this program holds it too.

    Raises:
      UserError: another ablation is at work there, or the folder cannot be written.
    """
    with contextlib.ExitStack() as stack:
        try:
            os.makedirs(folder, exist_ok=True)
            lock = stack.enter_context(files.locked(folder))
        except BlockingIOError:
            raise UserError(f"--output_dir={folder}: another ablation is at work there") from None
        except OSError as error:
            raise UserError(f"--output_dir={folder}: {error.strerror}") from error
        yield lock


if __name__ == "__main__":
    flags.define_settings()
    flags.DEFINE_string("output_dir", None, "Folder of the ablation: made, or gone on with.")
    flags.DEFINE_string("seeds", "1,2,3", "Seeds, separated by commas.")
    flags.DEFINE_string(
        "variants", "", "Which of baseline, hab, pab and both, separated by commas; empty: all."
    )
    flags.mark_flags_as_required(["data_dir", "output_dir"])
    flags.run(main)
