"""Searching a gallery: exact, unforgiving about damage, and without TensorFlow."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from drawn_gallery import WIDTH, DrawnModel, add, build, draw, write_images

from daaf_tf.errors import UserError
from daaf_tf.retrieval import compute_distances
from daaf_tf.serving import gallery_files, gallery_writer, open_gallery

SEEDS = range(40)


@pytest.fixture
def model(tmp_path):
    return DrawnModel(tmp_path / "model")


@pytest.fixture
def images(tmp_path):
    return write_images(tmp_path / "images", SEEDS)


@pytest.fixture(params=["cosine", "euclidean"])
def metric(request):
    return request.param


@pytest.fixture
def folder(tmp_path, images, model):
    build(tmp_path / "gallery", images, model)
    return tmp_path / "gallery"


def test_hits_are_those_of_the_whole_ranking(tmp_path, images, model, metric):
    build(tmp_path / "gallery", images, model, metric=metric)
    gallery = open_gallery(tmp_path / "gallery")
    queries = np.stack([draw(seed) for seed in range(100, 120)])
    distances = compute_distances(queries, np.stack([draw(s) for s in SEEDS]), metric=metric)
    for row, hits in zip(distances, gallery.search(queries, 7)):
        order = np.argsort(row, kind="stable")[:7]
        assert [hit.id for hit in hits] == list(order)
        np.testing.assert_allclose([hit.distance for hit in hits], row[order], rtol=1e-5, atol=1e-6)
        assert [hit.path for hit in hits] == [str(images / f"{n:06}.jpg") for n in order]


def test_one_query_and_more_hits_than_there_are(folder):
    gallery = open_gallery(folder)
    (hits,) = gallery.search(draw(3), top=1000)
    assert (hits[0].id, hits[0].distance) == (3, pytest.approx(0, abs=1e-6))
    assert sorted(hit.id for hit in hits) == list(SEEDS)
    assert len(gallery) == len(gallery.entries) == len(SEEDS)


def test_images_are_embedded_by_the_gallerys_model(folder, model, images):
    gallery = open_gallery(folder, model)
    hits = gallery.search([b"5", b"6"], top=1)
    assert [one[0].id for one in hits] == [5, 6]
    assert gallery.read_image(5) == b"5"
    with pytest.raises(UserError, match="no image has the id 99"):
        gallery.read_image(99)
    (images / "000005.jpg").unlink()
    with pytest.raises(UserError, match="000005.jpg: cannot be read"):
        gallery.read_image(5)


def test_known_follows_the_threshold(folder):
    (hits,) = open_gallery(folder).search(draw(100))
    assert open_gallery(folder).threshold is None
    assert {hit.known for hit in hits} == {None}
    gallery_writer.store_calibration(folder, {"threshold": hits[3].distance})
    gallery = open_gallery(folder)
    assert gallery.threshold == hits[3].distance
    assert [hit.known for hit in gallery.search(draw(100))[0]] == [True] * 4 + [False] * 6
    own = gallery.search(draw(100), threshold=hits[0].distance)[0]
    assert [hit.known for hit in own] == [True] + [False] * 9


def test_what_came_after_it_was_opened_is_not_seen(folder, model, tmp_path):
    gallery = open_gallery(folder)
    add(folder, write_images(tmp_path / "more", [100]), model)
    gallery_writer.remove_images(folder, ids=[7])
    assert gallery.search(draw(7), 1)[0][0].id == 7
    assert gallery.search(draw(100), 1)[0][0].distance > 0.01
    now = open_gallery(folder)
    assert now.search(draw(7), 1)[0][0].id != 7
    assert now.search(draw(100), 1)[0][0].id == 40


def test_an_empty_gallery(folder):
    gallery_writer.remove_images(folder, ids=SEEDS)
    gallery = open_gallery(folder)
    assert len(gallery) == 0
    with pytest.raises(UserError, match="the gallery is empty; add images"):
        gallery.search(draw(1))


@pytest.mark.parametrize(
    ("queries", "message"),
    [
        (np.zeros((2, WIDTH + 1), np.float32), "queries are 17 wide, those of the gallery 16"),
        (np.full(WIDTH, np.nan), "NaN"),
        (np.zeros(WIDTH, np.float32), "all zeros"),
    ],
)
def test_features_that_are_none(folder, queries, message):
    with pytest.raises(UserError, match=message):
        open_gallery(folder).search(queries)


@pytest.mark.parametrize("top", [0, -1, 2.5])
def test_top(folder, top):
    with pytest.raises(UserError, match="top .*expected a whole number, 1 or more"):
        open_gallery(folder).search(draw(1), top)


def test_another_model_is_refused(folder, tmp_path):
    other = DrawnModel(tmp_path / "other", weights=b"other weights")
    with pytest.raises(UserError, match="is another model than that of the gallery"):
        open_gallery(folder, other)
    with pytest.raises(UserError, match="is another model"):
        add(folder, write_images(tmp_path / "more", [100]), other)


def test_a_copy_of_the_model_is_taken(folder, model, tmp_path):
    shutil.copytree(model.path, tmp_path / "copy")
    (tmp_path / "copy" / "assets.extra").mkdir()
    (tmp_path / "copy" / "assets.extra" / "card.md").write_text("may be edited")
    model.path = tmp_path / "copy"
    assert open_gallery(folder, model).embedder is model


def test_no_gallery(tmp_path):
    with pytest.raises(UserError, match="nowhere: expected a gallery.*search build"):
        open_gallery(tmp_path / "nowhere")


def damage(path, how):
    content = path.read_bytes()
    half = len(content) // 2
    if how == "removed":
        path.unlink()
    elif how == "cut":
        path.write_bytes(content[:-3])
    else:
        path.write_bytes(content[:half] + bytes([content[half] ^ 1]) + content[half + 1 :])


@pytest.mark.parametrize("name", ["vectors-1.f32", "entries-1.jsonl"])
@pytest.mark.parametrize("how", ["removed", "cut", "changed"])
def test_damaged_files_are_refused(folder, name, how):
    damage(folder / name, how)
    with pytest.raises(UserError, match=f"{name}: the gallery is damaged"):
        open_gallery(folder)


@pytest.mark.parametrize("how", ["cut", "changed"])
def test_a_damaged_manifest_is_refused(folder, how):
    damage(folder / "gallery.json", how)
    with pytest.raises(UserError, match="gallery.json: .*(damaged|format version)"):
        open_gallery(folder)


def test_every_value_of_the_manifest_is_covered_by_its_checksum(folder):
    path = folder / "gallery.json"
    content = json.loads(path.read_text())
    for name, value in content["state"].items():
        changed = {**content, "state": {**content["state"], name: [value]}}
        path.write_text(json.dumps(changed))
        with pytest.raises(UserError, match="damaged"):
            open_gallery(folder)


def test_another_version_is_refused(folder):
    path = folder / "gallery.json"
    content = json.loads(path.read_text())
    assert content["format_version"] == gallery_files.FORMAT_VERSION
    for version in (gallery_files.FORMAT_VERSION + 1, None, "1"):
        path.write_text(json.dumps({**content, "format_version": version}))
        with pytest.raises(UserError, match=f"format version {version!r}, expected 1; build"):
            open_gallery(folder)


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", '{"format_version": 1}'])
def test_a_manifest_of_another_form_is_refused(folder, text):
    (folder / "gallery.json").write_text(text)
    with pytest.raises(UserError, match="gallery.json: "):
        open_gallery(folder)


def test_a_search_by_features_needs_no_tensorflow(folder):
    code = """
import sys
sys.modules["tensorflow"] = None  # makes every attempt to import it fail
import numpy as np
from daaf_tf import serving

gallery = serving.open_gallery(sys.argv[1])
hits = gallery.search(np.ones((2, gallery.embedding_size), np.float32))
print(len(hits), len(hits[0]))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, folder], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split() == ["2", "10"]
