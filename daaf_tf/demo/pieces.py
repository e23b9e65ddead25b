"""The page's pieces of HTML, made from answers; every text from outside is escaped."""

from __future__ import annotations

import base64
import html
import io

import numpy as np
from PIL import Image

from daaf_tf import schema
from daaf_tf.demo.answers import Answer, Found, describe, is_known
from daaf_tf.overlays import GROUP_COLOURS

# The page's colours follow the theme, light or dark; those of known and unknown stay.
STYLE = """
.daaf-row {display: grid; grid-template-columns: repeat(auto-fill, minmax(140px, 1fr)); gap: 14px}
.daaf-three {grid-template-columns: repeat(3, minmax(0, 128px)); gap: 10px}
.daaf-card {font-size: 13px; line-height: 1.4; color: var(--body-text-color); min-width: 0}
.daaf-card img, .daaf-card .daaf-gone {width: 100%; aspect-ratio: 1 / 2; object-fit: contain;
  border: 3px solid #8a9099; border-radius: 8px; box-sizing: border-box; display: block;
  background: var(--background-fill-secondary)}
.daaf-card .daaf-gone {display: flex; align-items: center; text-align: center; padding: 8px}
.daaf-card.daaf-known img, .daaf-card.daaf-known .daaf-gone {border-color: #12924c}
.daaf-card .daaf-line {display: flex; justify-content: space-between; align-items: center;
  margin-top: 4px; white-space: nowrap}
.daaf-card .daaf-path {color: var(--body-text-color-subdued); overflow: hidden;
  text-overflow: ellipsis; white-space: nowrap; direction: rtl; text-align: left}
.daaf-badge {border-radius: 6px; padding: 0 6px; background: #6b7280; color: #fff; font-size: 12px}
.daaf-known .daaf-badge {background: #12774c}
.daaf-message {border-left: 5px solid #6b7280; padding: 10px 14px; border-radius: 6px;
  font-size: 16px; background: var(--background-fill-secondary); color: var(--body-text-color);
  overflow-wrap: anywhere}
.daaf-message.daaf-known {border-color: #12774c}
.daaf-message.daaf-error {border-color: #c62f28}
.daaf-legend {display: flex; flex-wrap: wrap; gap: 4px 12px; font-size: 12px; margin-top: 8px;
  color: var(--body-text-color-subdued)}
.daaf-legend i {display: inline-block; width: 10px; height: 10px; border-radius: 5px;
  margin-right: 4px}
"""


def make_error(text: str) -> str:
    """Return a message on what is wrong."""
    return f'<div class="daaf-message daaf-error" role="alert">{html.escape(text)}</div>'


def make_verdict(answer: Answer, threshold: float, calibrated: float | None) -> str:
    """Return the sentence on whether the person is known."""
    text = describe(answer.found, threshold, calibrated=threshold == calibrated)
    known = " daaf-known" if is_known(answer.found[0].hit, threshold) else ""
    return f'<div class="daaf-message{known}" role="status">{html.escape(text)}</div>'


def make_hits(answer: Answer, threshold: float) -> str:
    """Return the ranked images as cards, which wrap as the window is narrow."""
    cards = [_make_card(rank, one, threshold) for rank, one in enumerate(answer.found, 1)]
    return f'<div class="daaf-row">{"".join(cards)}</div>'


def make_overlays(answer: Answer) -> str:
    """Return the crop and what the model's branches see of it, with the colours of the joints."""
    pictures = {"your image": answer.crop, **answer.overlays}
    cards = [
        f'<div class="daaf-card">{_make_image(pixels, name)}'
        f'<div class="daaf-line"><span>{html.escape(name)}</span></div></div>'
        for name, pixels in pictures.items()
    ]
    legend = ""
    if schema.KEYPOINTS in answer.overlays:
        spots = [
            f'<span><i style="background:rgb{colour}"></i>{name.replace("_", ", ")}</span>'
            for (name, _), colour in zip(schema.JOINT_GROUPS, GROUP_COLOURS)
        ]
        legend = f'<div class="daaf-legend">{"".join(spots)}</div>'
    return f'<div class="daaf-row daaf-three">{"".join(cards)}</div>{legend}'


def _make_card(rank: int, found: Found, threshold: float) -> str:
    hit, known = found.hit, is_known(found.hit, threshold)
    person, camera = ("?" if value is None else value for value in (hit.person_id, hit.camera_id))
    path = html.escape(hit.path)
    if found.image is None:
        picture = '<div class="daaf-gone">the image is no longer where it was</div>'
    else:
        picture = _make_image(found.image, f"hit {rank}, person {person}")
    return (
        f'<div class="daaf-card{" daaf-known" if known else ""}">{picture}'
        f'<div class="daaf-line"><b>#{rank}&nbsp; {hit.distance:.3f}</b>'
        f'<span class="daaf-badge">{"known" if known else "unknown"}</span></div>'
        f"<div>person {person}, cam {camera}</div>"
        f'<div class="daaf-path" title="{path}">&lrm;{path}</div></div>'
    )


def _make_image(pixels: np.ndarray, text: str) -> str:
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "JPEG", quality=88)
    data = base64.b64encode(content.getvalue()).decode("ascii")
    return f'<img src="data:image/jpeg;base64,{data}" alt="{html.escape(text)}">'
