from __future__ import annotations

import json
import os

import numpy as np
import pytest
from absl import logging

from daaf_tf.data.records import RecordReader, ShardWriter, index_path, shard_name
from daaf_tf.data.shard_index import scan_shard
from daaf_tf.errors import UserError


def payload(number: int) -> bytes:
    return np.random.RandomState(number).bytes(5 * number)


@pytest.fixture
def shard(tmp_path):
    """One shard of seven records, of which the first is empty, in a folder with its manifest."""
    with ShardWriter(tmp_path / shard_name("query", 0, 1)) as writer:
        for number in range(7):
            writer.write(payload(number))
    split = {"images": 7, "shards": [writer.summary()]}
    manifest = {"schema_version": 1, "splits": {"query": split}}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    return writer.path


@pytest.fixture
def warnings(monkeypatch):
    """The lines of the log at level warning."""
    lines = []
    monkeypatch.setattr(logging, "warning", lambda text, *values: lines.append(text % values))
    return lines


def test_missing_index_is_rebuilt_byte_for_byte_and_said_once(shard, warnings):
    written = index_path(shard).read_bytes()
    index_path(shard).unlink()
    reader = RecordReader(shard.parent, "query")
    assert reader.read_many(range(7)) == [payload(number) for number in range(7)]
    assert index_path(shard).read_bytes() == written
    assert warnings == [f"{index_path(shard)}: missing, rebuilt from the shard (7 records)"]
    RecordReader(shard.parent, "query")
    assert len(warnings) == 1


def test_index_of_a_folder_that_takes_no_files_is_rebuilt_for_this_run(
    shard, warnings, monkeypatch
):
    def refuse(path, content):
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("daaf_tf.data.shard_index.write_atomically", refuse)
    index_path(shard).unlink()
    reader = RecordReader(shard.parent, "query")
    assert reader.read_many(range(7)) == [payload(number) for number in range(7)]
    assert not index_path(shard).exists()
    assert "not written (Read-only file system)" in warnings[0]


def test_index_is_not_rebuilt_from_a_shard_with_a_broken_length(shard):
    whole = shard.read_bytes()
    index_path(shard).unlink()
    begin = 0
    for record in range(7):
        for byte in range(12):
            broken = bytearray(whole)
            broken[begin + byte] ^= 1 << (record % 8)
            shard.write_bytes(broken)
            with pytest.raises(UserError, match=f"{shard}: record {record} at byte {begin}.*wrong"):
                RecordReader(shard.parent, "query")
            assert os.listdir(shard.parent).count(index_path(shard).name) == 0
        begin += 16 + 5 * record


def test_shard_of_other_records_than_the_manifest_says_gets_no_index(shard):
    """Seven records became one of the same size, with all checksums right."""
    size = shard.stat().st_size
    with ShardWriter(shard) as writer:
        writer.write(bytes(size - 16))
    index_path(shard).unlink()
    with pytest.raises(UserError, match=f"{shard}: 1 records, expected 7"):
        RecordReader(shard.parent, "query")
    assert not index_path(shard).exists()


@pytest.mark.parametrize("lost", [1, 4, 20, 45])
def test_scan_of_a_cut_shard_names_the_record(shard, lost):
    os.truncate(shard, shard.stat().st_size - lost)
    with pytest.raises(UserError, match=f"{shard}: record 6 at byte 171 is corrupt"):
        scan_shard(shard)
