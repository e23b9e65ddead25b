"""The reports of evaluated data sets: a page each, and the same for TensorBoard."""

from __future__ import annotations

import os
import pathlib
import re
from collections.abc import Sequence

from daaf_tf.evaluation.evaluated import EvaluatedSet
from daaf_tf.evaluation.ranking import Ranking
from daaf_tf.evaluation.tables import describe, list_figures
from daaf_tf.report import (
    AttentionSample,
    Figure,
    draw_sheets,
    write_report,
    write_tensorboard,
)

TENSORBOARD = "tensorboard"  # folder beside the page


def write_reports(
    folder: str | os.PathLike,
    sets: Sequence[EvaluatedSet],
    ranking: Ranking,
    attention: Sequence[Sequence[AttentionSample]],
    *,
    step: int | None = None,
) -> list[pathlib.Path]:
    """Write the report of one data set into a folder, those of several into folders below it.

    Args:
      folder: made if it is missing.
      sets: the data sets.
      ranking: how they were ranked.
      attention: samples for each of them.
      step: of the checkpoint that embedded them, if it was one.

    Returns:
      The paths of the pages, in order.

    Raises:
      UserError: as `write_report` and `write_tensorboard`.
    """
    folder, paths = pathlib.Path(folder), []
    for number, (evaluated, samples) in enumerate(zip(sets, attention), start=1):
        place = folder if len(sets) == 1 else folder / _name_folder(number, evaluated.name)
        shared = {
            "query": evaluated.query,
            "gallery": evaluated.gallery,
            "read_image": evaluated.read_image,
        }
        ranked = {
            **shared,
            "result": evaluated.result,
            "compute_distances": evaluated.compute_distances,
            "attention": samples,
        }
        paths.append(
            write_report(
                place,
                title=evaluated.embedded.data or evaluated.name,
                facts=_list_facts(evaluated, ranking),
                figures=_list_figures(evaluated, ranking),
                **ranked,
            )
        )
        pictures = draw_sheets(**ranked)
        write_tensorboard(place / TENSORBOARD, pictures=pictures, step=step or 0, **shared)
    return paths


def _name_folder(number: int, name: str) -> str:
    """Return a name of letters and digits that sorts as the data sets came."""
    words = "-".join(re.findall(r"[A-Za-z0-9]+", name))
    return f"{number:02d}-{words[-40:].strip('-')}"


def _list_facts(evaluated: EvaluatedSet, ranking: Ranking) -> dict[str, str]:
    embedded = evaluated.embedded
    facts = {
        "model": embedded.model,
        "data": embedded.data,
        "distance": embedded.metric,
        "test-time augmentation": embedded.tta,
        "protocol": ranking.describe(),
        "images": f"{len(evaluated.query.person_ids):,} queries, "
        f"{len(evaluated.gallery.person_ids):,} in the gallery",
        **{name.replace("_", " "): f"{value:.3f}" for name, value in evaluated.measured.items()},
    }
    if evaluated.skipped:
        facts["not usable"] = f"{evaluated.skipped:,} images"
    return {name: value or "not known" for name, value in facts.items()}


def _list_figures(evaluated: EvaluatedSet, ranking: Ranking) -> list[Figure]:
    """Return the figures, each with its rule; what is the same for all is among the facts."""
    how = f"; {describe(evaluated, ranking)}"
    return [
        Figure(
            name.replace("_", " ").replace("rank", "rank-"),
            f"{value:.2f} %",
            convention.removesuffix(how),
        )
        for name, value, convention in list_figures(evaluated, ranking)
    ]
