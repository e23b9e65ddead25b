"""What the attention branches predict, beside the image and the truth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from daaf_tf.overlays import overlay_joints, overlay_keypoints, overlay_mask
from daaf_tf.report.contents import AttentionSample
from daaf_tf.report.markup import Markup, join, tag
from daaf_tf.report.thumbnails import make_data_uri
from daaf_tf.retrieval.pictures import check_image


def show_samples(samples: Sequence[AttentionSample]) -> Markup | None:
    """Return the section of the attention branches; None without samples."""
    if not samples:
        return None
    text = (
        "What the two branches predict from the image. They are trained beside the embedding and "
        "are no part of the exported model."
    )
    return join(
        tag("h2", "Attention", id="attention"),
        tag("p", text),
        tag("div", *map(_show_sample, samples), class_="samples"),
    )


def draw_panels(sample: AttentionSample) -> Iterator[tuple[str, np.ndarray]]:
    """Yield (name, uint8 [H, W, 3]) of the image and of all that is known of it."""
    image = check_image(sample.image)
    yield "image", image
    for name, values, overlay in (
        ("predicted mask", sample.mask, overlay_mask),
        ("true mask", sample.true_mask, overlay_mask),
        ("predicted keypoints", sample.keypoints, overlay_keypoints),
        ("true joints", sample.true_joints, overlay_joints),
    ):
        if values is not None:
            yield name, overlay(image, np.asarray(values, np.float32))


def _show_sample(sample: AttentionSample) -> Markup:
    tiles = []
    for name, picture in draw_panels(sample):
        image = tag("img", src=make_data_uri(picture), alt=name, loading="lazy")
        frame = tag("div", image, class_="frame")
        tiles.append(tag("figure", frame, tag("figcaption", name)))
    caption = tag("div", sample.caption, class_="faint") if sample.caption else None
    return tag("article", tag("div", *tiles, class_="tiles"), caption, class_="card")
