"""What a folder, a CSV file and records have to offer."""

from __future__ import annotations

import json

import pytest

from daaf_tf import schema
from daaf_tf.data.records import ImageRecord, ShardWriter, make_example, shard_name
from daaf_tf.errors import UserError
from daaf_tf.serving import sources
from daaf_tf.serving.sources import SourceImage


def touch(*paths):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(path.name.encode())


def write_records(folder, dataset, images):
    """Write a gallery split of (file name, person, camera)."""
    folder.mkdir(exist_ok=True)
    with ShardWriter(folder / shard_name("gallery", 0, 1)) as shard:
        for name, person_id, camera_id in images:
            record = ImageRecord(name.encode(), "jpeg", name, 8, 4, person_id, camera_id)
            shard.write(make_example(record))
    split = {"images": len(images), "shards": [shard.summary()]}
    manifest = {"schema_version": schema.SCHEMA_VERSION, "dataset": dataset}
    (folder / "manifest.json").write_text(json.dumps({**manifest, "splits": {"gallery": split}}))
    return folder


def test_a_folder_is_listed_with_all_below_it(tmp_path):
    touch(tmp_path / "b.JPG", tmp_path / "deep" / "er" / "a.png", tmp_path / "a.jpeg")
    touch(tmp_path / "notes.txt", tmp_path / "deep" / "c.gif")
    source = sources.list_folder(tmp_path)
    assert source.images == [SourceImage(p) for p in ("a.jpeg", "b.JPG", "deep/er/a.png")]
    assert source.description == {"folder": str(tmp_path)}
    reader = sources.SourceReader(source.description)
    assert reader.read("deep/er/a.png", None) == b"a.png"


def test_a_folder_is_known_by_its_absolute_path(tmp_path, monkeypatch):
    touch(tmp_path / "images" / "a.jpg")
    monkeypatch.chdir(tmp_path)
    assert sources.list_folder("images").folder == str(tmp_path / "images")


def test_folders_that_are_none(tmp_path):
    with pytest.raises(UserError, match="nowhere: expected a folder of images"):
        sources.list_folder(tmp_path / "nowhere")
    with pytest.raises(UserError, match="no .jpg or .jpeg or .png file in it"):
        sources.list_folder(tmp_path)


def test_a_csv_names_images_and_persons(tmp_path):
    lines = ["path,person_id,camera_id,split", "a.jpg,1,7,query", "b.jpg,2,,gallery"]
    lines += ["c.jpg,-1,7,gallery", "d.jpg,x,7,gallery", "a.jpg,1,7,multi_query"]
    (tmp_path / "people.csv").write_text("\n".join(lines))
    source = sources.list_csv(tmp_path / "people.csv", tmp_path)
    assert source.images == [SourceImage("a.jpg", 1, 7), SourceImage("b.jpg", 2, None)]
    assert source.junk == 1
    (problem,) = source.problems
    assert "people.csv, line 5: person_id 'x', expected a whole number" in problem
    gallery = sources.list_csv(tmp_path / "people.csv", tmp_path, "gallery")
    assert gallery.images == [SourceImage("b.jpg", 2, None)]
    with pytest.raises(UserError, match="people.csv: no line of split train; .*line 5"):
        sources.list_csv(tmp_path / "people.csv", tmp_path, "train")


IMAGES = [("a.jpg", 3, 1), ("b.jpg", 0, 2), ("c.jpg", -1, 1), ("d.jpg", 4, -17)]


@pytest.mark.parametrize(("dataset", "zero"), [("market1501", None), ("csv", 0)])
def test_records_tell_persons_junk_and_distractors(tmp_path, dataset, zero):
    source = sources.list_records(write_records(tmp_path / "R", dataset, IMAGES), "gallery")
    assert source.images == [
        SourceImage("a.jpg", 3, 1, 0),
        SourceImage("b.jpg", zero, 2, 1),
        SourceImage("d.jpg", 4, None, 3),
    ]
    assert source.junk == 1
    assert source.description == {"folder": str(tmp_path / "R"), "split": "gallery"}
    assert sources.SourceReader(source.description).read("d.jpg", 3) == b"d.jpg"


def test_records_that_have_changed_since(tmp_path):
    source = sources.list_records(write_records(tmp_path / "R", "csv", IMAGES), "gallery")
    write_records(tmp_path / "R", "csv", IMAGES[::-1][:3])
    reader = sources.SourceReader(source.description)
    for image in (source.images[0], source.images[2]):
        with pytest.raises(UserError, match=r"record \d of gallery is ..jpg no more; add it again"):
            reader.read(image.path, image.position)


def test_records_that_are_none(tmp_path):
    with pytest.raises(UserError, match="no such folder"):
        sources.list_records(tmp_path / "R", "gallery")
    write_records(tmp_path / "R", "csv", IMAGES[2:3])
    with pytest.raises(UserError, match="no person on any image of split gallery"):
        sources.list_records(tmp_path / "R", "gallery")
    with pytest.raises(UserError, match="no split 'query'"):
        sources.list_records(tmp_path / "R", "query")


def test_paths_may_be_files_and_folders(tmp_path, monkeypatch):
    touch(tmp_path / "folder" / "a.jpg", tmp_path / "b.any")
    monkeypatch.chdir(tmp_path)
    source = sources.list_paths(["b.any", "folder", "missing.jpg"])
    assert [image.path for image in source.images] == ["b.any", "folder/a.jpg", "missing.jpg"]
    reader = sources.SourceReader(source.description)
    assert reader.read("folder/a.jpg", None) == b"a.jpg"
    with pytest.raises(UserError, match="^missing.jpg: cannot be read .No such file"):
        reader.read("missing.jpg", None)


def test_a_file_that_is_no_picture_of_a_person(tmp_path):
    with open(tmp_path / "huge.jpg", "wb") as file:
        file.truncate(100_000_000)
    reader = sources.SourceReader({"folder": str(tmp_path)})
    with pytest.raises(UserError, match="huge.jpg: 100,000,000 bytes are no picture"):
        reader.read("huge.jpg", None)
    with pytest.raises(UserError, match="cannot be read"):
        reader.read("a\0b.jpg", None)
