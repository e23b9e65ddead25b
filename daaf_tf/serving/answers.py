"""What a search found, for people: as text, as JSON values, and as a picture."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from daaf_tf.errors import UserError
from daaf_tf.retrieval import RankedRow
from daaf_tf.retrieval.pictures import KNOWN, UNKNOWN
from daaf_tf.serving.gallery import Hit


@dataclasses.dataclass(frozen=True)
class Answer:
    """The hits of one query image.

    Attributes:
      image: path of the query.
      hits: nearest first, one or more.
    """

    image: str
    hits: Sequence[Hit]

    @property
    def verdict(self) -> str:
        """Who is on the image, in words."""
        nearest = self.hits[0]
        if nearest.known:
            return "known" if nearest.person_id is None else f"person {nearest.person_id}"
        return "unknown" if nearest.known is not None else "no threshold: calibrate the gallery"


def format_answer(answer: Answer) -> list[str]:
    """Return an answer as lines of text."""
    lines = [f"{answer.image}: {answer.verdict}"]
    for rank, hit in enumerate(answer.hits, start=1):
        mark = "*" if hit.known else " "
        lines.append(f"{rank:4} {mark} {hit.distance:8.4f}  {_name(hit)}  {hit.path}")
    return lines


def make_json(answer: Answer) -> dict[str, Any]:
    """Return an answer as JSON values; person_id is that of a known person, else null."""
    nearest = answer.hits[0]
    return {
        "image": answer.image,
        "known": nearest.known,
        "person_id": nearest.person_id if nearest.known else None,
        "hits": [dataclasses.asdict(hit) for hit in answer.hits],
    }


def make_row(answer: Answer, query: bytes, read_image: Callable[[int], bytes]) -> RankedRow:
    """Return an answer as a row of `retrieval.draw_ranked_results`.

    Args:
      answer: one or more hits.
      query: the file of the query's image.
      read_image: returns the file of a gallery image by its id.

    Raises:
      UserError: an image that cannot be read or decoded.
    """
    return RankedRow(
        query_image=_decode(query, answer.image),
        query_caption=f"query\n{answer.verdict}",
        gallery_images=[_decode(read_image(hit.id), hit.path) for hit in answer.hits],
        verdicts=[KNOWN if hit.known else UNKNOWN for hit in answer.hits],
        captions=[
            f"#{rank}  {hit.distance:.3f}\n{_name(hit)}"
            for rank, hit in enumerate(answer.hits, start=1)
        ],
    )


def _name(hit: Hit) -> str:
    person = "?" if hit.person_id is None else hit.person_id
    camera = "?" if hit.camera_id is None else hit.camera_id
    return f"id {person}, cam {camera}"


def _decode(encoded: bytes, path: str) -> np.ndarray:
    from PIL import Image

    try:
        return np.asarray(Image.open(io.BytesIO(encoded)).convert("RGB"))
    except Exception as error:  # Pillow's parsers raise whatever they stumble over
        raise UserError(f"{path}: cannot be decoded for the picture ({error})") from error
