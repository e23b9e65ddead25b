from __future__ import annotations

import errno
import os

import pytest

from daaf_tf.data import splits
from daaf_tf.data.example import ImageRecord
from daaf_tf.data.records import index_path, shard_name
from daaf_tf.data.splits import SplitWriter
from daaf_tf.errors import UserError


def record(person_id: int, camera_id: int = 1, **annotations) -> ImageRecord:
    return ImageRecord(b"pixels", "png", "a.png", 4, 2, person_id, camera_id, **annotations)


def write(folder, split, records, num_shards=0) -> dict:
    count = len(records)
    with SplitWriter(folder, split, num_images=count, num_shards=num_shards) as writer:
        for item in records:
            writer.write(item)
    return writer.summary()


def sizes(summary: dict) -> list[int]:
    return [shard["images"] for shard in summary["shards"]]


def test_train_is_labelled_in_order_and_skipped_persons_get_no_label(tmp_path):
    records = [record(3), record(3), None, record(8), None, record(20), record(20)]
    summary = write(tmp_path, "train", records)
    assert summary["person_ids"] == [3, 8, 20]
    assert summary["images_per_label"] == [2, 1, 2]
    assert (summary["images"], summary["identities"]) == (5, 3)


def test_everything_is_counted(tmp_path):
    records = [record(-1, 12), record(-1, 1), record(0, 2, mask=b"m"), record(5, 1, heatmaps=b"h")]
    summary = write(tmp_path, "gallery", records)
    del summary["shards"]
    assert summary == {
        "images": 4, "identities": 1, "cameras": [1, 2, 12], "junk": 2, "distractors": 1,
        "masks": 1, "keypoint_maps": 1, "keypoints": 0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("num_shards", "images"), [(1, [7]), (2, [3, 4]), (3, [2, 2, 3]), (7, [1] * 7), (50, [1] * 7)]
)
def test_shards_are_cut_evenly(tmp_path, num_shards, images):
    summary = write(tmp_path, "query", [record(1)] * 7, num_shards)
    assert sizes(summary) == images
    for number, shard in enumerate(summary["shards"]):
        path = tmp_path / shard["file"]
        assert path.name == shard_name("query", number, len(images))
        assert path.stat().st_size == shard["bytes"]
        assert index_path(path).exists()
    assert len(os.listdir(tmp_path)) == 2 * len(images)


def test_skipped_images_do_not_move_the_cuts(tmp_path):
    summary = write(tmp_path, "query", [None, None, record(1), None, record(1), record(1)], 3)
    assert sizes(summary) == [0, 1, 2]


def test_shards_are_cut_by_size_if_no_number_is_given(tmp_path, monkeypatch):
    monkeypatch.setattr(splits, "SHARD_BYTES", 1000)
    summary = write(tmp_path, "query", [record(1)] * 20)
    *full, last = [shard["bytes"] for shard in summary["shards"]]
    assert len(full) > 2
    assert all(1000 <= size < 1600 for size in full)
    assert 0 < last < 1600


def test_full_disk_is_told_in_one_line_and_leaves_no_half_shard(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="No space left"):
        write(tmp_path, "query", [record(1)])
    assert os.listdir(tmp_path) == []
