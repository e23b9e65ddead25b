"""Ranked lists of a report.

`retrieval.draw_ranked_results` draws them as one picture; here each image is a picture of its own
and its caption is text: so a list breaks into lines on a phone, follows the page's colours, and can
be searched, copied and read aloud. What is shown, and how it is judged, is `find_hits`' in both.
"""

from __future__ import annotations

from daaf_tf import schema
from daaf_tf.report.contents import Contents
from daaf_tf.report.markup import Markup, join, tag
from daaf_tf.report.survey import NUM_HITS, Shown
from daaf_tf.report.thumbnails import make_data_uri
from daaf_tf.retrieval import Features, Hit
from daaf_tf.retrieval.hits import IGNORED, OTHER, SAME

_CLASSES = {SAME: "same", OTHER: "other", IGNORED: "ignored"}
_MARKS = {SAME: "✓", OTHER: "✗"}
# Queries without a match that are named; a page stays one that a phone can show.
_MOST_NAMED = 500


def show_queries(contents: Contents, shown: Shown, hits: dict[int, list[Hit]]) -> Markup:
    """Return the sections of the worst, the best and some random queries."""
    legend = [
        tag("span", tag("i", class_=class_), text)
        for class_, text in (("asked", "query"), *((_CLASSES[name], name) for name in _CLASSES))
    ]
    text = (
        f"Each query with the {NUM_HITS} nearest images, their ranks and their distances. What the "
        "protocol ignores (junk, and the person by the query's own camera) has no rank."
    )
    sections = [tag("h2", "Ranked lists"), tag("p", text), tag("p", *legend, class_="legend faint")]
    for anchor, title, why, queries in (
        ("worst", "Worst queries", "of the lowest AP, the lowest first", shown.worst),
        ("best", "Best queries", "of the highest AP", shown.best),
        ("random", "Random queries", "drawn by chance from the others", shown.random),
    ):
        if queries:
            why = tag("span", f" – {len(queries)} {why}", class_="faint")
            sections.append(tag("h2", title, why, id=anchor))
            sections += [_show_query(contents, query, hits[query]) for query in queries]
    return join(*sections)


def show_unmatched(contents: Contents, queries: list[int]) -> Markup | None:
    """Return the section that names the queries without a match; None if there are none."""
    if not queries:
        return None
    names = [tag("li", _describe(contents.query, query)) for query in queries[:_MOST_NAMED]]
    if len(queries) > _MOST_NAMED:
        names.append(tag("li", f"and {len(queries) - _MOST_NAMED:,} more"))
    text = "No other camera has an image of their person in the gallery; they count in no figure."
    return join(
        tag("h2", "Queries without a match", id="unmatched"),
        tag("p", text),
        tag("details", tag("summary", f"Show all {len(queries):,}"), tag("ul", *names)),
    )


def _show_query(contents: Contents, query: int, hits: list[Hit]) -> Markup:
    result, people = contents.result, contents.query
    header = tag(
        "header",
        tag("b", f"AP {100 * result.average_precision[query]:.1f} %"),
        tag("span", f"first match at rank {result.first_match[query]:,}"),
        tag("span", _describe(people, query)),
    )
    caption = (tag("b", "query"), tag("br"), *_name_person(people, query))
    tiles = [_show_tile(contents, schema.QUERY, query, "asked", caption)]
    for hit in hits:
        caption = (
            tag("b", f"{hit.rank} {_MARKS[hit.verdict]}" if hit.rank else "–"),
            f" {hit.distance:.3f}",
            tag("br"),
            *_name_person(contents.gallery, hit.index),
        )
        class_ = _CLASSES[hit.verdict]
        tiles.append(_show_tile(contents, schema.GALLERY, hit.index, class_, caption))
    bare = "" if contents.read_image else " bare"
    return tag("article", header, tag("div", *tiles, class_=f"tiles{bare}"), class_="card query")


def _show_tile(contents: Contents, split: str, index: int, class_: str, caption: tuple) -> Markup:
    people = contents.query if split == schema.QUERY else contents.gallery
    name = _name_image(people, index)
    if contents.read_image:
        picture = make_data_uri(contents.read_image(split, index))
        inside = tag("img", src=picture, alt=name, loading="lazy")
    else:
        inside = tag("span", name, class_="name")
    frame = tag("div", inside, class_="frame", title=name)
    return tag("figure", frame, tag("figcaption", *caption), class_=class_)


def _name_person(people: Features, index: int) -> tuple:
    return (f"id {people.person_ids[index]}", tag("br"), _name_camera(people, index))


def _describe(people: Features, index: int) -> str:
    person = f"id {people.person_ids[index]}, {_name_camera(people, index)}"
    return f"{person}, {_name_image(people, index)}"


def _name_image(people: Features, index: int) -> str:
    """Return the file name, where there is one."""
    return str(people.filenames[index]) or f"image {index}"


def _name_camera(people: Features, index: int) -> str:
    camera = people.camera_ids[index]
    return f"cam {camera}" if camera >= 0 else "cam ?"
