from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from tiny_market import TRAIN, draw_market

from daaf_tf import schema
from daaf_tf.data.datasets import DATASETS
from daaf_tf.data.example import ImageRecord, make_example, parse_example
from daaf_tf.data.listing import list_images
from daaf_tf.data.reading import read_record

BARE = ImageRecord(b"pixels", "jpeg", "0002_c1s1_ü ber.jpg", 128, 64, person_id=-1, camera_id=12)


def annotated() -> ImageRecord:
    keypoints = np.random.RandomState(0).uniform(size=(17, 3)).astype(np.float32)
    values = {**vars(BARE), "mask": b"mask", "heatmaps": b"maps", "keypoints": keypoints}
    return ImageRecord(**values)


def test_bytes_are_those_that_tensorflow_writes():
    for record in (BARE, annotated()):
        serialized = make_example(record, 5)
        example = tf.train.Example.FromString(serialized)
        assert example.SerializeToString(deterministic=True) == serialized


def test_absent_annotations_are_absent_features():
    names = set(tf.train.Example.FromString(make_example(BARE)).features.feature)
    assert not names & {schema.MASK_ENCODED, schema.HEATMAPS_ENCODED, schema.KEYPOINT_X}
    more = set(tf.train.Example.FromString(make_example(annotated())).features.feature)
    assert more - names == {
        schema.MASK_ENCODED, schema.HEATMAPS_ENCODED, schema.KEYPOINT_X, schema.KEYPOINT_Y,
        schema.KEYPOINT_VISIBILITY,
    }  # fmt: skip


def test_parsed_annotated_record_is_what_was_written():
    record = annotated()
    parsed = {name: value.numpy() for name, value in parse_example(make_example(record, 3)).items()}
    joints = np.stack(
        [parsed[n] for n in (schema.KEYPOINT_X, schema.KEYPOINT_Y, schema.KEYPOINT_VISIBILITY)],
        axis=1,
    )
    np.testing.assert_array_equal(joints, record.keypoints)
    assert parsed[schema.IMAGE_ENCODED] == b"pixels"
    assert parsed[schema.IMAGE_FILENAME].decode() == "0002_c1s1_ü ber.jpg"
    assert (parsed[schema.IMAGE_HEIGHT], parsed[schema.IMAGE_WIDTH]) == (128, 64)
    assert (parsed[schema.PERSON_ID_FEATURE], parsed[schema.CAMERA_ID_FEATURE]) == (-1, 12)
    assert parsed[schema.CLASS_LABEL] == 3
    assert (parsed[schema.MASK_ENCODED], parsed[schema.HEATMAPS_ENCODED]) == (b"mask", b"maps")


def test_parsed_bare_record_has_empty_strings_and_minus_ones():
    parsed = parse_example(make_example(BARE))
    assert parsed[schema.MASK_ENCODED].numpy() == b""
    assert parsed[schema.HEATMAPS_ENCODED].numpy() == b""
    np.testing.assert_array_equal(parsed[schema.KEYPOINT_VISIBILITY], [-1.0] * 17)
    assert parsed[schema.CLASS_LABEL].numpy() == schema.NO_LABEL


def test_one_by_one_in_a_graph_equals_many_at_once():
    serialized = [make_example(BARE, 0), make_example(annotated(), 1)]
    many = parse_example(serialized)
    single = tf.data.Dataset.from_tensor_slices(serialized).map(parse_example)
    for row, parsed in enumerate(single):
        assert parsed.keys() == many.keys()
        for name, value in parsed.items():
            np.testing.assert_array_equal(value, many[name][row])


def test_what_is_no_example_is_refused():
    with pytest.raises(tf.errors.InvalidArgumentError):
        parse_example(b"no example")
    with pytest.raises(tf.errors.InvalidArgumentError, match="image/.* is required"):
        parse_example(tf.train.Example().SerializeToString())


def test_tensorflow_decodes_what_is_stored(tmp_path):
    files = list_images(DATASETS["market1501"], draw_market(tmp_path)).images["train"]
    record, _ = read_record(files[0], str(tmp_path), max_stretch=1.1, heatmap_height=32)
    parsed = parse_example(make_example(record, 0))
    original = (tmp_path / TRAIN / files[0].filename).read_bytes()
    assert parsed[schema.IMAGE_ENCODED].numpy() == original
    mask = tf.io.decode_png(parsed[schema.MASK_ENCODED], channels=1)
    assert mask.shape == tf.io.decode_jpeg(original)[..., :1].shape
    assert set(np.unique(mask)) == {0, 255}
    heatmaps = tf.io.decode_png(parsed[schema.HEATMAPS_ENCODED], channels=1)
    assert heatmaps.shape == (17 * 32, 16, 1)


def test_writing_and_reading_records_needs_no_tensorflow():
    program = (
        "import sys, daaf_tf.data.conversion, daaf_tf.data.records, daaf_tf.data.summary; "
        "sys.exit('tensorflow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
