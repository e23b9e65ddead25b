"""Held-out identities: which they are, and that what is read of them is the truth."""

import io

import numpy as np
import pytest
from PIL import Image
from tiny_market import draw_market

from daaf_tf import schema
from daaf_tf.config import Config
from daaf_tf.data import make_eval_batches, make_train_batches
from daaf_tf.data.conversion import Conversion, convert
from daaf_tf.data.example import parse_record
from daaf_tf.data.held_out import read_held_out
from daaf_tf.data.records import RecordReader
from daaf_tf.errors import UserError


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    folder = tmp_path_factory.mktemp("market")
    draw_market(folder / "D")
    convert(
        Conversion("market1501", str(folder / "D"), str(folder / "R"), workers=1),
        show_progress=False,
    )
    return str(folder / "R")


def make_config(records, **settings):
    defaults = {
        "data_dir": records,
        "image_height": 64,
        "image_width": 32,
        "held_out_identities": 1,
        "identities_per_batch": 2,
        "images_per_identity": 2,
    }
    return Config().replace(**{**defaults, **settings})


def test_only_the_last_identities_are_read_in_record_order(records):
    assert [len(b.images) for b in read_held_out(make_config(records))] == [1]
    config = make_config(records, held_out_identities=2, eval_batch_size=3)
    assert [len(batch.images) for batch in read_held_out(config)] == [3, 1]
    assert list(read_held_out(make_config(records, held_out_identities=0))) == []


def test_training_never_sees_the_held_out(records):
    batches = make_train_batches(make_config(records)).take(8)
    assert {int(p) for batch in batches for p in batch[schema.PERSON_ID]} == {2, 7}
    batches = make_train_batches(make_config(records, held_out_identities=0)).take(8)
    assert {int(p) for batch in batches for p in batch[schema.PERSON_ID]} == {2, 7, 11}


def test_too_many_held_out_are_refused(records):
    with pytest.raises(UserError, match="hold 1 identities, a batch needs 2"):
        make_train_batches(make_config(records, held_out_identities=2))
    with pytest.raises(UserError, match="hold 0 identities"):
        make_train_batches(make_config(records, held_out_identities=9))


def test_images_are_those_of_evaluation_and_joints_those_of_the_record(records):
    config = make_config(records, held_out_identities=3, padding=4, resize_height=80)
    batch = next(read_held_out(config))
    expected = next(iter(make_eval_batches(config, schema.TRAIN)))
    np.testing.assert_array_equal(batch.images, expected[schema.IMAGE])
    reader = RecordReader(records, schema.TRAIN)
    for joints, position in zip(batch.joints, range(reader.num_images)):
        np.testing.assert_array_equal(joints, parse_record(reader.read(position))[0].keypoints)


@pytest.mark.parametrize("settings", [{}, {"padding": 4, "resize_height": 80, "resize_width": 40}])
def test_masks_cover_the_whole_image_whatever_training_crops(records, settings):
    config = make_config(records, held_out_identities=3, last_stride=2, **settings)
    batch = next(read_held_out(config))
    assert batch.masks.shape == (6, 32, 16)
    assert batch.has_mask.all()
    reader = RecordReader(records, schema.TRAIN)
    for mask, position in zip(batch.masks, range(6)):
        stored = Image.open(io.BytesIO(parse_record(reader.read(position))[0].mask))
        np.testing.assert_array_equal(mask, np.asarray(stored) >= 128)  # 32 x 16 as well


def test_absent_annotations_are_told(tmp_path):
    draw_market(tmp_path / "D", annotated=False)
    convert(
        Conversion("market1501", str(tmp_path / "D"), str(tmp_path / "R"), workers=1),
        show_progress=False,
    )
    batch = next(read_held_out(make_config(str(tmp_path / "R"), held_out_identities=2)))
    assert not batch.has_mask.any()
    assert not batch.masks.any()
    assert not batch.joints.any()
