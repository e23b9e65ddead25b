"""Candidates: never too few, whatever the rounding, and what approximate indexes find."""

from __future__ import annotations

import dataclasses
import sys

import numpy as np
import pytest
from drawn_gallery import DrawnModel, add, build, write_images

from daaf_tf.errors import UserError
from daaf_tf.retrieval import compute_distances
from daaf_tf.serving import gallery_files, gallery_writer, nearest, open_gallery
from daaf_tf.serving.gallery import prepare


def rank(vectors, queries, metric, count):
    distances = compute_distances(queries, vectors, metric=metric)
    return np.argsort(distances, axis=1, kind="stable")[:, :count]


def ask(vectors, queries, metric, count):
    candidates = nearest.Flat(vectors, metric).find_candidates(queries, count)
    found = nearest.find_nearest(vectors, queries, candidates, count, metric)
    return np.stack([rows for rows, _ in found])


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("num", [1, 2, 30, 700])
@pytest.mark.parametrize("spread", [1.0, 1e-2, 1e-4])
def test_exact_search_is_the_ranking_of_evaluation(metric, num, spread):
    generator = np.random.default_rng(num)
    middle = generator.standard_normal(8)
    vectors = prepare(middle + spread * generator.standard_normal((num, 8)), metric)
    vectors[generator.integers(0, num, num // 3)] = vectors[0]  # ties keep the gallery's order
    queries = prepare(middle + spread * generator.standard_normal((20, 8)), metric)
    for count in {1, min(7, num), num}:
        for some in (queries[:1], queries):
            expected = rank(vectors, some, metric, count)
            np.testing.assert_array_equal(ask(vectors, some, metric, count), expected)


def test_an_outlier_among_the_vectors_does_no_harm():
    generator = np.random.default_rng(1)
    vectors = generator.standard_normal((300, 8)).astype(np.float32)
    vectors[17] *= 1e6
    queries = generator.standard_normal((5, 8)).astype(np.float32)
    expected = rank(vectors, queries, "euclidean", 9)
    np.testing.assert_array_equal(ask(vectors, queries, "euclidean", 9), expected)


def test_few_candidates_come_of_many_vectors():
    generator = np.random.default_rng(2)
    vectors = prepare(generator.standard_normal((20_000, 16)), "cosine")
    queries = prepare(generator.standard_normal((3, 16)), "cosine")
    found = nearest.Flat(vectors, "cosine").find_candidates(queries, 10)
    assert all(10 <= len(rows) < 200 for rows in found)


def draw_persons(num, width=16):
    generator = np.random.default_rng(3)
    centres = generator.standard_normal((num // 10, width))
    return prepare(
        np.repeat(centres, 10, axis=0) + 0.3 * generator.standard_normal((num, width)), "cosine"
    )


@pytest.mark.parametrize("index_type", [nearest.IVFPQ, nearest.HNSW])
def test_an_approximate_index_finds_nearly_all(index_type):
    pytest.importorskip("faiss")
    vectors = draw_persons(nearest.LEAST_FOR_IVFPQ)
    index = nearest.build_index(index_type, vectors)
    nearest.extend_index(index, vectors[:6000], 0)
    nearest.extend_index(index, vectors, 6000)
    queries = vectors[::500]
    candidates = nearest.find_approximately(index, queries, 10)
    found = nearest.find_nearest(vectors, queries, candidates, 10, "cosine")
    expected = rank(vectors, queries, "cosine", 10)
    recall = np.mean([len(set(rows) & set(row)) / 10 for (rows, _), row in zip(found, expected)])
    assert recall > 0.95
    few = nearest.find_approximately(index, queries, 10, nprobe=1, ef_search=1)
    assert sum(map(len, few)) < sum(map(len, candidates))


def test_too_few_images_for_product_quantization(tmp_path):
    pytest.importorskip("faiss")
    images, model = write_images(tmp_path / "images", range(30)), DrawnModel(tmp_path / "model")
    with pytest.raises(UserError, match="ivfpq: expected 10,000 images or more .* received 30"):
        build(tmp_path / "gallery", images, model, index_type=nearest.IVFPQ)
    assert not (tmp_path / "gallery").exists()


def test_without_faiss_a_message_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    images, model = write_images(tmp_path / "images", range(30)), DrawnModel(tmp_path / "model")
    with pytest.raises(UserError, match=r"faiss is needed.*pip install -e .\[search\]"):
        build(tmp_path / "gallery", images, model, index_type=nearest.HNSW)
    assert build(tmp_path / "gallery", images, model) == 30


def test_a_gallery_with_an_index_is_changed_like_any_other(tmp_path, monkeypatch):
    pytest.importorskip("faiss")
    monkeypatch.setattr(gallery_writer, "MOST_OUTSIDE", 5)
    images, model = write_images(tmp_path / "images", range(200)), DrawnModel(tmp_path / "model")
    folder = tmp_path / "gallery"
    build(folder, images, model, index_type=nearest.HNSW)

    def check(ids, indexed):
        assert gallery_files.read_state(folder).indexed == indexed
        gallery = open_gallery(folder, model)
        hits = gallery.search([b"%d" % seed for seed in ids.values()], 1)
        assert [one[0].id for one in hits] == list(ids)
        assert all(one[0].distance < 1e-6 for one in hits)
        return gallery

    check({number: number for number in range(200)}, 200)
    add(folder, write_images(tmp_path / "few", [300, 301]), model)
    check({0: 0, 199: 199, 200: 300, 201: 301}, 200)  # the new ones are searched exactly
    add(folder, write_images(tmp_path / "many", range(400, 410)), model)
    check({0: 0, 201: 301, 202: 400, 211: 409}, 212)
    gallery_writer.remove_images(folder, ids=[0, 205])
    gallery = check({1: 1, 206: 404, 211: 409}, 210)
    assert {0, 205}.isdisjoint(hit.id for hit in gallery.search([b"0"], 210)[0])
    gallery_writer.remove_images(folder, ids=[entry.id for entry in gallery.entries])
    with pytest.raises(UserError, match="empty"):
        open_gallery(folder, model).search([b"0"])
    add(folder, write_images(tmp_path / "last", [7]), model)
    assert open_gallery(folder, model).search([b"7"])[0][0].distance < 1e-6


def test_an_index_of_another_faiss_is_refused(tmp_path):
    pytest.importorskip("faiss")
    images, model = write_images(tmp_path / "images", range(20)), DrawnModel(tmp_path / "model")
    folder = tmp_path / "gallery"
    build(folder, images, model, index_type=nearest.HNSW)
    state = gallery_files.read_state(folder)
    (folder / state.index.name).write_bytes(b"Xxxx of another age")
    with pytest.raises(UserError, match="index-1.faiss: the gallery is damaged"):
        open_gallery(folder)
    sealed = gallery_files.seal_file(folder, state.index.name)
    gallery_files.write_state(folder, dataclasses.replace(state, index=sealed))
    with pytest.raises(UserError, match="faiss .* cannot read this index; build the gallery again"):
        open_gallery(folder)
