"""What the branches of a tiny network predict on some records, and what is known of these."""

from __future__ import annotations

import numpy as np
import pytest

from daaf_tf.config import Config
from daaf_tf.data.conversion import Conversion, convert
from daaf_tf.data.records import RecordReader
from daaf_tf.data.synthetic import Preset, write_synthetic_market
from daaf_tf.evaluation.attention import NUM_SAMPLES, make_samples
from daaf_tf.model import build_daaf

CONFIG = Config().replace(
    image_height=64,
    image_width=32,
    backbone="resnet18",
    backbone_width=4,
    head_units=8,
    embedding_size=4,
    decoder_channels=4,
    num_identities=3,
)


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    folder = tmp_path_factory.mktemp("samples")
    preset = Preset(
        name="tiny",
        train_ids=3,
        train_images=12,
        few_ids=0,
        few_least=1,
        most_images=6,
        test_ids=3,
        query_images=6,
        good_images=18,
        distractor_images=2,
        junk_images=2,
    )
    write_synthetic_market(folder / "D", preset, workers=1, progress=False)
    convert(
        Conversion("market1501", str(folder / "D"), str(folder / "R"), workers=1),
        show_progress=False,
    )
    return folder / "R"


def test_they_are_the_images_with_prediction_and_truth(records):
    model = build_daaf(CONFIG)
    samples = make_samples(model, CONFIG, RecordReader(records, "train"), range(12))
    assert len(samples) == NUM_SAMPLES
    assert len({sample.caption for sample in samples}) == NUM_SAMPLES
    for sample in samples:
        assert sample.image.shape == (64, 32, 3)
        assert sample.image.dtype == np.uint8
        assert sample.mask.shape == (*CONFIG.target_size, 1)
        assert sample.keypoints.shape == (*CONFIG.target_size, 17)
        assert sample.true_mask.any()
        assert sample.true_joints.shape == (17, 3)


def test_there_may_be_fewer_images(records):
    reader = RecordReader(records, "query")
    samples = make_samples(build_daaf(CONFIG), CONFIG, reader, [4, 1])
    assert len(samples) == 2
    assert samples[0].caption != samples[1].caption


def test_a_branch_that_is_not_there_is_not_shown(records):
    config = CONFIG.replace(pab=False)
    (sample,) = make_samples(build_daaf(config), config, RecordReader(records, "train"), [0])
    assert sample.mask is not None
    assert sample.keypoints is None
    assert sample.true_joints is None
    neither = CONFIG.replace(hab=False, pab=False)
    assert make_samples(build_daaf(neither), neither, RecordReader(records, "train"), [0]) == []
