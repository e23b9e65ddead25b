from __future__ import annotations

import concurrent.futures
import json
import os
import struct

import numpy as np
import pytest
import tensorflow as tf

from daaf_tf.data.records import (
    RecordReader,
    ShardWriter,
    index_path,
    read_manifest,
    shard_name,
)
from daaf_tf.errors import UserError

COUNTS = (3, 0, 5, 1)  # records of each shard


def payload(number: int) -> bytes:
    return np.random.RandomState(number).bytes(7 * number)


@pytest.fixture
def folder(tmp_path):
    """Nine records of 0, 7, 14, .. bytes in four shards of which one is empty."""
    number, shards = 0, []
    for shard, count in enumerate(COUNTS):
        with ShardWriter(tmp_path / shard_name("train", shard, len(COUNTS))) as writer:
            for _ in range(count):
                writer.write(payload(number))
                number += 1
        shards.append(writer.summary())
    write_manifest(tmp_path, {"images": number, "images_per_label": [4, 5], "shards": shards})
    return tmp_path


def write_manifest(folder, train: dict, version: int = 1) -> None:
    manifest = {"schema_version": version, "splits": {"train": train}}
    (folder / "manifest.json").write_text(json.dumps(manifest))


def change_manifest(folder, **changes) -> None:
    write_manifest(folder, {**read_manifest(folder)["splits"]["train"], **changes})


def test_every_record_is_read_back_in_any_order(folder):
    reader = RecordReader(folder, "train")
    order = np.random.RandomState(0).permutation(9).repeat(2)
    assert reader.num_images == 9
    assert reader.read_many(order) == [payload(number) for number in order]
    np.testing.assert_array_equal(reader.images_per_label, [4, 5])
    assert reader.images_per_label.dtype == np.int64


def test_tensorflow_reads_the_shards(folder):
    shards = sorted(map(str, folder.glob("*.tfrecord")))
    assert [r.numpy() for r in tf.data.TFRecordDataset(shards)] == [payload(n) for n in range(9)]


def test_index_holds_what_a_walk_through_the_shard_finds(folder):
    for shard in folder.glob("*.tfrecord"):
        walked, data, offset = [], shard.read_bytes(), 0
        while offset < len(data):
            size = 8 + 4 + struct.unpack_from("<Q", data, offset)[0] + 4
            walked.append(f"{offset} {size}\n")
            offset += size
        assert index_path(shard).read_text() == "".join(walked)


def test_threads_share_a_reader(folder):
    reader = RecordReader(folder, "train")
    order = np.random.RandomState(1).randint(0, 9, 2000)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert list(pool.map(reader.read, order)) == [payload(number) for number in order]


@pytest.mark.parametrize("position", [-1, 9])
def test_position_outside_is_refused(folder, position):
    with pytest.raises(IndexError, match=f"position {position} of 9"):
        RecordReader(folder, "train").read(position)


def test_any_flipped_bit_is_found_and_its_record_named(folder):
    shard = folder / shard_name("train", 2, 4)  # records 3 to 7
    whole = shard.read_bytes()
    ends = np.cumsum([16 + 7 * number for number in range(3, 8)])
    for byte in range(len(whole)):
        shard.write_bytes(whole[:byte] + bytes([whole[byte] ^ 4]) + whole[byte + 1 :])
        reader = RecordReader(folder, "train")
        broken = int(np.searchsorted(ends, byte, side="right"))
        for record in range(5):
            if record == broken:
                with pytest.raises(UserError, match=rf"{shard}: record {record} is corrupt"):
                    reader.read(3 + record)
            else:
                assert reader.read(3 + record) == payload(3 + record)


def test_shard_cut_in_the_middle_is_refused(folder):
    shard = folder / shard_name("train", 2, 4)
    size = shard.stat().st_size
    os.truncate(shard, size // 2)
    with pytest.raises(UserError, match=f"{shard}: {size // 2} bytes, expected {size}"):
        RecordReader(folder, "train")


def test_shard_cut_while_it_is_read_is_refused(folder):
    reader = RecordReader(folder, "train")
    os.truncate(folder / shard_name("train", 3, 4), 20)
    with pytest.raises(UserError, match="record 0 is corrupt"):
        reader.read(8)


def test_missing_shard_is_named(folder):
    path = folder / shard_name("train", 0, 4)
    path.unlink()
    with pytest.raises(UserError, match=f"{path}: No such file"):
        RecordReader(folder, "train")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "0 numbers, expected 6"),
        ("0 16\n16 23\n", "4 numbers, expected 6"),
        ("0 16\n16 x\n39 30\n", "whole numbers"),
        ("0 16\n16 23\n39 99999999999999999999\n", "whole numbers"),
        ("0 16\n16 23\n39 31\n", "does not fit"),
        ("0 16\n17 22\n39 30\n", "does not fit"),
        ("0 69\n69 0\n69 0\n", "does not fit"),
        ("0 99\n99 -60\n39 30\n", "does not fit"),
    ],
)
def test_index_that_does_not_fit_is_refused(folder, text, reason):
    path = index_path(folder / shard_name("train", 0, 4))
    path.write_text(text)
    with pytest.raises(UserError, match=f"{path}: .*{reason}.*delete the index"):
        RecordReader(folder, "train")


def test_folder_without_records_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"absent: no such folder.*make_tfrecords"):
        read_manifest(tmp_path / "absent")
    with pytest.raises(UserError, match=r"holds no manifest.json.*make_tfrecords"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "\xff", "[1]", '{"schema_version": 0}', "{}"])
def test_manifest_that_is_none_is_refused(tmp_path, text):
    (tmp_path / "manifest.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match=r"manifest.json: (unreadable|schema version)"):
        read_manifest(tmp_path)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"images": 8}, "contradict"),
        ({"images_per_label": [9, 0]}, "contradict"),
        ({"images_per_label": [4, 4]}, "contradict"),
        ({"images_per_label": ["a"]}, "malformed"),
        ({"shards": None}, "malformed"),
        ({"shards": [{"file": "../x.tfrecord", "images": 9, "bytes": 1}]}, "contradict"),
        ({"shards": [{"file": "train-a\0b", "images": 9, "bytes": 1}]}, "contradict"),
        ({"shards": [{"file": "query-a", "images": 9, "bytes": 1}]}, "contradict"),
        ({"shards": 2 * [{"file": "train-a", "images": 3, "bytes": 1}], "images": 6}, "contradict"),
    ],
)
def test_manifest_that_contradicts_itself_is_refused(folder, changes, reason):
    change_manifest(folder, **changes)
    with pytest.raises(UserError, match=f"manifest.json: .*{reason}"):
        RecordReader(folder, "train")


@pytest.mark.parametrize(
    "text",
    [
        '{"schema_version": 1}',
        '{"schema_version": 1, "splits": []}',
        '{"schema_version": 1, "splits": {"tra": {}}}',
    ],
)
def test_manifest_without_splits_is_refused(tmp_path, text):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(UserError, match=r"manifest.json: malformed \(expected splits"):
        read_manifest(tmp_path)


def test_unknown_split_is_refused(folder):
    with pytest.raises(UserError, match="no split 'query'; there is train"):
        RecordReader(folder, "query")


def test_writer_that_fails_leaves_what_was_there(tmp_path):
    path = tmp_path / shard_name("query", 0, 1)
    path.write_bytes(b"before")
    with pytest.raises(TypeError), ShardWriter(path) as writer:
        writer.write("no bytes")
    assert path.read_bytes() == b"before"
    assert os.listdir(tmp_path) == [path.name]
