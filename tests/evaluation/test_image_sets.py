"""Data sets that are still to be embedded: records and plain folders."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from PIL import Image
from tiny_market import GALLERY, QUERY, TRAIN, draw_image, draw_market

from daaf_tf.data.conversion import Conversion, convert
from daaf_tf.errors import UserError
from daaf_tf.evaluation.image_sets import open_folder, open_records
from daaf_tf.evaluation.tables import format_problems

SPLITS = ("query", "gallery")


@pytest.fixture
def root(tmp_path):
    return draw_market(tmp_path / "folders", annotated=False)


def read_all(images):
    """Read what would be embedded, as the sources do."""
    return {
        split: reader.read_many(range(reader.num_images))
        for split, reader in images.readers.items()
    }


def read_pixels(path):
    return np.asarray(Image.open(path).convert("RGB"))


def test_records_and_their_folders_hold_the_same(root, tmp_path):
    output = tmp_path / "records"
    convert(Conversion("market1501", str(root), str(output), workers=1), show_progress=False)
    records = open_records(str(output), SPLITS)
    folder = open_folder("market1501", root, SPLITS)
    assert read_all(records) == read_all(folder)
    assert (records.data_dir, folder.data_dir) == (str(output), "")
    assert format_problems(records) == format_problems(folder) == []
    for images in (records, folder):
        for number, path in enumerate(sorted((root / GALLERY).glob("*.jpg"))):
            np.testing.assert_array_equal(images.read_image("gallery", number), read_pixels(path))


def test_only_the_splits_that_are_asked_for_need_be_there(root):
    shutil.rmtree(root / TRAIN)
    assert list(open_folder("market1501", root, SPLITS).readers) == list(SPLITS)
    with pytest.raises(UserError, match="no images of the split multi_query"):
        open_folder("market1501", root, (*SPLITS, "multi_query"))
    shutil.rmtree(root / QUERY)
    with pytest.raises(UserError, match="expected a folder query with query images"):
        open_folder("market1501", root, SPLITS)


def test_the_split_of_a_multiple_query(root):
    draw_image(root / "Market-1501/gt_bbox/0004_c1s1_000009_00.jpg", 9)
    images = open_folder("market1501", root, (*SPLITS, "multi_query"))
    assert images.readers["multi_query"].num_images == 1


def test_bad_files_are_named_and_images_keep_their_places(root):
    names = sorted((root / GALLERY).glob("*.jpg"))
    names[1].write_bytes(b"no image")
    (root / QUERY / "somebody.jpg").write_bytes(names[0].read_bytes())
    (root / TRAIN / "of no concern.jpg").write_bytes(b"")
    images = open_folder("market1501", root, SPLITS)
    read_all(images)
    assert [problem.file.split("/")[-1] for problem in images.list_problems()] == [
        "somebody.jpg",
        names[1].name,
    ]
    lines = format_problems(images)
    assert "images that could not be used: 2 " in lines[0]
    assert "name not understood" in lines[1]
    assert names[1].name in lines[2]
    np.testing.assert_array_equal(images.read_image("gallery", 1), read_pixels(names[2]))


def test_strict_stops(root):
    (root / QUERY / "somebody.jpg").write_bytes(b"")
    with pytest.raises(UserError, match=r"somebody\.jpg: name not understood.*--strict"):
        open_folder("market1501", root, SPLITS, strict=True)


def test_an_image_that_is_gone_is_named(root):
    images = open_folder("market1501", root, SPLITS)
    (first, *_) = sorted((root / QUERY).glob("*.jpg"))
    first.unlink()
    with pytest.raises(UserError, match="image 0 of query"):
        images.read_image("query", 0)


def test_a_csv(root, tmp_path):
    names = [f"{GALLERY}/{path.name}" for path in sorted((root / GALLERY).glob("*.jpg"))]
    rows = [f"{names[0]},5,1,query", f"{names[1]},5,2,gallery", f"{names[2]},6,,gallery"]
    table = tmp_path / "people.csv"
    table.write_text("\n".join(["path,person_id,camera_id,split", *rows]))
    images = open_folder("csv", root, SPLITS, csv_file=str(table))
    assert images.readers["gallery"].num_images == 2
    assert str(table) in images.name
    table.write_text("\n".join(["path,person_id,camera_id,split", *rows[1:]]))
    with pytest.raises(UserError, match="no images of the split query"):
        open_folder("csv", root, SPLITS, csv_file=str(table))


def test_records_without_a_split(root, tmp_path):
    output = tmp_path / "records"
    convert(Conversion("market1501", str(root), str(output), workers=1), show_progress=False)
    with pytest.raises(UserError, match="no split 'multi_query'"):
        open_records(str(output), (*SPLITS, "multi_query"))
