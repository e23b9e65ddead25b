"""What an ablation has shown so far: Markdown table, plot, JSON, and HParams for TensorBoard."""

from __future__ import annotations

import dataclasses
import io
import json
import math
import pathlib
import shutil

import numpy as np
import tensorflow as tf
from tensorboard.plugins.hparams import api as hparams

from daaf_tf.files import write_atomically
from daaf_tf.training.ablation import (
    BASELINE,
    BOTH,
    FIGURES,
    VARIANTS,
    Run,
    Spread,
    compute_gains,
    compute_spreads,
)
from daaf_tf.training.attention_metrics import JOINT_ACCURACY, MASK_IOU

# Evaluations of each run that is done, in the order of their steps.
Curves = dict[Run, list[dict[str, float]]]

TABLE_FILE, PLOT_FILE, JSON_FILE, HPARAMS = "table.md", "plot.png", "results.json", "hparams"

_TITLES = {BASELINE: "baseline", "hab": "+HAB", "pab": "+PAB", BOTH: "+both"}
_HEADINGS = {
    "mAP": "mAP %",
    "rank1": "rank-1 %",
    MASK_IOU: "mask IoU",
    JOINT_ACCURACY: "joint accuracy",
}
_DECIMALS = {"mAP": 1, "rank1": 1, MASK_IOU: 3, JOINT_ACCURACY: 3}
_COLOURS = {BASELINE: "#5f6368", "hab": "#188038", "pab": "#e8710a", BOTH: "#1a73e8"}


def write_report(output_dir: str, curves: Curves) -> str:
    """Write table, plot and JSON of the runs that are done, and their HParams.

    Args:
      output_dir: the folder of the ablation.
      curves: at least one run.

    Returns:
      The table, as `format_table` does.
    """
    folder = pathlib.Path(output_dir)
    finals = {run: curve[-1] for run, curve in curves.items()}
    table = format_table(finals)
    write_atomically(folder / TABLE_FILE, table)
    write_atomically(folder / JSON_FILE, to_json(curves))
    write_atomically(folder / PLOT_FILE, draw_plot(curves))
    write_hparams(folder / HPARAMS, finals)
    return table


def format_table(finals: dict[Run, dict[str, float]]) -> str:
    """Return a Markdown table of all variants, their gains over the baseline, and a verdict.

    Args:
      finals: the last evaluation of each run that is done.
    """
    spreads = compute_spreads(finals)
    rows = [["", *_HEADINGS.values(), "seeds"]]
    rows.append(["---"] * len(rows[0]))
    for variant, found in spreads.items():
        cells = [_format_cell(found.get(name), name) for name in FIGURES]
        seeds = sorted(run.seed for run in finals if run.variant == variant)
        rows.append([_TITLES[variant], *cells, " ".join(map(str, seeds))])
    lines = [f"| {' | '.join(row)} |" for row in rows]
    gains = [_format_gain(finals, variant) for variant in VARIANTS if variant != BASELINE]
    text = (
        "Mean ± standard deviation over the seeds (least to most); masks and joints on held-out "
        "people."
    )
    return "\n".join([*lines, "", text, *filter(None, gains)]) + "\n"


def _format_cell(spread: Spread | None, name: str) -> str:
    if spread is None:
        return "-"
    digits = _DECIMALS[name]
    if spread.count == 1:
        return f"{spread.mean:.{digits}f}"
    return (
        f"{spread.mean:.{digits}f} ± {spread.deviation:.{digits}f} "
        f"({spread.least:.{digits}f} to {spread.most:.{digits}f})"
    )


def _format_gain(finals: dict[Run, dict[str, float]], variant: str) -> str:
    """Return a sentence about a variant's gain in mAP, empty where there is nothing to compare."""
    gain = compute_gains(finals, variant, "mAP")
    if gain is None:
        return ""
    spreads = compute_spreads(finals)
    ours, theirs = spreads[variant]["mAP"], spreads[BASELINE]["mAP"]
    text = f"{_TITLES[variant]} against the baseline, same seeds: {gain.mean:+.1f} points of mAP"
    if gain.count == 1:
        return f"{text} (one seed)."
    beyond = "is" if ours.least > theirs.most else "is not"
    return (
        f"{text} ({gain.least:+.1f} to {gain.most:+.1f}); the worst of its runs "
        f"({ours.least:.1f}) {beyond} above the best of the baseline's ({theirs.most:.1f})."
    )


def to_json(curves: Curves) -> str:
    """Return every evaluation of every run, and the spreads, as JSON."""
    finals = {run: curve[-1] for run, curve in curves.items()}
    spreads = {
        variant: {name: _without_nan(spread) for name, spread in found.items()}
        for variant, found in compute_spreads(finals).items()
    }
    runs = [
        {"variant": run.variant, "seed": run.seed, "evaluations": curve}
        for run, curve in curves.items()
    ]
    return json.dumps({"spreads": spreads, "runs": runs}, indent=1) + "\n"


def _without_nan(spread: Spread) -> dict:
    values = dataclasses.asdict(spread)
    return {name: None if math.isnan(value) else value for name, value in values.items()}


def write_hparams(folder: pathlib.Path, finals: dict[Run, dict[str, float]]) -> None:
    """Write the runs for TensorBoard's HParams page, in the place of what was there before."""
    shutil.rmtree(folder, ignore_errors=True)
    with tf.summary.create_file_writer(str(folder)).as_default():
        hparams.hparams_config(
            hparams=[
                hparams.HParam("hab", hparams.Discrete([False, True])),
                hparams.HParam("pab", hparams.Discrete([False, True])),
                hparams.HParam("seed", hparams.Discrete(sorted({run.seed for run in finals}))),
            ],
            metrics=[hparams.Metric(name, display_name=title) for name, title in _HEADINGS.items()],
        )
    for run, figures in finals.items():
        with tf.summary.create_file_writer(str(folder / run.name)).as_default():
            hparams.hparams(run.settings(), trial_id=run.name)
            for name in FIGURES:
                if name in figures:
                    tf.summary.scalar(name, figures[name], step=int(figures["step"]))


def draw_plot(curves: Curves) -> bytes:
    """Draw mAP over the steps, and the last figures of each run, as a PNG.

    Each variant has a colour; on the left a line is the mean over its seeds and the band reaches
    from the least to the most, on the right a dot is one run and the bar the mean.
    """
    # Drawing takes matplotlib a second to import; a table needs none of it.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 4), dpi=120, layout="constrained")
    left, *right = figure.subplots(1, 1 + len(FIGURES), width_ratios=[3] + [1] * len(FIGURES))
    for variant in VARIANTS:
        _draw_curve(left, variant, [c for run, c in curves.items() if run.variant == variant])
    left.set_xlabel("step")
    left.set_ylabel(_HEADINGS["mAP"])
    left.grid(alpha=0.3)
    left.legend(frameon=False)
    for axes, name in zip(right, FIGURES):
        _draw_finals(axes, name, curves)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def _draw_curve(axes, variant: str, curves: list[list[dict[str, float]]]) -> None:
    if not curves:
        return
    # Only what all seeds have evaluated can be averaged.
    steps = sorted(set.intersection(*({line["step"] for line in curve} for curve in curves)))
    values = np.array(
        [[line["mAP"] for line in curve if line["step"] in steps] for curve in curves]
    )
    axes.plot(steps, values.mean(axis=0), color=_COLOURS[variant], label=_TITLES[variant])
    axes.fill_between(
        steps, values.min(axis=0), values.max(axis=0), color=_COLOURS[variant], alpha=0.15
    )


def _draw_finals(axes, name: str, curves: Curves) -> None:
    shown = [variant for variant in VARIANTS if any(run.variant == variant for run in curves)]
    for place, variant in enumerate(shown):
        values = [
            c[-1][name] for run, c in curves.items() if run.variant == variant and name in c[-1]
        ]
        if values:
            colour = _COLOURS[variant]
            axes.plot([place] * len(values), values, "o", color=colour, alpha=0.6, markersize=5)
            axes.plot([place - 0.3, place + 0.3], [np.mean(values)] * 2, color=colour, linewidth=2)
    axes.set_title(_HEADINGS[name], fontsize=10)
    axes.set_xlim(-0.6, len(shown) - 0.4)
    axes.set_xticks(range(len(shown)), [_TITLES[variant] for variant in shown], rotation=60)
    axes.grid(axis="y", alpha=0.3)
