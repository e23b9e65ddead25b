"""Charts as inline SVG: they scale, follow the page's colours, and cost a few kilobytes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from daaf_tf.report.markup import Markup, join, tag
from daaf_tf.retrieval.pair_histogram import PairHistogram

# In units of the drawing, which is about as many pixels wide on a phone.
_WIDTH, _HEIGHT = 400, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 40, 388, 14, 214

_MARKED_RANKS = (1, 5, 10, 20)
_MOST_BARS = 90


def draw_cmc(cmc: np.ndarray) -> Markup:
    """Draw the share of queries with a match up to each rank, [K] in 0..1, marking the usual ones.

    The vertical axis begins at the multiple of 10 % below the lowest value.
    """
    percent = 100 * np.asarray(cmc, np.float64)
    ranks = np.arange(1, len(percent) + 1)
    low = min(10 * np.floor(percent.min() / 10), 90)
    xs, ys = _scale(ranks, 1, len(ranks), _LEFT, _RIGHT), _scale(percent, low, 100, _BOTTOM, _TOP)
    marks = []
    for rank in _MARKED_RANKS:
        if rank <= len(percent):
            x, y = xs[rank - 1], ys[rank - 1]
            marks.append(tag("circle", class_="dot", cx=_short(x), cy=_short(y), r=3.5))
            text = f"{percent[rank - 1]:.1f}"
            marks.append(_label(text, x + 5, min(y + 15, _BOTTOM - 4), "mark"))
    ticks = [rank for rank in (1, 10, 20, 30, 40, 50) if rank <= len(ranks)]
    return _draw(
        "CMC curve: " + ", ".join(f"rank-{k} {percent[k - 1]:.1f} %" for k in ticks),
        _draw_vertical_axis(choose_ticks(low, 100, 5), low, 100, "{:g} %"),
        _draw_horizontal_axis(ticks, xs[np.array(ticks) - 1], "rank"),
        tag("polyline", class_="line", points=_join_points(xs, ys)),
        *marks,
    )


def draw_pair_histogram(pairs: PairHistogram) -> Markup:
    """Draw the distances of same and of different people, each as shares of its own pairs."""
    curves = (pairs.same, pairs.different)
    (used,) = np.nonzero(pairs.same + pairs.different)
    first, last = int(used[0]), int(used[-1]) + 1
    merged = -(-(last - first) // _MOST_BARS)
    last = first + merged * -(-(last - first) // merged)
    low, high = first * pairs.width, last * pairs.width
    shares = [_compute_shares(counts, first, last, merged) for counts in curves]
    top = max(share.max() for share in shares)
    edges = np.linspace(_LEFT, _RIGHT, len(shares[0]) + 1)
    areas = []
    for share, name in zip(shares, ("same", "different")):
        xs, ys = np.repeat(edges, 2), np.full(2 * len(edges), float(_BOTTOM))
        ys[1:-1] = np.repeat(_scale(share, 0, top, _BOTTOM, _TOP), 2)
        areas.append(tag("polygon", class_=f"area {name}", points=_join_points(xs, ys)))
    ticks = choose_ticks(low, high, 6)
    return _draw(
        "Histogram of the distances of same and of different people",
        _draw_vertical_axis(choose_ticks(0, 100 * top, 5), 0, 100 * top, "{:g} %"),
        _draw_horizontal_axis(ticks, _scale(ticks, low, high, _LEFT, _RIGHT), "distance"),
        *reversed(areas),
    )


def find_median(counts: np.ndarray, width: float) -> float:
    """Return the middle of the bin in which the median lies; NaN where nothing was counted."""
    if not counts.sum():
        return float("nan")
    return (int(np.searchsorted(np.cumsum(counts), counts.sum() / 2)) + 0.5) * width


def choose_ticks(low: float, high: float, most: int) -> list[float]:
    """Choose up to `most` round numbers from `low` to `high`, a step of 1, 2 or 5 times 10^n apart.

    >>> choose_ticks(0.13, 1.1, 5)
    [0.2, 0.4, 0.6, 0.8, 1.0]
    """
    power = 10.0 ** np.floor(np.log10((high - low) / most))
    for step in (power, 2 * power, 5 * power, 10 * power, 20 * power):
        first, last = int(np.ceil(low / step - 1e-9)), int(np.floor(high / step + 1e-9))
        if last - first < most:
            break
    return [float(f"{number * step:.6g}") for number in range(first, last + 1)]


def _compute_shares(counts: np.ndarray, first: int, last: int, merged: int) -> np.ndarray:
    cut = np.zeros(last - first)
    inside = counts[first:last]
    cut[: len(inside)] = inside
    return cut.reshape(-1, merged).sum(axis=1) / max(1, counts.sum())


def _scale(values, low: float, high: float, start: float, stop: float) -> np.ndarray:
    """Map low..high to start..stop; to the middle where there is but one value."""
    if low == high:
        return np.full(np.shape(values), (start + stop) / 2)
    return start + (np.asarray(values, np.float64) - low) / (high - low) * (stop - start)


def _draw_vertical_axis(ticks: Sequence[float], low: float, high: float, form: str) -> Markup:
    parts = []
    for tick, y in zip(ticks, _scale(ticks, low, high, _BOTTOM, _TOP)):
        parts.append(tag("line", class_="grid", x1=_LEFT, x2=_RIGHT, y1=_short(y), y2=_short(y)))
        parts.append(_label(form.format(tick), _LEFT - 5, y + 3.5, "end"))
    return join(*parts)


def _draw_horizontal_axis(ticks: Sequence[float], xs: np.ndarray, name: str) -> Markup:
    labels = [_label(f"{tick:g}", x, _BOTTOM + 15, "middle") for tick, x in zip(ticks, xs)]
    axis = tag("line", class_="axis", x1=_LEFT, x2=_RIGHT, y1=_BOTTOM, y2=_BOTTOM)
    return join(axis, *labels, _label(name, (_LEFT + _RIGHT) / 2, _BOTTOM + 31, "middle"))


def _draw(description: str, *parts: Markup) -> Markup:
    size = {"viewBox": f"0 0 {_WIDTH} {_HEIGHT}"}
    return tag("svg", tag("title", description), *parts, role="img", **size)


def _label(text: str, x: float, y: float, class_: str) -> Markup:
    return tag("text", text, class_=class_, x=_short(x), y=_short(y))


def _join_points(xs: np.ndarray, ys: np.ndarray) -> str:
    return " ".join(f"{_short(x)},{_short(y)}" for x, y in zip(xs, ys))


def _short(number: float) -> str:
    return f"{number:.1f}".rstrip("0").rstrip(".")
