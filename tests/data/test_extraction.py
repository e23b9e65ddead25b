from __future__ import annotations

import hashlib
import json

import pytest
from tiny_market import GALLERY, QUERY, TRAIN, draw_image, draw_market

from daaf_tf.data.conversion import Conversion, convert
from daaf_tf.data.example import ImageRecord, make_example
from daaf_tf.data.extraction import extract_images
from daaf_tf.data.records import ShardWriter
from daaf_tf.errors import UserError


def write_records(folder, names) -> None:
    """Write one query record for each file name; the image is the name itself."""
    folder.mkdir()
    with ShardWriter(folder / "query-00000-of-00001.tfrecord") as writer:
        for name in names:
            writer.write(make_example(ImageRecord(name.encode(), "png", name, 1, 1, 2, 1)))
    split = {"images": len(names), "shards": [writer.summary()]}
    manifest = {"schema_version": 1, "splits": {"query": split}}
    (folder / "manifest.json").write_text(json.dumps(manifest))


def extract(folder, **options) -> int:
    return extract_images(folder / "R", folder / "out", show_progress=False, **options)


def left(folder) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_extracted_files_are_those_of_the_source(tmp_path):
    root = draw_market(tmp_path / "data")
    draw_image(root / QUERY / "0006_c1s1_000001_00 ü.png", 5)
    convert(
        Conversion("market1501", str(root), str(tmp_path / "R"), workers=1), show_progress=False
    )
    assert extract(tmp_path) == 14
    for split, source in (("train", TRAIN), ("query", QUERY), ("gallery", GALLERY)):
        files = {path.name: path.read_bytes() for path in (tmp_path / "out" / split).iterdir()}
        images = (path for path in (root / source).iterdir() if path.name != "Thumbs.db")
        assert files == {path.name: path.read_bytes() for path in images}


def test_names_below_folders_are_kept(tmp_path):
    names = ["a/b/0001.png", "a/0001.png", "ü ber/..x.png", "-rf"]
    write_records(tmp_path / "R", names)
    assert extract(tmp_path) == 4
    assert all((tmp_path / "out/query" / name).read_text() == name for name in names)


@pytest.mark.parametrize(
    "name", ["../a.png", "/etc/a.png", "a/../../b.png", "a//b.png", "", ".", "a/", "./a", "a\0b"]
)
def test_unsafe_name_is_refused_and_nothing_is_left(tmp_path, name):
    write_records(tmp_path / "R", ["good.png", name])
    with pytest.raises(UserError, match="query, record 1: unsafe file name"):
        extract(tmp_path)
    assert left(tmp_path) == {"R"}


def test_name_that_occurs_twice_is_refused(tmp_path):
    write_records(tmp_path / "R", ["a.png", "a.png"])
    with pytest.raises(UserError, match="record 1: file name 'a.png' occurs twice"):
        extract(tmp_path)
    assert left(tmp_path) == {"R"}


def test_folder_with_something_in_it_is_left_alone(tmp_path):
    write_records(tmp_path / "R", ["a.png"])
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("mine")
    with pytest.raises(UserError, match="is not empty"):
        extract(tmp_path)
    assert left(tmp_path / "out") == {"mine"}
    (tmp_path / "out" / "mine").unlink()
    assert extract(tmp_path) == 1


def test_corrupt_record_leaves_nothing(tmp_path):
    write_records(tmp_path / "R", ["a.png", "b.png"])
    shard = tmp_path / "R" / "query-00000-of-00001.tfrecord"
    data = bytearray(shard.read_bytes())
    data[-20] ^= 1
    shard.write_bytes(data)
    with pytest.raises(UserError, match="record 1 is corrupt"):
        extract(tmp_path)
    assert left(tmp_path) == {"R"}


def test_image_that_is_not_the_hashed_one_is_refused(tmp_path):
    write_records(tmp_path / "R", ["a.png"])
    with ShardWriter(tmp_path / "R" / "query-00000-of-00001.tfrecord") as writer:
        good = make_example(ImageRecord(b"pixels", "png", "a.png", 1, 1, 2, 1))
        writer.write(good.replace(b"pixels", b"pixelz"))
    assert hashlib.sha256(b"pixels").hexdigest().encode() in good
    split = {"images": 1, "shards": [writer.summary()]}
    manifest = {"schema_version": 1, "splits": {"query": split}}
    (tmp_path / "R" / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(UserError, match="not the one that image/key/sha256"):
        extract(tmp_path)
    assert left(tmp_path) == {"R"}


def test_split_that_the_manifest_invents_is_refused(tmp_path):
    write_records(tmp_path / "R", ["a.png"])
    path = tmp_path / "R" / "manifest.json"
    path.write_text(path.read_text().replace('"query"', '"../query"'))
    with pytest.raises(UserError, match="expected splits of train, query, gallery"):
        extract(tmp_path)
    assert left(tmp_path) == {"R"}
