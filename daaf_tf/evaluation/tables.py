"""Figures of evaluated data sets for people and for programs, each with its convention."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from daaf_tf.evaluation.evaluated import EmbeddedSet, EvaluatedSet
from daaf_tf.evaluation.image_sets import ImageSet
from daaf_tf.evaluation.ranking import Ranking
from daaf_tf.retrieval.scoring import SHOWN_RANKS

# Name of a figure, title of its column, its convention in a word or two, and in full.
_MEANS = (
    ("mAP", "mAP", "rectangle", "mAP by the rectangle: mean of k/n_k (fast-reid, torchreid)"),
    (
        "mAP_trapezoid",
        "mAP",
        "trapezoid",
        "mAP by the trapezoid of Market-1501's official program: mean of (k/n_k + "
        "(k-1)/(n_k - 1))/2",
    ),
    ("mINP", "mINP", "last match", "mINP: mean of number of matches / rank of the last"),
)
_SINGLE_SHOT = "single shot"
_SHOWN = 5  # problems


def list_figures(evaluated: EvaluatedSet, ranking: Ranking) -> list[tuple[str, float, str]]:
    """Return (name, value in percent, convention) of every figure of a data set.

    The convention says all that decides whether the figure can be compared with another: the rule,
    the metric, what was done to queries and distances, and the test-time augmentation.
    """
    figures = evaluated.result.summarize()
    how = describe(evaluated, ranking)
    return [(name, figures[name], f"{rule}; {how}") for name, _, _, rule in _list_rules(ranking)]


def describe(evaluated: EvaluatedSet, ranking: Ranking) -> str:
    """Return how a data set was embedded and ranked, for people."""
    embedded = evaluated.embedded
    tta = embedded.tta or "not known"
    return f"{embedded.metric}, test-time augmentation: {tta}, {ranking.describe()}"


def format_table(sets: Sequence[EvaluatedSet], ranking: Ranking) -> str:
    """Return the figures as a table, a row for each data set, with the conventions above them."""
    rules = _list_rules(ranking)
    columns = [[f"{title} %", rule] for _, title, rule, _ in rules]
    columns += [["queries", ""], ["without", "match"]]
    for evaluated in sets:
        result, figures = evaluated.result, evaluated.result.summarize()
        cells = [f"{figures[name]:.2f}" for name, *_ in rules]
        cells += [f"{result.num_queries:,}", f"{result.queries_without_match:,}"]
        for column, cell in zip(columns, cells):
            column.append(cell)
    columns.insert(0, ["", "", *(evaluated.name for evaluated in sets)])
    widths = [max(map(len, column)) for column in columns]
    lines = []
    for row in zip(*columns):
        name, *cells = (cell.rjust(width) for cell, width in zip(row, widths))
        lines.append("  ".join([row[0].ljust(widths[0]), *cells]).rstrip())
    return "\n".join([*_list_origins(sets, ranking), "", *lines])


def format_problems(images: ImageSet) -> list[str]:
    """Return lines that count and name images of a folder that could not be used, if there are."""
    problems = images.list_problems()
    if not problems:
        return []
    return [
        f"{images.name}: images that could not be used: {len(problems):,} (--strict stops at the "
        "first)",
        *(f"  {problem}" for problem in problems[:_SHOWN]),
        *(["  ..."] if len(problems) > _SHOWN else []),
    ]


def format_measured(embedded: EmbeddedSet) -> list[str]:
    """Return a line with what the branches were measured at; none if they were not."""
    if not embedded.measured:
        return []
    shares = ", ".join(f"{name.replace('_', ' ')} {x:.3f}" for name, x in embedded.measured.items())
    return [f"{embedded.name}, held-out identities: {shares}"]


def format_json(sets: Sequence[EvaluatedSet], ranking: Ranking, *, step: int | None = None) -> str:
    """Return the figures as JSON: of one data set by their names, of several a list of those.

    Args:
      sets: the data sets.
      ranking: how they were ranked.
      step: of the checkpoint that embedded them, if it was one.
    """
    entries = [_make_entry(evaluated, ranking, step) for evaluated in sets]
    content = entries[0] if len(entries) == 1 else {"data_sets": entries}
    return json.dumps(content, indent=2) + "\n"


def _make_entry(evaluated: EvaluatedSet, ranking: Ranking, step: int | None) -> dict[str, Any]:
    embedded, result = evaluated.embedded, evaluated.result
    return {
        **({} if step is None else {"step": step}),
        **result.summarize(),
        **evaluated.measured,
        "queries": result.num_queries,
        "queries_without_match": result.queries_without_match,
        "skipped_images": evaluated.skipped,
        "data": embedded.data,
        "model": embedded.model,
        "metric": embedded.metric,
        "tta": embedded.tta,
        "protocol": ranking.describe(),
        "conventions": {name: rule for name, _, _, rule in _list_rules(ranking)},
    }


def _list_rules(ranking: Ranking) -> list[tuple[str, str, str, str]]:
    """Return _MEANS and what stands for them in the ranks."""
    short, full = "CMC", "CMC: share of queries with a match at this rank or before"
    if ranking.single_shot:
        short, full = _SINGLE_SHOT, f"{full}, in galleries with one image of each person"
    ranks = [(f"rank{k}", f"rank-{k}", short, full) for k in SHOWN_RANKS]
    return [*_MEANS, *ranks]


def _list_origins(sets: Sequence[EvaluatedSet], ranking: Ranking) -> list[str]:
    """Return what the figures are of: once where it is the same for all, else set by set."""
    origins = [(each.embedded.model or "model not known", describe(each, ranking)) for each in sets]
    if len(set(origins)) == 1:
        return list(origins[0])
    return [f"{each.name}: {'; '.join(origin)}" for each, origin in zip(sets, origins)]
