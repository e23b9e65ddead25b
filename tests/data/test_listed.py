"""Lists of images: what is understood, and what is refused with its line."""

from __future__ import annotations

import pytest

from daaf_tf.data.listed import read_csv, read_list
from daaf_tf.errors import UserError


@pytest.fixture
def root(tmp_path):
    """Return a data root beside which lies a folder that is none of its business."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "x.jpg").touch()
    (tmp_path / "data" / "crops").mkdir(parents=True)
    return tmp_path / "data"


def read(root, content: str | bytes):
    path = root / "people.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_csv(path, root)


def rows(root, content: str | bytes) -> list[tuple]:
    found = read(root, content)
    assert not found.faults
    return [(i.line, i.split, i.path, i.person_id, i.camera_id) for i in found.images]


FULL = "path,person_id,camera_id,split\na.jpg,7,12,train\nb/c.png,0,0,query\n"
FULL_ROWS = [(2, "train", "a.jpg", 7, 12), (3, "query", "b/c.png", 0, 0)]


@pytest.mark.parametrize(
    "content",
    [
        FULL,
        FULL.rstrip("\n"),
        FULL.replace("\n", "\r\n"),
        FULL.replace("\n", "\r"),
        b"\xef\xbb\xbf" + FULL.encode(),
        FULL.replace(",", ", "),
        FULL.replace("a.jpg", '"a.jpg"'),
        FULL.replace("a.jpg", "./a.jpg").replace("b/c", "b//c"),
        FULL + "\n,,,\n",
    ],
    ids=["lf", "no_last_end", "crlf", "cr", "bom", "blanks", "quotes", "dots", "empty_rows"],
)
def test_every_way_to_write_a_csv_is_read_alike(root, content):
    assert rows(root, content) == FULL_ROWS


def test_columns_come_in_any_order_and_others_are_told(root):
    content = "note,person_id,colour,path\nold,3,red,a.jpg\n"
    assert rows(root, content) == [(2, "train", "a.jpg", 3, None)]
    assert "columns not used: note, colour" in read(root, content).notes


@pytest.mark.parametrize(
    "name", ["zoë und bär.jpg", "名前.png", 'a "b".jpg', "a,b.jpg", "a\nb.jpg"]
)
def test_names_of_all_kinds_are_read(root, name):
    quoted = name.replace('"', '""')
    ((_, _, path, _, _),) = rows(root, f'path,person_id\n"{quoted}",1\n')
    assert path == name


def test_missing_cameras_and_splits_are_noted(root):
    found = read(root, "path,person_id\na.jpg,1\nb.jpg,2\n")
    assert [image.camera_id for image in found.images] == [None, None]
    assert found.notes[0].startswith("no column camera_id: each such image is its own camera")
    assert found.notes[1:] == ["no column split: all images are for training"]
    found = read(root, "path,person_id,camera_id,split\na.jpg,1,,query\nb.jpg,2,5,gallery\n")
    assert [image.camera_id for image in found.images] == [None, 5]
    (note,) = found.notes
    assert note.startswith("1 images without a camera_id")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("../elsewhere/x.jpg,1,1,train", "path '../elsewhere/x.jpg' has .. in it"),
        ("crops/../a.jpg,1,1,train", "has .. in it"),
        ("..,1,1,train", "has .. in it"),
        ("/elsewhere/x.jpg,1,1,train", "path '/elsewhere/x.jpg', expected one below"),
        (",1,1,train", "no path"),
        ("link.jpg,1,1,train", "path 'link.jpg' is a link that leaves"),
        ("folder/x.jpg,1,1,train", "path 'folder/x.jpg' is a link that leaves"),
        ("a.jpg,one,1,train", "person_id 'one', expected a whole number"),
        ("a.jpg,1.0,1,train", "person_id '1.0', expected a whole number"),
        ("a.jpg,,1,train", "person_id '', expected a whole number"),
        ("a.jpg,٢,1,train", "expected a whole number"),
        ("a.jpg,9999999999999999999,1,train", "expected a whole number"),
        ("a.jpg,1,c1,train", "camera_id 'c1', expected a whole number"),
        ("a.jpg,1,-2,train", "camera_id -2, expected 0 or more, or nothing"),
        ("a.jpg,1,1,test", "split 'test', expected train or query or gallery or multi_query"),
        ("a.jpg,1,1,", "split '', expected"),
        ("a.jpg,1,1", "3 cells, expected 4"),
        ("a.jpg,1,1,train,x", "5 cells, expected 4"),
        ("first.jpg,1,1,train", "first.jpg is listed in line 2 already"),
        ("./first.jpg,2,1,gallery", "first.jpg is listed in line 2 already"),
    ],
)
def test_line_that_cannot_be_used_is_named_with_its_reason(root, line, reason):
    (root / "link.jpg").symlink_to(root.parent / "elsewhere" / "x.jpg")
    (root / "folder").symlink_to(root.parent / "elsewhere")
    head = "path,person_id,camera_id,split\nfirst.jpg,1,1,train\n"
    found = read(root, f"{head}{line}\nlast.jpg,1,1,train\n")
    ((number, split, told),) = found.faults
    assert number == 3
    assert split in ("", *line.split(",")[3:4])
    assert reason in told
    assert [image.path for image in found.images] == ["first.jpg", "last.jpg"]


def test_links_inside_the_root_are_followed(root):
    (root / "crops" / "a.jpg").touch()
    (root / "b.jpg").symlink_to("crops/a.jpg")
    (root / "more").symlink_to("crops")
    (root.parent / "linked_root").symlink_to(root)
    content = "path,person_id\nb.jpg,1\nmore/a.jpg,1\n"
    assert len(rows(root, content)) == 2
    assert not read_csv(root / "people.csv", root.parent / "linked_root").faults


def test_query_may_also_stand_for_its_person_in_a_multiple_query(root):
    assert len(rows(root, "path,person_id,split\na.jpg,1,query\na.jpg,1,multi_query\n")) == 2


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty, expected a line for each image"),
        (b"\xef\xbb\xbf\r\n \n", "empty, expected a line for each image"),
        ("path,person_id\n", "no line after the header"),
        ("path,camera_id\na.jpg,1\n", "line 1: no column person_id; expected path,person_id"),
        ("a.jpg,1\n", "line 1: no column path and no column person_id; .*found 'a.jpg,1'"),
        ("path;person_id\na.jpg;1\n", "separate columns by commas"),
        ("path,person_id,path\na,1,b\n", "line 1: column 'path' is there more than once"),
        ("path,person_id\na.jpg,1\nb.jpg,2\n".encode("utf-16"), "not UTF-8"),
        (b"path,person_id\na.jpg,1\nb\xe4.jpg,2\n", "line 3: not UTF-8"),
        (b"path,person_id\na\0.jpg,1\n", "line 2: a zero byte"),
        ('path,person_id\na.jpg,1\n"b.jpg,2\n', "line 3: no CSV"),
        ("path,person_id\n" + "a" * 200_000 + ",1\n", "line 2: no CSV"),
    ],
)
def test_file_that_is_no_list_is_refused(root, content, reason):
    with pytest.raises(UserError, match=rf"people\.csv.*{reason}"):
        read(root, content)


def test_missing_file_is_refused(root):
    with pytest.raises(UserError, match=r"nowhere\.csv: No such file.*expected a list of images"):
        read_csv(root / "nowhere.csv", root)


def test_list_without_header_is_read(root):
    path = root / "list.txt"
    path.write_text("0000/0000_000_01_a b_0.jpg 0\n\n0001/x.jpg one\n../y.jpg 2\n0001/z.jpg 1")
    found = read_list(path, "train", root)
    assert [(i.line, i.path, i.person_id, i.camera_id) for i in found.images] == [
        (1, "0000/0000_000_01_a b_0.jpg", 0, None),
        (5, "0001/z.jpg", 1, None),
    ]
    assert [(line, split) for line, split, _ in found.faults] == [(3, "train"), (4, "train")]
    assert "person 'one', expected a whole number" in found.faults[0][2]
    assert "has .. in it" in found.faults[1][2]
