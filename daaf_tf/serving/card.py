"""The model card: what an exported model is, what it was measured at and what it is not for."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from daaf_tf.config import Config
from daaf_tf.data.records import read_manifest

CARD_FILE = "assets.extra/model_card.md"

LICENSE = (
    "The code is under Apache-2.0. The weights were learned from the data set above (and from the "
    "pre-trained weights they started from, if any): their terms hold for this model."
)

_TITLES = {
    "mAP": "mAP, rectangle (fast-reid, torchreid, BoT)",
    "mAP_trapezoid": "mAP, trapezoid (Market-1501's own)",
    "mask_iou": "mask IoU of held-out people, 0..1",
    "joint_accuracy": "joint accuracy on held-out people, 0..1",
}
_SHARES = ("mask_iou", "joint_accuracy")

_LIMITS = (
    "It takes crops that show one person each, as a detector cuts them out; it finds nobody in a "
    "whole scene.",
    "It is measured on the test split of one data set. Other cameras, seasons or clothes give "
    "other figures: measure them on images of your own before you rely on a distance.",
    "People are told apart by how they look on one day, clothes above all. Two people in the same "
    "uniform may look alike, and one person in other clothes may not be found.",
    "A ranking says who of the gallery is nearest, not that the person is in it.",
    "Nothing was measured on how errors are spread over groups of people. Do not let a decision "
    "about a person hang on it alone, and mind the laws on such processing where you run it.",
)


def make_model_card(facts: Mapping[str, Any]) -> str:
    """Return the card as Markdown.

    Args:
      facts: what export describes the model with: `daaf_tf_version`, `description`,
        `input_height`, `input_width`, `embedding_size`, `parameters`, `normalize`, `tta`,
        `precision`, `signatures`, `metrics` and `config`; and, where known, `data` and `license`
        (a line each), `metrics_tta` (under which the metrics came about) and `parity` (what
        `parity.compare` returned).
    """
    sections = {
        "Model": _say_model(facts),
        "Recipe": _say_recipe(facts["config"]),
        "Data": [facts.get("data") or "Not known."],
        "Input and output": _say_signatures(facts),
        "Figures": _say_metrics(facts),
        "What was checked": _say_parity(facts.get("parity")),
        "Licence": [facts.get("license") or LICENSE],
        "Limits": [f"- {limit}" for limit in _LIMITS],
    }
    parts = ["# Person re-identification embedding"]
    for title, lines in sections.items():
        parts += [f"## {title}", "\n".join(lines)]
    return "\n\n".join(parts) + "\n"


def describe_data(config: Config) -> str:
    """Return a line on the records of a run: the data set, and what is in its splits.

    Raises:
      UserError: records that another version wrote, or that are damaged.
    """
    folder = config.data.data_dir
    if not os.path.isdir(folder):
        return f"{config.model.num_identities} training identities; the records were not at hand."
    manifest = read_manifest(folder)
    splits = (
        f"{name} {split['images']:,} images of {split['identities']:,} persons"
        for name, split in manifest["splits"].items()
    )
    held_out = config.data.held_out_identities
    return (
        f"{manifest['dataset']}: {', '.join(splits)}; "
        f"{held_out or 'none'} of the training identities held out."
    )


def _say_model(facts: Mapping[str, Any]) -> list[str]:
    model = facts["config"]["model"]
    lines = [facts["description"]] if facts["description"] else []
    return [
        *lines,
        f"{model['backbone']} with the head {model['head']}: {facts['parameters']:,} parameters in "
        f"{facts['precision']}, {facts['embedding_size']} floats an image. Written by daaf_tf "
        f"{facts['daaf_tf_version']} with TensorFlow {facts['tensorflow_version']}.",
    ]


def _say_recipe(config: Mapping[str, Any]) -> list[str]:
    data, train, optimizer = config["data"], config["train"], config["optimizer"]
    branches = [name.upper() for name in ("hab", "pab") if config["model"][name]]
    return [
        f"{train['total_steps']:,} steps of {data['identities_per_batch']} persons with "
        f"{data['images_per_identity']} images each, {optimizer['optimizer']} at "
        f"{optimizer['learning_rate']:g}; attention branches in training: "
        f"{' and '.join(branches) or 'none'}. Every setting is in daaf_tf.json beside this card."
    ]


def _say_signatures(facts: Mapping[str, Any]) -> list[str]:
    lines = [
        f"Images are resized to {facts['input_height']}x{facts['input_width']} (height x width) "
        "and normalised inside, as in evaluation. Colours are RGB; an image file is a JPEG, PNG or "
        "one-frame GIF.",
        f"Embeddings have {'length 1' if facts['normalize'] else 'any length'}; test-time "
        f"augmentation inside: {facts['tta']}. B is any number, 0 too.",
        "",
        "| signature | input | output |",
        "|---|---|---|",
    ]
    for name, signature in facts["signatures"].items():
        cells = (
            "<br>".join(f"`{tensor}` {spec}" for tensor, spec in signature[key].items())
            for key in ("input", "outputs")
        )
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    return lines


def _say_metrics(facts: Mapping[str, Any]) -> list[str]:
    metrics, evaluation = facts["metrics"], facts["config"]["eval"]
    if not metrics:
        return ["No evaluation of this step was logged."]
    lines = [
        "As training's evaluation logged them, of the float32 weights: the Market-1501 protocol, "
        f"single query, {evaluation['eval_metric']} distance, test-time augmentation "
        f"{facts.get('metrics_tta', 'not known')}, no re-ranking.",
        "",
        "| figure | value |",
        "|---|---:|",
    ]
    for name, value in metrics.items():
        shown = f"{value:.3f}" if name in _SHARES else f"{value:.2f} %"
        lines.append(f"| {_TITLES.get(name, name.replace('rank', 'rank-'))} | {shown} |")
    return lines


def _say_parity(parity: Mapping[str, Any] | None) -> list[str]:
    if not parity:
        return ["**Nothing: the written model was not compared with the trained network.**"]
    compared = parity["queries"] + parity["gallery"]
    whole = compared == parity["images_in_records"]
    warmup = sum(parity["warmup_requests"].values())
    rows = [*_say_rows(parity, "written model")]
    if "int8" in parity:
        rows += _say_rows(parity["int8"], "int8")
    return [
        f"The written model was loaded in a process of its own and embedded {parity['queries']:,} "
        f"queries and {parity['gallery']:,} gallery images"
        f"{'' if whole else ' (a sample of the records)'}; the trained network in "
        "float32 embedded the same, with the same test-time augmentation and normalisation.",
        "",
        "| | trained network | written | allowed |",
        "|---|---:|---:|---:|",
        *rows,
        "",
        f"{parity['images_as_pixels']} of the queries were sent as pixels, too; {warmup} warm-up "
        "requests were answered.",
    ]


def _say_rows(parity: Mapping[str, Any], name: str) -> list[str]:
    bars = (parity["mAP_tolerance"], parity["tolerance"])
    points, length = ("-", "-") if None in bars else (f"{bars[0]} points", f"{bars[1]:.0e}")
    return [
        f"| {name}: mAP, rectangle, {parity['metric']} | {parity['mAP_trained']:.4f} % | "
        f"{parity['mAP_written']:.4f} % | {points} |",
        f"| {name}: largest difference of an embedding, over its length | | "
        f"{parity['largest_difference']:.1e} | {length} |",
    ]
