"""Pictures of ranked results: what is in a row, and the colours around it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from daaf_tf.errors import UserError
from daaf_tf.retrieval import draw_ranked_results, make_ranked_row, rank_gallery
from daaf_tf.retrieval.pictures import IGNORED, KNOWN, OTHER, SAME, UNKNOWN

GREEN, RED, GREY = (0x12, 0x92, 0x4C), (0xD6, 0x32, 0x2B), (0x9A, 0xA0, 0xA6)
GALLERY = {"gallery_ids": [1, 2, -1, 1, 0], "gallery_cameras": [2, 1, 3, 1, 2]}
DISTANCES = np.array([0.4, 0.1, 0.2, 0.3, 0.5])


def make_images(count: int, height: int = 32, width: int = 16) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (count, height, width, 3)).astype(np.uint8)


def make_row(length: int = 10):
    images = make_images(6)
    return make_ranked_row(
        images[5],
        DISTANCES,
        query_id=1,
        query_camera=1,
        **GALLERY,
        gallery_image=images.__getitem__,
        length=length,
    )


def test_a_row_tells_person_rank_and_what_is_ignored():
    row = make_row()
    assert row.query_caption == "query\nid 1, cam 1"
    assert row.verdicts == [OTHER, IGNORED, IGNORED, SAME, OTHER]
    assert row.captions == [
        "#1  0.100\nid 2, cam 1",
        "-  0.200\nid -1, cam 3",
        "-  0.300\nid 1, cam 1",
        "#2  0.400\nid 1, cam 2",
        "#3  0.500\nid 0, cam 2",
    ]
    for image, index in zip(row.gallery_images, [1, 2, 3, 0, 4]):
        assert np.array_equal(image, make_images(6)[index])


def test_what_has_a_rank_is_what_the_protocol_ranks():
    order = rank_gallery(DISTANCES, query_id=1, query_camera=1, **GALLERY)
    shown = np.argsort(DISTANCES, kind="stable")
    ranked = [index for index, verdict in zip(shown, make_row().verdicts) if verdict != IGNORED]
    assert order.tolist() == ranked


def test_only_images_that_are_shown_are_asked_for():
    asked = []

    def gallery_image(index):
        asked.append(index)
        return make_images(1)[0]

    arguments = {"query_id": 1, "query_camera": 1, **GALLERY, "gallery_image": gallery_image}
    make_ranked_row(make_images(1)[0], DISTANCES, **arguments, length=2)
    assert asked == [1, 2]


def test_frames_have_the_colours_of_the_verdicts():
    pixels = np.asarray(draw_ranked_results([make_row()]))
    row_of_frames = [tuple(pixel) for pixel in pixels[21]]
    seen = [colour for colour in row_of_frames if colour in (GREEN, RED, GREY)]
    changes = [seen[0]] + [b for a, b in zip(seen, seen[1:]) if a != b]
    assert changes == [RED, GREY, GREEN, RED]
    assert seen.count(GREY) == 2 * seen.count(GREEN) == seen.count(RED) > 0


def test_the_same_rows_give_the_same_pixels():
    rows = [make_row(), make_row(length=2)]
    first, second = draw_ranked_results(rows), draw_ranked_results(rows)
    assert first.tobytes() == second.tobytes()
    assert first.height > draw_ranked_results(rows[:1]).height


@pytest.mark.parametrize("shape", [(128, 64), (1, 1), (300, 2), (2, 300)])
def test_images_of_any_size_are_drawn(shape):
    image = make_images(1, *shape)[0]
    arguments = {"query_id": 1, "query_camera": 1, "gallery_image": lambda index: image}
    row = make_ranked_row(image, DISTANCES, **GALLERY, **arguments)
    assert draw_ranked_results([row]).width == draw_ranked_results([make_row()]).width


def test_bad_input_is_named():
    with pytest.raises(UserError, match="rows: expected one query or more"):
        draw_ranked_results([])
    row = make_row()
    row.gallery_images[2] = np.zeros((4, 4), np.uint8)
    with pytest.raises(UserError, match=r"image: .* received uint8 of shape \[4, 4\]"):
        draw_ranked_results([row])


def test_an_image_of_an_unknown_camera_is_not_ignored():
    row = make_ranked_row(
        np.zeros((4, 2, 3), np.uint8),
        np.array([0.1, 0.2, 0.3]),
        query_id=1,
        gallery_ids=[1, -1, 2],
        query_camera=-3,
        gallery_cameras=[-3, -3, -3],
        gallery_image=lambda index: np.zeros((4, 2, 3), np.uint8),
    )
    assert row.verdicts == [SAME, IGNORED, OTHER]


def test_a_search_is_framed_by_what_is_known():
    row = dataclasses.replace(make_row(2), verdicts=[KNOWN, UNKNOWN])
    drawn = np.asarray(draw_ranked_results([row]))
    shown = {tuple(colour) for colour in drawn.reshape(-1, 3)}
    assert {GREEN, GREY} <= shown
    assert RED not in shown  # nor is it in the legend
