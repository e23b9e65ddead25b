"""Features out of files, and pictures for them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from people import make_set
from PIL import Image

from daaf_tf.errors import UserError
from daaf_tf.evaluation.sources import read_feature_set
from daaf_tf.retrieval import write_features


def write(path, metric="cosine"):
    write_features(path, dataclasses.replace(make_set().embedded, metric=metric))
    return str(path)


@pytest.mark.parametrize(("given", "metric"), [("", "cosine"), ("euclidean", "euclidean")])
def test_the_files_metric_unless_another_is_asked_for(tmp_path, given, metric):
    found = read_feature_set(write(tmp_path / "F.npz"), metric=given)
    assert found.embedded.metric == metric
    assert (found.embedded.model, found.embedded.data) == ("M, step 4", "R")
    assert found.read_image is None


def test_nobody_says_which_metric(tmp_path):
    path = write(tmp_path / "F.npz", metric="")
    with pytest.raises(UserError, match=r"F\.npz: no array metric; .*--eval_metric"):
        read_feature_set(path)
    assert read_feature_set(path, metric="cosine").embedded.metric == "cosine"


def test_pictures_lie_below_their_split(tmp_path):
    root = tmp_path / "images"
    (root / "gallery").mkdir(parents=True)
    pixels = np.arange(4 * 2 * 3, dtype=np.uint8).reshape(4, 2, 3)
    Image.fromarray(pixels).save(root / "gallery/003.png")
    found = read_feature_set(write(tmp_path / "F.npz"), image_root=str(root))
    np.testing.assert_array_equal(found.read_image("gallery", 3), pixels)
    with pytest.raises(UserError, match=r"004\.png: expected an image"):
        found.read_image("gallery", 4)


@pytest.mark.parametrize("name", ["../../secret.png", "/secret.png", ""])
def test_no_name_leads_out_of_the_folder(tmp_path, name):
    root = tmp_path / "images"
    (root / "query").mkdir(parents=True)
    Image.new("RGB", (2, 2)).save(tmp_path / "secret.png")
    embedded = make_set().embedded
    names = embedded.splits["query"].filenames.astype("U64")
    names[0] = name
    query = dataclasses.replace(embedded.splits["query"], filenames=names)
    splits = {**embedded.splits, "query": query}
    write_features(tmp_path / "F.npz", dataclasses.replace(embedded, splits=splits))
    found = read_feature_set(str(tmp_path / "F.npz"), image_root=str(root))
    with pytest.raises(UserError, match="image 0 of query"):
        found.read_image("query", 0)


def test_no_folder_of_pictures(tmp_path):
    with pytest.raises(UserError, match="--image_root=.*no such folder"):
        read_feature_set(write(tmp_path / "F.npz"), image_root=str(tmp_path / "nowhere"))
