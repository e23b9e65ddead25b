from __future__ import annotations

import json

import numpy as np
import pytest
import tensorflow as tf
from tiny_market import QUERY, draw_image, draw_market

from daaf_tf import schema
from daaf_tf.data.conversion import Conversion, convert
from daaf_tf.data.example import parse_record
from daaf_tf.data.records import RecordReader, read_manifest
from daaf_tf.data.stored import parse_heatmaps, parse_mask
from daaf_tf.data.tfds_metadata import make_tfds_files

tfds = pytest.importorskip("tensorflow_datasets")


@pytest.fixture(scope="module", params=[1, 4])
def folder(request, tmp_path_factory):
    """Records of images with and without masks and joints, in one or in four shards a split."""
    root = draw_market(tmp_path_factory.mktemp("tfds"))
    draw_image(root / QUERY / "0009_c1s1_000001_00.png", 9)
    shards = request.param
    convert(
        Conversion("market1501", str(root), str(root / "R"), num_shards=shards, workers=1),
        show_progress=False,
    )
    return root / "R"


def test_tfds_knows_splits_and_features(folder):
    builder = tfds.builder_from_directory(str(folder))
    assert builder.name == "market1501"
    assert str(builder.version) == f"{schema.SCHEMA_VERSION}.0.0"
    manifest = read_manifest(folder)
    for split, entry in manifest["splits"].items():
        info = builder.info.splits[split]
        assert info.num_examples == entry["images"]
        assert [path.name for path in info.filepaths] == [s["file"] for s in entry["shards"]]
        assert info.num_bytes == sum(shard["bytes"] for shard in entry["shards"])
    assert builder.info.features[schema.IMAGE_ENCODED].shape == (None, None, 3)
    assert builder.info.features[schema.PERSON_ID_FEATURE].np_dtype == np.int64


@pytest.mark.parametrize("split", ["train", "query", "gallery"])
def test_tfds_reads_what_the_records_hold(folder, split):
    reader = RecordReader(folder, split)
    builder = tfds.builder_from_directory(str(folder))
    examples = list(builder.as_dataset(split=split).as_numpy_iterator())
    assert len(examples) == reader.num_images
    for position, example in enumerate(examples):
        record, label = parse_record(reader.read(position))
        image = tf.io.decode_image(record.encoded, channels=3).numpy()
        np.testing.assert_array_equal(example[schema.IMAGE_ENCODED], image)
        assert example[schema.IMAGE_FILENAME].decode() == record.filename
        assert example[schema.IMAGE_FORMAT].decode() == record.image_format
        for name, value in (
            (schema.IMAGE_HEIGHT, record.height),
            (schema.IMAGE_WIDTH, record.width),
            (schema.PERSON_ID_FEATURE, record.person_id),
            (schema.CAMERA_ID_FEATURE, record.camera_id),
            (schema.CLASS_LABEL, label),
        ):
            assert example[name] == value
        check_annotations(example, record)


def check_annotations(example, record) -> None:
    mask, maps = example[schema.MASK_ENCODED], example[schema.HEATMAPS_ENCODED]
    assert (len(mask), len(maps)) == (record.mask is not None, record.heatmaps is not None)
    if record.mask is not None:
        expected = parse_mask(record.mask, record.height, record.width)
        np.testing.assert_array_equal(mask[0, :, :, 0] == 255, expected)
    if record.heatmaps is not None:
        expected = parse_heatmaps(record.heatmaps)
        np.testing.assert_array_equal(maps[0, :, :, 0].reshape(expected.shape), expected)
    names = (schema.KEYPOINT_X, schema.KEYPOINT_Y, schema.KEYPOINT_VISIBILITY)
    joints = np.stack([example[name] for name in names], axis=1)
    expected = np.zeros((0, 3)) if record.keypoints is None else record.keypoints
    np.testing.assert_array_equal(joints, expected)


def test_features_are_those_of_a_record(folder):
    """A feature that is added to the records must be told to TFDS."""
    names = set(json.loads((folder / "features.json").read_text())["featuresDict"]["features"])
    stored = set()
    for split in read_manifest(folder)["splits"]:
        reader = RecordReader(folder, split)
        for serialized in reader.read_many(range(reader.num_images)):
            stored |= set(tf.train.Example.FromString(serialized).features.feature)
    assert names == stored


def test_tfds_writes_the_same_features_file(folder, tmp_path):
    tfds.builder_from_directory(str(folder)).info.features.save_config(tmp_path)
    ours, theirs = (json.loads((path / "features.json").read_text()) for path in (folder, tmp_path))
    assert ours == theirs


def test_name_is_one_that_tfds_allows():
    manifest = {"dataset": "my set-2", "schema_version": 1, "created_by": "x", "splits": {}}
    assert json.loads(make_tfds_files(manifest)["dataset_info.json"])["name"] == "my_set_2"
