"""The page of a report, section by section."""

from __future__ import annotations

import numpy as np

import daaf_tf
from daaf_tf.report.charts import draw_cmc, draw_pair_histogram, find_median
from daaf_tf.report.contents import Contents, Figure
from daaf_tf.report.markup import Markup, join, tag
from daaf_tf.report.queries import show_queries, show_unmatched
from daaf_tf.report.samples import show_samples
from daaf_tf.report.style import STYLE
from daaf_tf.report.survey import Shown, Survey
from daaf_tf.retrieval import CameraPairs
from daaf_tf.retrieval.cameras import UNKNOWN_CAMERA
from daaf_tf.retrieval.pair_histogram import PairHistogram

# Nothing is fetched and nothing is run, whatever may have got into the page.
_POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; "
    "form-action 'none'"
)
# Cameras whose pairs are shown; a set of one's own may have a camera for every film.
_MOST_CAMERAS = 40


def make_page(contents: Contents, shown: Shown, survey: Survey) -> str:
    """Return the whole HTML document."""
    sections = join(
        _show_header(contents, shown),
        _show_figures(contents),
        _show_charts(contents, survey),
        show_queries(contents, shown, survey.hits),
        show_unmatched(contents, shown.unmatched),
        show_samples(contents.attention),
        tag("footer", f"Made by daaf_tf {daaf_tf.__version__}.", class_="faint"),
    )
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", contents.title),
        tag("style", Markup(STYLE)),
    )
    return f"<!DOCTYPE html>\n{tag('html', head, tag('body', tag('main', sections)), lang='en')}\n"


def _show_header(contents: Contents, shown: Shown) -> Markup:
    facts = [
        tag("div", tag("dt", name), tag("dd", value)) for name, value in contents.facts.items()
    ]
    links = [
        (anchor, text)
        for anchor, text, exists in (
            ("worst", "Worst queries", shown.worst),
            ("best", "Best queries", shown.best),
            ("random", "Random queries", shown.random),
            ("unmatched", "Without a match", shown.unmatched),
            ("attention", "Attention", contents.attention),
        )
        if exists
    ]
    anchors = [tag("a", text, href=f"#{target}") for target, text in links]
    return join(
        tag("h1", contents.title),
        tag("dl", *facts, class_="facts") if facts else None,
        tag("nav", *anchors),
    )


def _show_figures(contents: Contents) -> Markup:
    result = contents.result
    without = result.queries_without_match
    counted = Figure(
        "Queries",
        f"{result.num_queries - without:,}",
        f"with a match; {without:,} without one, which count in no figure",
    )
    cards = [
        tag(
            "div",
            tag("h3", figure.name),
            tag("div", figure.value, class_="value"),
            tag("div", figure.convention, class_="faint"),
            class_="card",
        )
        for figure in (*contents.figures, counted)
    ]
    return tag("section", *cards, class_="cards")


def _show_charts(contents: Contents, survey: Survey) -> Markup:
    cmc = tag(
        "div",
        tag("h3", "CMC"),
        tag("p", "Share of queries with a match up to a rank.", class_="faint"),
        draw_cmc(contents.result.cmc),
        class_="card",
    )
    return tag(
        "section", cmc, _show_pairs(survey.pairs), _show_cameras(survey.cameras), class_="charts"
    )


def _show_pairs(pairs: PairHistogram) -> Markup:
    names = (("same", "same person", pairs.same), ("other", "different people", pairs.different))
    legend = [
        tag(
            "span",
            tag("i", class_=class_),
            f"{name}: {counts.sum():,} pairs, median {find_median(counts, pairs.width):.3g}",
        )
        for class_, name, counts in names
    ]
    return tag(
        "div",
        tag("h3", "Distances"),
        tag(
            "p",
            "All pairs but those that the protocol ignores; each curve sums to 100 %.",
            class_="faint",
        ),
        tag("p", *legend, class_="legend faint"),
        draw_pair_histogram(pairs),
        class_="card",
    )


def _show_cameras(cameras: CameraPairs) -> Markup:
    known = cameras.mean_ap[~np.isnan(cameras.mean_ap)]
    low, high = known.min(), known.max()
    columns = cameras.gallery_cameras[:_MOST_CAMERAS]
    heads = [tag("th", _name_camera(camera), scope="col") for camera in columns]
    rows = [tag("tr", tag("th", "query ↓", tag("br"), "gallery →"), *heads)]
    for row, camera in enumerate(cameras.query_cameras[:_MOST_CAMERAS]):
        cells = [
            _show_pair(cameras.mean_ap[row, column], cameras.num_queries[row, column], low, high)
            for column in range(len(columns))
        ]
        rows.append(tag("tr", tag("th", _name_camera(camera), scope="row"), *cells))
    text = (
        "mAP in % (rectangle rule) of ranking the images of one gallery camera (column) alone, "
        "over the queries of one camera (row) that have a match there; their number is below. The "
        "palest is the lowest."
    )
    most = max(len(cameras.query_cameras), len(cameras.gallery_cameras))
    if most > _MOST_CAMERAS:
        text += f" Shown are the first {_MOST_CAMERAS} of {most} cameras."
    return tag(
        "div",
        tag("h3", "mAP between cameras"),
        tag("p", text, class_="faint"),
        tag("div", tag("table", *rows), class_="scroll"),
        class_="card",
    )


def _show_pair(mean: float, count: int, low: float, high: float) -> Markup:
    if not count:
        return tag("td", "–", class_="none")
    strength = 0.08 + 0.5 * ((mean - low) / (high - low) if high > low else 1.0)
    colour = f"background: rgba(37, 131, 201, {strength:.2f})"
    return tag("td", f"{100 * mean:.1f}", tag("small", f"{count:,}"), style=colour)


def _name_camera(camera: int) -> str:
    return "?" if camera == UNKNOWN_CAMERA else str(camera)
