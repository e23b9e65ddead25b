from __future__ import annotations

import errno
import json
import os

import pytest

from daaf_tf.data.output import STAGING, OutputFolder, writing
from daaf_tf.errors import UserError

SHARD = "train-00000-of-00001.tfrecord"
INDEX = "train-00000-of-00001.index"


def manifest(mark: str) -> dict:
    splits = {"train": {"shards": [{"file": SHARD}]}}
    return {"schema_version": 1, "mark": mark, "splits": splits}


def fill(folder, mark: str, overwrite: bool = False) -> None:
    """Convert, in as many words: every file holds `mark`."""
    with OutputFolder(folder, overwrite) as output:
        names = ["problems.json", SHARD, INDEX]
        for name in names:
            (output.staging / name).write_text(mark)
        output.publish(names, manifest(mark))


def content(folder) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def expected(mark: str) -> dict[str, str]:
    files = dict.fromkeys(("problems.json", SHARD, INDEX), mark)
    return {**files, "manifest.json": json.dumps(manifest(mark), indent=1) + "\n"}


@pytest.mark.parametrize("exists", [True, False])
def test_new_or_empty_folder_is_filled(tmp_path, exists):
    folder = tmp_path / "a" / "b"
    if exists:
        folder.mkdir(parents=True)
    fill(folder, "new")
    assert content(folder) == expected("new")


def test_complete_conversion_is_replaced_only_if_told_so(tmp_path):
    fill(tmp_path, "old")
    with pytest.raises(UserError, match=r"complete conversion.*--overwrite"):
        fill(tmp_path, "new")
    assert content(tmp_path) == expected("old")
    fill(tmp_path, "new", overwrite=True)
    assert content(tmp_path) == expected("new")


def test_overwriting_keeps_what_is_not_ours(tmp_path):
    fill(tmp_path, "old")
    (tmp_path / "notes.txt").write_text("mine")
    fill(tmp_path, "new", overwrite=True)
    assert content(tmp_path) == {**expected("new"), "notes.txt": "mine"}


@pytest.mark.parametrize("name", ["notes.txt", SHARD, "problems.json", ".hidden"])
@pytest.mark.parametrize("overwrite", [True, False])
def test_foreign_files_are_refused_and_kept(tmp_path, name, overwrite):
    (tmp_path / name).write_text("mine")
    with pytest.raises(UserError, match=f"holds 1 other files, for example '{name}'"):
        fill(tmp_path, "new", overwrite)
    assert content(tmp_path) == {name: "mine"}


def test_foreign_file_beside_an_interrupted_conversion_is_refused_and_kept(tmp_path):
    (tmp_path / STAGING).mkdir()
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="'notes.txt'"):
        fill(tmp_path, "new")
    assert (tmp_path / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("published", [[], [INDEX], [INDEX, SHARD, "problems.json"]])
def test_interrupted_conversion_is_started_afresh(tmp_path, published):
    (tmp_path / STAGING).mkdir()
    (tmp_path / STAGING / f".{SHARD}.tmp").write_text("half")
    (tmp_path / ".daaf_tf.lock").touch()
    for name in published:
        (tmp_path / name).write_text("half")
    fill(tmp_path, "new")
    assert content(tmp_path) == expected("new")


def test_failure_leaves_an_old_conversion_as_it_was(tmp_path):
    fill(tmp_path, "old")
    with pytest.raises(TypeError), OutputFolder(tmp_path, overwrite=True) as output:
        (output.staging / SHARD).write_bytes("no bytes")
    assert content(tmp_path) == expected("old")


def test_failure_leaves_no_new_folder(tmp_path):
    with pytest.raises(TypeError), OutputFolder(tmp_path / "R", overwrite=False) as output:
        (output.staging / SHARD).write_bytes("no bytes")
    assert not (tmp_path / "R").exists()


def test_manifest_that_finds_no_room_does_not_touch_the_old_conversion(tmp_path, monkeypatch):
    fill(tmp_path, "old")

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="No space left"):
        fill(tmp_path, "new", overwrite=True)
    assert content(tmp_path) == expected("old")


def test_rival_is_refused_while_the_folder_is_locked(tmp_path):
    with OutputFolder(tmp_path, overwrite=False) as output:
        (output.staging / SHARD).write_text("mine")
        with pytest.raises(UserError, match="another conversion is writing there"):
            fill(tmp_path, "rival")
        assert (output.staging / SHARD).read_text() == "mine"
    fill(tmp_path, "rival")
    assert content(tmp_path) == expected("rival")


def test_file_in_the_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match="is a file, expected a folder"):
        fill(tmp_path / "file", "new")
    with pytest.raises(UserError, match=r"cannot write to .*Not a directory"):
        fill(tmp_path / "file" / "below", "new")
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize(
    "text", ['{"schema_version": 1}', "{", '{"schema_version": 1, "splits": 3}']
)
def test_folder_of_another_manifest_is_not_overwritten(tmp_path, text):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(UserError, match="manifest.json is of no conversion"):
        fill(tmp_path, "new", overwrite=True)
    assert content(tmp_path) == {"manifest.json": text}


def test_conversion_of_an_older_schema_can_be_overwritten(tmp_path):
    fill(tmp_path, "old")
    old = {**manifest("old"), "schema_version": 0}
    (tmp_path / "manifest.json").write_text(json.dumps(old))
    fill(tmp_path, "new", overwrite=True)
    assert content(tmp_path) == expected("new")


def test_refusal_of_the_file_system_is_told_in_one_line():
    with (
        pytest.raises(UserError, match=r"cannot write to R: No space left.*make room"),
        writing("R"),
    ):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
