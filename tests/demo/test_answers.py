"""From an image to what the page says and shows, without a page."""

from __future__ import annotations

import html.parser

import numpy as np
import pytest
from PIL import Image
from stub_gallery import StubGallery

from daaf_tf.demo import answers, pieces
from daaf_tf.errors import UserError
from daaf_tf.serving.gallery import Hit

COLOURS = ((250, 0, 0), (200, 0, 0), (0, 0, 250))


@pytest.fixture
def files(tmp_path):
    """Images of one colour; the first two are near to each other."""
    paths = [tmp_path / f"{number}.png" for number in range(len(COLOURS))]
    for path, colour in zip(paths, COLOURS):
        Image.new("RGB", (32, 64), colour).save(path)
    return paths


@pytest.fixture
def gallery(files):
    return StubGallery(list(zip(files, (7, 8, None), (1, None, 3))), threshold=0.5)


def test_hits_come_with_their_images(gallery, files):
    answer = answers.find(gallery, str(files[0]), top=2)
    assert [found.hit.person_id for found in answer.found] == [7, 8]
    assert answer.crop.shape == (answers.HEIGHT, answers.HEIGHT // 2, 3)
    for found, colour in zip(answer.found, COLOURS):
        assert found.image.shape == answer.crop.shape
        np.testing.assert_array_equal(found.image[9, 9], colour)


def test_overlays_tint_the_crop(gallery, files):
    answer = answers.find(gallery, str(files[0]), top=1)
    assert set(answer.overlays) == {"mask", "keypoints"}
    for overlay in answer.overlays.values():
        assert overlay.shape == answer.crop.shape
    changed = (answer.overlays["mask"] != answer.crop).any(axis=-1)
    assert changed[128, 64]  # the stub's mask is a disc
    assert not changed[0, 0]


def test_a_model_without_branches_has_no_overlays(files):
    gallery = StubGallery([(files[0], 7, 1)], threshold=0.5, has_attention=False)
    assert answers.find(gallery, str(files[0]), top=1).overlays == {}


def test_an_image_that_is_gone_leaves_its_hit(gallery, files):
    files[1].unlink()
    answer = answers.find(gallery, str(files[0]), top=3)
    assert [found.image is None for found in answer.found] == [False, True, False]
    assert "no longer where it was" in pieces.make_hits(answer, 0.5)


def test_a_bad_file_is_named_without_its_folder(gallery, tmp_path):
    bad = tmp_path / "bad.jpg"
    bad.write_text("no image")
    with pytest.raises(UserError, match="^bad.jpg: expected a whole JPEG"):
        answers.find(gallery, str(bad), top=1)


@pytest.mark.parametrize(
    ("size", "width"), [((64, 128), 128), ((1, 1), 256), ((1, 900), 1), ((900, 1), 512)]
)
def test_any_shape_fits_onto_the_page(tmp_path, size, width):
    Image.new("CMYK", size).save(tmp_path / "one.jpg")
    shown = answers.read_image((tmp_path / "one.jpg").read_bytes())
    assert (shown.shape, shown.dtype) == ((answers.HEIGHT, width, 3), np.uint8)


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n\0\0"])
def test_what_cannot_be_shown(content):
    with pytest.raises(UserError, match="the image cannot be shown"):
        answers.read_image(content)


def make_found(distance, person=7, camera=1, path="a.jpg"):
    return answers.Found(Hit(distance, person, camera, path, None, 0), None)


@pytest.mark.parametrize(
    ("found", "threshold", "calibrated", "text"),
    [
        (
            make_found(0.5),
            0.5,
            True,
            "Person 7: the nearest image is at 0.500, within the calibrated threshold 0.500",
        ),
        (
            make_found(0.501),
            0.5,
            False,
            "Unknown: the nearest image is at 0.501, beyond the threshold 0.500",
        ),
        (
            make_found(0.1, person=None),
            0.2,
            False,
            "A known person: the nearest image is at 0.100, within the threshold 0.200",
        ),
    ],
)
def test_the_verdict(found, threshold, calibrated, text):
    assert answers.describe([found, make_found(0)], threshold, calibrated=calibrated) == text


class Checker(html.parser.HTMLParser):
    """Notes tags, and refuses what is not closed in order."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.texts = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag != "img":
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def read_html(text):
    checker = Checker()
    checker.feed(text)
    checker.close()
    assert checker.open == []
    return checker


def test_cards_say_what_is_known(gallery, files):
    answer = answers.find(gallery, str(files[0]), top=3)
    checker = read_html(pieces.make_hits(answer, 0.5))
    assert [text for text in checker.texts if text.endswith("known")] == [
        "known",
        "unknown",
        "unknown",
    ]
    assert "person 7, cam 1" in checker.texts
    assert "person 8, cam ?" in checker.texts
    assert "person ?, cam 3" in checker.texts
    images = [attributes for tag, attributes in checker.tags if tag == "img"]
    assert [image["alt"] for image in images] == [
        "hit 1, person 7",
        "hit 2, person 8",
        "hit 3, person ?",
    ]
    assert all(image["src"].startswith("data:image/jpeg;base64,") for image in images)


def test_overlays_have_a_legend(gallery, files):
    answer = answers.find(gallery, str(files[0]), top=1)
    checker = read_html(pieces.make_overlays(answer))
    assert checker.texts[:3] == ["your image", "mask", "keypoints"]
    assert "wrists, hips" in checker.texts


def test_nothing_from_outside_becomes_html():
    evil = '"><script>alert(1)</script>'
    checker = read_html(
        pieces.make_hits(
            answers.Answer(np.zeros((2, 2, 3), np.uint8), {}, [make_found(0.1, path=evil)]), 1.0
        )
    )
    assert "script" not in [tag for tag, _ in checker.tags]
    assert [a["title"] for _, a in checker.tags if "title" in a] == [evil]
    assert [tag for tag, _ in read_html(pieces.make_error(evil)).tags] == ["div"]


def test_the_verdict_is_marked():
    answer = answers.Answer(np.zeros((2, 2, 3), np.uint8), {}, [make_found(0.3)])
    assert "daaf-known" in pieces.make_verdict(answer, 0.3, 0.3)
    assert "daaf-known" not in pieces.make_verdict(answer, 0.2, 0.3)
    assert "calibrated" in pieces.make_verdict(answer, 0.3, 0.3)
    assert "calibrated" not in pieces.make_verdict(answer, 0.3, None)
