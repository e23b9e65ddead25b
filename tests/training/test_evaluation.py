"""Embeddings of a split against a loop over images and views."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tensorflow as tf

from daaf_tf import schema
from daaf_tf.config import Config
from daaf_tf.data.preprocess import preprocess_image
from daaf_tf.data.records import ImageRecord, ShardWriter, make_example, shard_name
from daaf_tf.training.evaluation import compute_features


@pytest.fixture(scope="module")
def encoded():
    """Five PNGs of different sizes."""
    random = np.random.default_rng(0)
    sizes = [(64, 32), (128, 64), (50, 40), (90, 33), (40, 20)]
    pixels = [random.integers(0, 256, (*size, 3)).astype(np.uint8) for size in sizes]
    return [tf.io.encode_png(each).numpy() for each in pixels]


@pytest.fixture(scope="module")
def records(encoded, tmp_path_factory):
    folder = tmp_path_factory.mktemp("records")
    with ShardWriter(folder / shard_name("query", 0, 1)) as writer:
        for number, image in enumerate(encoded):
            record = ImageRecord(
                encoded=image,
                image_format="png",
                filename=f"{number}.png",
                height=1,
                width=1,
                person_id=number,
                camera_id=1,
            )
            writer.write(make_example(record))
    splits = {"query": {"images": len(encoded), "shards": [writer.summary()]}}
    manifest = {"schema_version": schema.SCHEMA_VERSION, "splits": splits}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


@pytest.fixture(scope="module")
def model():
    """An embedding that depends on where in the image a colour is."""
    tf.keras.utils.set_random_seed(0)
    image = tf.keras.Input((64, 32, 3))
    embedding = tf.keras.layers.Dense(5)(tf.keras.layers.Flatten()(image))
    return tf.keras.Model(image, tf.keras.layers.ReLU()(embedding))


def crop_and_flip(image, tta):
    """Return the 64x32 views of one image."""
    starts = [(4, 2), (0, 0), (0, 4), (8, 0), (8, 4)] if tta == "crops" else [(0, 0)]
    views = [image[top : top + 64, left : left + 32] for top, left in starts]
    return views if tta == "none" else views + [view[:, ::-1] for view in views]


@pytest.mark.parametrize(
    ("tta", "size"), [("none", (64, 32)), ("flip", (64, 32)), ("crops", (72, 36))]
)
def test_features_are_the_mean_over_the_views(records, encoded, model, tta, size):
    config = Config().replace(
        data_dir=str(records),
        image_height=64,
        image_width=32,
        eval_batch_size=2,
        tta=tta,
    )
    found = compute_features(model, config, "query", progress=False)
    expected = [
        np.mean([model(view[None])[0] for view in crop_and_flip(image.numpy(), tta)], axis=0)
        for image in (preprocess_image(each, *size) for each in encoded)
    ]
    np.testing.assert_allclose(found.features, expected, atol=1e-5)
    assert found.features.dtype == np.float32
    assert found.filenames.tolist() == [f"{number}.png" for number in range(5)]


def test_the_kinds_of_views_give_other_features(records, model):
    config = Config().replace(data_dir=str(records), image_height=64, image_width=32)
    features = [
        compute_features(model, config.replace(tta=tta), "query", progress=False).features
        for tta in ("none", "flip", "crops")
    ]
    for left, right in ((0, 1), (0, 2), (1, 2)):
        assert np.abs(features[left] - features[right]).max() > 1e-2


def test_flipping_averages_the_side_away(records, model):
    """A mirrored image has the same embedding."""
    config = Config().replace(data_dir=str(records), image_height=64, image_width=32, tta="flip")
    found = compute_features(model, config, "query", progress=False).features

    mirrored = tf.keras.Sequential([tf.keras.layers.Lambda(lambda x: tf.reverse(x, [2])), model])
    mirrored.build((None, 64, 32, 3))
    other = compute_features(mirrored, config, "query", progress=False).features
    np.testing.assert_allclose(found, other, atol=1e-6)
