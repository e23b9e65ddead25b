"""What the branches of a tiny network predict on some records, and what is known of these."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_market import draw_market

from daaf_tf.config import Config
from daaf_tf.data.conversion import Conversion, convert
from daaf_tf.data.records import RecordReader
from daaf_tf.evaluation import attention
from daaf_tf.evaluation.attention import make_samples
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
    draw_market(folder / "D")
    convert(
        Conversion("market1501", str(folder / "D"), str(folder / "R"), workers=1),
        show_progress=False,
    )
    return folder / "R"


def test_they_are_the_images_with_prediction_and_truth(records):
    samples = make_samples(build_daaf(CONFIG), CONFIG, RecordReader(records, "train"), range(6))
    assert [sample.caption for sample in samples] == [
        "0002_c12s1_000001_01.jpg",
        "0002_c1s1_000001_01.jpg",
        "0007_c1s1_000001_01.jpg",
        "0007_c1s1_000001_02.jpg",
        "0007_c3s1_000001_01.jpg",
        "0011_c1s2_000001_01.jpg",
    ]
    for sample in samples:
        assert sample.image.shape == (64, 32, 3)
        assert sample.image.dtype == np.uint8
        assert sample.mask.shape == (*CONFIG.target_size, 1)
        assert sample.keypoints.shape == (*CONFIG.target_size, 17)
        assert sample.true_mask.any()
        assert sample.true_joints.shape == (17, 3)


def test_of_many_images_some_are_taken_from_first_to_last(records, monkeypatch):
    monkeypatch.setattr(attention, "NUM_SAMPLES", 3)
    reader = RecordReader(records, "train")
    samples = make_samples(build_daaf(CONFIG), CONFIG, reader, range(1, 6))
    names = [sample.caption for sample in samples]
    assert names == [
        "0002_c1s1_000001_01.jpg",
        "0007_c1s1_000001_02.jpg",
        "0011_c1s2_000001_01.jpg",
    ]


def test_what_is_not_known_is_not_shown(records):
    reader = RecordReader(records, "query")
    samples = make_samples(build_daaf(CONFIG), CONFIG, reader, [1, 0])
    assert [sample.caption[:4] for sample in samples] == ["0005", "0004"]
    for sample in samples:
        assert sample.true_mask.any()
        assert sample.true_joints is None


def test_a_branch_that_is_not_there_is_not_shown(records):
    config = CONFIG.replace(pab=False)
    (sample,) = make_samples(build_daaf(config), config, RecordReader(records, "train"), [0])
    assert sample.mask is not None
    assert sample.keypoints is None
    assert sample.true_joints is None
    neither = CONFIG.replace(hab=False, pab=False)
    assert make_samples(build_daaf(neither), neither, RecordReader(records, "train"), [0]) == []
