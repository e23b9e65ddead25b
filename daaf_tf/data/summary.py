"""What a conversion did, as text for the screen."""

from __future__ import annotations

import dataclasses
import os

from daaf_tf.data.conversion import Report
from daaf_tf.data.datasets import DATASETS, Counts, DataSet
from daaf_tf.data.output import PROBLEMS

_ROWS = {
    "images": "images",
    "identities": "ids",
    "cameras": "cameras",
    "junk": "junk",
    "distractors": "distractors",
    "masks": "with a mask",
    "keypoint_maps": "with all 17 maps",
}
_SHOWN = 5  # problems and ignored files that are shown; the file beside the records has them all


def format_summary(report: Report) -> str:
    """Return a table of what each split holds beside the real set's counts, and what went wrong."""
    dataset = DATASETS[report.conversion.dataset]
    found = {split: _count(entry) for split, entry in report.manifest["splits"].items()}
    lines = [
        f"{report.conversion.dataset} records in {report.conversion.output_dir}",
        "",
        *_table(found, dataset),
        _coordinates(report),
        "",
        *_comparison(found, dataset),
        *report.notes,
        *_ignored(report),
        *_problems(report),
    ]
    return "\n".join(lines)


def _count(entry: dict) -> Counts:
    """Return a split's counts from its entry in the manifest."""
    values = {field.name: entry[field.name] for field in dataclasses.fields(Counts)}
    return Counts(**{**values, "cameras": len(entry["cameras"])})


def _table(found: dict[str, Counts], dataset: DataSet) -> list[str]:
    """Return the counts of each split; beside them what is expected, where there is a real set."""
    width, beside = (10, 10) if dataset.expected else (14, 0)
    lines = [" " * 16 + "".join(f"{split:>{width + beside}}" for split in found)]
    if beside:
        lines.append(" " * 16 + f"{'found':>{width}}{'expected':>{beside}}" * len(found))
    for field, title in _ROWS.items():
        cells = (
            f"{getattr(counts, field):>{width},}{_expected(dataset, split, field):>{beside}}"
            for split, counts in found.items()
        )
        lines.append(f"{title:<16}" + "".join(cells))
    return lines


def _coordinates(report: Report) -> str:
    """Return the row of images with coordinates; that the real set has them nobody publishes."""
    cells = (f"{entry['keypoints']:>10,}{'-':>10}" for entry in report.manifest["splits"].values())
    return f"{'with joints':<16}" + "".join(cells)


def _expected(dataset: DataSet, split: str, field: str) -> str:
    """Return an expected count: "-" if it is not published, nothing if there is no real set."""
    if not dataset.expected:
        return ""
    count = getattr(dataset.expected.get(split), field, None)
    return "-" if count is None else f"{count:,}"


def _comparison(found: dict[str, Counts], dataset: DataSet) -> list[str]:
    """Return one line on whether this looks like the real set, if there is one."""
    if not dataset.expected:
        return []
    differing = [
        title
        for field, title in _ROWS.items()
        if any(
            _expected(dataset, split, field) not in ("-", f"{getattr(counts, field):,}")
            for split, counts in found.items()
        )
    ]
    if not differing:
        return [f"All counts are those expected of the real {dataset.title}."]
    return [
        f"These are not the counts expected of the real {dataset.title}: "
        f"they differ in {', '.join(differing)}."
    ]


def _ignored(report: Report) -> list[str]:
    if not report.ignored:
        return []
    return [f"Ignored files that are no images: {_some(report.ignored)}."]


def _problems(report: Report) -> list[str]:
    if not report.problems:
        return ["No problems."]
    counts = report.manifest["problems"]
    coco = [
        f"{counts['keypoints']:,} sets of keypoints left out" * (counts["keypoints"] > 0),
        f"{counts['annotations']:,} names or annotations in COCO files that belong to no image"
        * (counts["annotations"] > 0),
    ]
    listed = os.path.join(report.conversion.output_dir, PROBLEMS)
    return [
        f"Problems: {counts['image']:,} images skipped, "
        f"{counts['mask']:,} masks and {counts['heatmaps']:,} sets of maps left out, "
        f"{counts['duplicate']:,} images found under two persons"
        f"{''.join(f', {text}' for text in coco if text)}; all in {listed}, for example:",
        *(f"  {problem}" for problem in report.problems[:_SHOWN]),
    ]


def _some(names: list[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    return f"{shown} and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else shown
