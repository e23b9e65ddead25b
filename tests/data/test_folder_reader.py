"""A folder read as records: the same bytes as its conversion, and bad files named."""

from __future__ import annotations

import pytest
from tiny_market import QUERY, draw_market

from daaf_tf.data.coco import without_folders
from daaf_tf.data.conversion import Conversion, convert
from daaf_tf.data.datasets import DATASETS
from daaf_tf.data.folder_reader import FolderReader
from daaf_tf.data.listing import list_images
from daaf_tf.data.records import RecordReader
from daaf_tf.errors import UserError


@pytest.fixture
def root(tmp_path):
    return draw_market(tmp_path / "folders", annotated=False)


def open_split(root, split, *, strict=False):
    files = list_images(without_folders(DATASETS["market1501"]), root).images[split]
    return FolderReader(files, root, strict=strict)


@pytest.mark.parametrize("split", ["query", "gallery"])
def test_gives_the_very_records_of_the_conversion(root, tmp_path, split):
    output = tmp_path / "records"
    convert(Conversion("market1501", str(root), str(output), workers=1), show_progress=False)
    records, folder = RecordReader(output, split), open_split(root, split)
    assert folder.num_images == records.num_images > 1
    positions = range(records.num_images)
    assert folder.read_many(positions) == records.read_many(positions)
    assert folder.list_usable() == list(positions)


def test_a_bad_image_is_left_out_and_noted_once(root):
    bad = sorted((root / QUERY).glob("*.jpg"))[0]
    bad.write_bytes(bad.read_bytes()[:100])
    reader = open_split(root, "query")
    for _ in range(2):
        assert len(reader.read_many([0, 1])) == 1
    assert list(reader.problems) == [0]
    assert reader.problems[0].file == f"{QUERY}/{bad.name}"
    assert reader.list_usable() == [1]


def test_strict_stops_at_a_bad_image(root):
    bad = sorted((root / QUERY).glob("*.jpg"))[0]
    bad.write_bytes(b"")
    reader = open_split(root, "query", strict=True)
    assert len(reader.read_many([1])) == 1
    with pytest.raises(UserError, match=rf"{bad.name}: .*--strict"):
        reader.read_many([1, 0])
