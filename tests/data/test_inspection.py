from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil

import numpy as np
import pytest
from tiny_market import draw_market

from daaf_tf import schema
from daaf_tf.data.conversion import Conversion, convert
from daaf_tf.data.example import make_example, parse_record
from daaf_tf.data.inspection import inspect_records
from daaf_tf.data.inspection_report import format_inspection
from daaf_tf.data.records import RecordReader, ShardWriter, index_path, read_manifest
from daaf_tf.errors import UserError

SHARD = "train-00000-of-00001.tfrecord"


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inspection")
    root = draw_market(folder / "data")
    convert(Conversion("market1501", str(root), str(folder / "R"), workers=1), show_progress=False)
    return folder / "R"


@pytest.fixture
def folder(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "R")


def inspect(folder, **options):
    return inspect_records(folder, num_workers=1, show_progress=False, **options)


def rewrite(folder, change) -> None:
    """Write the training shard again with `change(record, label)`, and the manifest to fit it."""
    reader = RecordReader(folder, "train")
    records = [parse_record(data) for data in reader.read_many(range(reader.num_images))]
    with ShardWriter(folder / SHARD) as writer:
        for record, label in records:
            writer.write(change(record, label))
    manifest = read_manifest(folder)
    manifest["splits"]["train"]["shards"] = [writer.summary()]
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_whole_records_have_no_fault_and_the_counts_of_the_manifest(whole):
    inspection = inspect(whole, num_samples=3)
    assert inspection.faults == []
    for split, entry in inspection.manifest["splits"].items():
        counts = {name: value for name, value in entry.items() if name != "shards"}
        assert inspection.found[split] == counts
    assert {split: len(records) for split, records in inspection.samples.items()} == {
        "train": 3, "query": 2, "gallery": 3,
    }  # fmt: skip


def test_number_of_workers_changes_nothing(whole):
    one, two = (inspect_records(whole, num_workers=count, show_progress=False) for count in (1, 2))
    assert one.found == two.found
    assert [r.filename for r in one.samples["gallery"]] == [
        r.filename for r in two.samples["gallery"]
    ]


def test_only_the_split_that_was_asked_for_is_read(folder):
    (folder / SHARD).unlink()
    assert list(inspect(folder, splits=["query"]).found) == ["query"]
    assert not inspect(folder, splits=["query"]).faults
    with pytest.raises(UserError, match="no split 'test'; there is train, query, gallery"):
        inspect(folder, splits=["test"])


def test_any_flipped_byte_of_a_shard_is_found(folder):
    """Every 97th byte here; the test of the reader flips each."""
    data = (folder / SHARD).read_bytes()
    ends = np.loadtxt(index_path(folder / SHARD), dtype=int).sum(axis=1)
    for byte in range(0, len(data), 97):
        (folder / SHARD).write_bytes(data[:byte] + bytes([data[byte] ^ 16]) + data[byte + 1 :])
        inspection = inspect(folder, splits=["train"])
        record = int(np.searchsorted(ends, byte, side="right"))
        named = [fault for fault in inspection.faults if fault.record is not None]
        assert [(fault.file, fault.record) for fault in named] == [(SHARD, record)]
        assert any("SHA-256" in fault.reason for fault in inspection.faults)
        assert inspection.found["train"]["images"] == 5


def test_all_faults_are_listed_not_the_first(folder):
    data = bytearray((folder / SHARD).read_bytes())
    offsets, lengths = np.loadtxt(index_path(folder / SHARD), dtype=int).T
    for record in (1, 4):
        data[offsets[record] + lengths[record] // 2] ^= 1
    (folder / SHARD).write_bytes(data)
    os.truncate(folder / "gallery-00000-of-00001.tfrecord", 100)
    index_path(folder / "query-00000-of-00001.tfrecord").write_text("1 2\n")
    text = format_inspection(inspect(folder), folder)
    for fault in (
        f"{SHARD}: record 1: wrong checksum",
        f"{SHARD}: record 4: wrong checksum",
        f"{SHARD}: its SHA-256 is not the one in manifest.json",
        "gallery-00000-of-00001.tfrecord: 100 bytes, expected",
        "query-00000-of-00001.index: 2 numbers, expected 4",
    ):
        assert f"  {fault}" in text
    assert "6 records in 3 shards" in text
    assert "manifest.json: wrong" not in text


def test_missing_shard_is_a_fault_and_the_others_are_read(folder):
    (folder / SHARD).unlink()
    inspection = inspect(folder)
    assert (inspection.faults[-1].file, inspection.faults[-1].record) == (SHARD, None)
    assert "No such file" in inspection.faults[-1].reason
    assert inspection.found["gallery"]["images"] == 5


def other(**values):
    return lambda record, label: make_example(dataclasses.replace(record, **values), label)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda record, label: b"\xff\xff", "no tf.train.Example"),
        (lambda record, label: b"", "image/encoded: 0 values in its bytes_list, expected 1"),
        (
            lambda record, label: make_example(record, label).replace(b"JFIF", b"JFXX"),
            "not the one that image/key/sha256",
        ),
        (lambda record, label: make_example(record, label + 1), "label 1, expected 0"),
        (lambda record, label: make_example(record), "label -1, expected 0"),
        (other(encoded=b"text"), "no JPEG or PNG"),
        (other(height=31), r"image is \('jpeg', 32, 16\).*'jpeg', 31, 16"),
        (other(image_format="png"), r"\('png', 32, 16\)"),
        (other(mask=b"text"), "mask cannot be decoded"),
        (other(heatmaps=b""), "heat maps cannot be decoded"),
        (other(keypoints=np.full((17, 3), np.nan, np.float32)), "no finite number"),
        (other(keypoints=np.zeros((16, 3), np.float32)), "keypoint/x: 16 values.*expected 17"),
        (other(person_id=3), "wrong person_ids of train"),
        (other(camera_id=1), "wrong cameras of train"),
        (other(mask=None), "wrong masks of train: 6, the records hold 0"),
    ],
)
def test_record_with_right_checksums_and_wrong_content_is_found(folder, change, reason):
    rewrite(folder, change)
    assert re.search(reason, "\n".join(map(str, inspect(folder).faults)))


def test_mask_of_another_image_is_found(folder):
    """A whole mask, but as large as the stack of maps."""
    rewrite(folder, lambda r, label: make_example(dataclasses.replace(r, mask=r.heatmaps), label))
    assert "mask has" in str(inspect(folder).faults)


def test_parsed_record_is_what_was_written(whole):
    reader = RecordReader(whole, "train")
    for position in range(reader.num_images):
        serialized = reader.read(position)
        assert make_example(*parse_record(serialized)) == serialized
    record, label = parse_record(RecordReader(whole, "gallery").read(0))
    assert (record.keypoints, record.heatmaps, label) == (None, None, schema.NO_LABEL)
