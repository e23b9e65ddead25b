"""An exported model embeds a data set as its model directory does, mirror images included."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tensorflow as tf
from tiny_market import QUERY, draw_market

from daaf_tf.config import Config
from daaf_tf.errors import UserError
from daaf_tf.evaluation.image_sets import open_folder
from daaf_tf.evaluation.saved_model_source import SavedModelSource
from daaf_tf.evaluation.sources import embed_images
from daaf_tf.serving import write_saved_model
from daaf_tf.training.evaluation import compute_features

SPLITS = ("query", "gallery")
CONFIG = Config().replace(image_height=48, image_width=32, eval_metric="cosine", eval_batch_size=2)


@pytest.fixture(scope="module")
def model():
    """An embedding that depends on where in the image a colour is."""
    tf.keras.utils.set_random_seed(0)
    image = tf.keras.Input((48, 32, 3))
    embedding = tf.keras.layers.Dense(5)(tf.keras.layers.Flatten()(image))
    return tf.keras.Model(image, tf.keras.layers.ReLU()(embedding))


@pytest.fixture(scope="module")
def saved_model(model, tmp_path_factory):
    return write_saved_model(model, CONFIG, tmp_path_factory.mktemp("saved"))


@pytest.fixture
def root(tmp_path):
    return draw_market(tmp_path, annotated=False)


@pytest.mark.parametrize("tta", ["none", "flip"])
@pytest.mark.parametrize("batch_size", [1, 64])
def test_gives_what_the_model_itself_gives(model, saved_model, root, tta, batch_size):
    source = SavedModelSource(saved_model, metric="", tta=tta, batch_size=batch_size)
    assert source.metric == "cosine"  # that of the run which was exported
    images = open_folder("market1501", root, SPLITS)
    embedded = embed_images(source, images, SPLITS)
    for split in SPLITS:
        found = embedded.embedded.splits[split]
        config, reader = CONFIG.replace(tta=tta), images.readers[split]
        expected = compute_features(model, config, split, reader=reader, progress=False)
        np.testing.assert_allclose(found.features, expected.features, atol=1e-5)
        np.testing.assert_array_equal(found.filenames, expected.filenames)
        np.testing.assert_array_equal(found.person_ids, expected.person_ids)
        np.testing.assert_array_equal(found.camera_ids, expected.camera_ids)


def test_mirror_images_make_a_difference(saved_model, root):
    images = open_folder("market1501", root, SPLITS)
    features = [
        SavedModelSource(saved_model, metric="", tta=tta, batch_size=2).embed(images, "query")
        for tta in ("none", "flip")
    ]
    assert np.abs(features[0].features - features[1].features).max() > 1e-2


def test_an_image_that_cannot_be_used_is_left_out(saved_model, root):
    first, second = sorted((root / QUERY).glob("*.jpg"))
    first.write_bytes(b"no image")
    images = open_folder("market1501", root, SPLITS)
    source = SavedModelSource(saved_model, metric="", tta="none", batch_size=1)
    embedded = embed_images(source, images, SPLITS)
    assert embedded.skipped == 1
    assert embedded.query.filenames.tolist() == [second.name]
    second.write_bytes(b"no image")
    with pytest.raises(UserError, match=rf"no usable image in query; .*{first.name}"):
        embed_images(source, open_folder("market1501", root, SPLITS), SPLITS)


def test_a_folder_without_a_usable_image_is_refused_by_the_model_too(model, root):
    for path in (root / QUERY).glob("*.jpg"):
        path.write_bytes(b"no image")
    images = open_folder("market1501", root, SPLITS)
    with pytest.raises(UserError, match="no usable image in query"):
        compute_features(model, CONFIG, "query", reader=images.readers["query"], progress=False)


def test_crops_are_refused(saved_model):
    with pytest.raises(UserError, match="--tta=crops with --saved_model: .*resizes"):
        SavedModelSource(saved_model, metric="", tta="crops", batch_size=2)


def test_a_model_without_the_signatures_is_refused(tmp_path):
    module = tf.Module()
    module.f = tf.function(lambda x: x, input_signature=[tf.TensorSpec([None])])
    tf.saved_model.save(module, str(tmp_path / "model"), signatures={"other": module.f})
    with pytest.raises(UserError, match="expected the signature serving_default.*found .*other"):
        SavedModelSource(str(tmp_path / "model"), metric="", tta="none", batch_size=2)


def test_a_model_that_averages_views_by_itself(model, tmp_path):
    path = write_saved_model(model, CONFIG, tmp_path / "saved")
    description = tmp_path / "saved/1/assets.extra/daaf_tf.json"
    facts = json.loads(description.read_text())
    description.write_text(json.dumps({**facts, "tta": "crops"}))
    assert SavedModelSource(path, metric="", tta="none", batch_size=2).tta == "crops"
    with pytest.raises(UserError, match=r"--tta=flip: .*averages views by itself \(crops\)"):
        SavedModelSource(path, metric="", tta="flip", batch_size=2)
    description.write_text("no JSON")
    with pytest.raises(UserError, match="export the model again"):
        SavedModelSource(path, metric="cosine", tta="none", batch_size=2)


@pytest.mark.parametrize(
    "content", [None, "{}", *map(json.dumps, ({"config": 3}, {"config": {"eval": {}}}))]
)
def test_a_model_that_does_not_say_its_metric_needs_the_flag(model, tmp_path, content):
    path = write_saved_model(model, CONFIG, tmp_path / "saved")
    description = tmp_path / "saved/1/assets.extra/daaf_tf.json"
    description.unlink()
    if content is not None:
        description.write_text(content)
    with pytest.raises(UserError, match="give --eval_metric"):
        SavedModelSource(path, metric="", tta="none", batch_size=2)
    assert SavedModelSource(path, metric="cosine", tta="none", batch_size=2).metric == "cosine"
