"""The question the project exists for: do the branches help? One run for each variant and seed.

A/runs/seed1-both/     the model directory of one run
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Iterable

import numpy as np

from daaf_tf.config import Config, differences
from daaf_tf.errors import UserError
from daaf_tf.training.attention_metrics import JOINT_ACCURACY, MASK_IOU
from daaf_tf.training.checkpoints import METRICS_FILE, read_config
from daaf_tf.training.trainer import resolve_config

BASELINE, BOTH = "baseline", "both"
# What each variant trains beside the embedding.
VARIANTS = {
    BASELINE: {"hab": False, "pab": False},
    "hab": {"hab": True, "pab": False},
    "pab": {"hab": False, "pab": True},
    BOTH: {"hab": True, "pab": True},
}
# The figures that are compared, by their names in a run's metrics.jsonl.
FIGURES = ("mAP", "rank1", MASK_IOU, JOINT_ACCURACY)

_RUNS = "runs"


@dataclasses.dataclass(frozen=True)
class Run:
    """One training of the ablation.

    Attributes:
      variant: a key of VARIANTS.
      seed: of weights, sampling and augmentation; the same for all variants that are compared.
    """

    variant: str
    seed: int

    @property
    def name(self) -> str:
        """Name of the run's folder."""
        return f"seed{self.seed}-{self.variant}"

    def settings(self) -> dict[str, bool | int]:
        """Return the settings in which this run differs from others."""
        return {**VARIANTS[self.variant], "seed": self.seed}


@dataclasses.dataclass(frozen=True)
class Spread:
    """A figure over the seeds: mean, sample standard deviation (NaN for one seed), extremes."""

    mean: float
    deviation: float
    least: float
    most: float
    count: int


def plan_runs(seeds: Iterable[int], variants: Iterable[str] = tuple(VARIANTS)) -> list[Run]:
    """Return all runs in the order in which they are made: each seed's variants together."""
    return [Run(variant, seed) for seed in seeds for variant in variants]


def model_dir(output_dir: str, run: Run) -> pathlib.Path:
    """Return the model directory of a run."""
    return pathlib.Path(output_dir, _RUNS, run.name)


def check_config(config: Config) -> None:
    """Raise a UserError unless the ablation can measure what it is made for."""
    held_out = config.data.held_out_identities
    if not held_out:
        raise UserError(
            "--held_out_identities=0: masks and joints are measured on training identities that "
            "nothing is learned from; hold out some, a tenth of them for example"
        )
    resolve_config(config)


def read_curve(config: Config, folder: pathlib.Path) -> list[dict[str, float]]:
    """Read what a run has logged about itself, if it is done.

    Args:
      config: what the run's config should be.
      folder: its model directory; need not exist.

    Returns:
      Its evaluations in the order of their steps, the last at `total_steps`, each the figures of
      `metrics.jsonl`; empty where the run is not done.

    Raises:
      UserError: the run is done, but was another one, or its figures cannot be read.
    """
    path = folder / METRICS_FILE
    if not path.exists():
        return []
    try:
        lines = [json.loads(line) for line in path.read_text("utf-8").splitlines() if line]
        # A run that was killed has logged some steps twice; the later is what it went on from.
        by_step = {int(line["step"]): line for line in lines}
    except (ValueError, LookupError, TypeError) as error:
        raise UserError(f"{path}: cannot be read ({error}); delete {folder}") from error
    total = config.train.total_steps
    if total not in by_step:
        return []
    changed = differences(read_config(str(folder)), resolve_config(config))
    if changed:
        shown = "\n  ".join(changed)
        raise UserError(
            f"{folder} holds a run with another config; go on with that config, or name another "
            f"--output_dir. It differs in (theirs -> yours):\n  {shown}"
        )
    return [by_step[step] for step in sorted(by_step) if step <= total]


def compute_spread(values: Iterable[float]) -> Spread:
    """Compute mean and spread of one or more numbers."""
    values = np.array(list(values), np.float64)
    deviation = float(values.std(ddof=1)) if len(values) > 1 else float("nan")
    return Spread(
        float(values.mean()), deviation, float(values.min()), float(values.max()), len(values)
    )


def compute_spreads(finals: dict[Run, dict[str, float]]) -> dict[str, dict[str, Spread]]:
    """Compute {variant: {figure: spread over its runs}} of what there is.

    Args:
      finals: the last evaluation of each run that is done.
    """
    spreads: dict[str, dict[str, Spread]] = {}
    for variant in VARIANTS:
        rows = [figures for run, figures in finals.items() if run.variant == variant]
        for name in FIGURES:
            values = [figures[name] for figures in rows if name in figures]
            if values:
                spreads.setdefault(variant, {})[name] = compute_spread(values)
    return spreads


def compute_gains(finals: dict[Run, dict[str, float]], variant: str, name: str) -> Spread | None:
    """Compute a variant's gain in one figure over the baseline, seed by seed.

    Args:
      finals: as for `compute_spreads`.
      variant: a key of VARIANTS.
      name: one of FIGURES.

    Returns:
      The spread of the differences over the seeds that have both runs; None where there is none.
    """
    gains = [
        figures[name] - finals[Run(BASELINE, run.seed)][name]
        for run, figures in finals.items()
        if run.variant == variant and Run(BASELINE, run.seed) in finals
    ]
    return compute_spread(gains) if gains else None
