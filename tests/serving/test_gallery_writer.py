"""Changing a gallery: whole or not at all, whoever is killed and whoever else is writing."""

from __future__ import annotations

import os
import pathlib
import resource
import signal
import subprocess
import sys
import time

import pytest
from drawn_gallery import DrawnModel, add, build, draw, write_images

from daaf_tf.errors import UserError
from daaf_tf.serving import gallery_files, gallery_writer, open_gallery, sources
from daaf_tf.serving.gallery import prepare

# Changes a gallery in a process that kills itself: at the n-th time that a function is called,
# before or after the call.
KILLED = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
import drawn_gallery
from daaf_tf.serving import gallery_files, gallery_writer

folder, more, action, name, times, when = sys.argv[2:]
owner = gallery_files.Appender if hasattr(gallery_files.Appender, name) else os
called = getattr(owner, name)
left = int(times)

def kill_at_last(*args, **options):
    global left
    left -= 1
    if not left and when == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    result = called(*args, **options)
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
    return result

setattr(owner, name, kill_at_last)
model = drawn_gallery.DrawnModel.__new__(drawn_gallery.DrawnModel)
model.path = drawn_gallery.pathlib.Path(folder).parent / "model"
options = {"replace": True} if action == "replace" else {}
if action == "build":
    drawn_gallery.build(folder, more, model, overwrite=True)
elif action == "remove":
    gallery_writer.remove_images(folder, ids=[1, 2])
else:
    drawn_gallery.add(folder, more, model, **options)
"""


@pytest.fixture
def model(tmp_path):
    return DrawnModel(tmp_path / "model")


@pytest.fixture
def images(tmp_path):
    return write_images(tmp_path / "images", range(20))


@pytest.fixture
def folder(tmp_path, images, model):
    build(tmp_path / "gallery", images, model)
    return tmp_path / "gallery"


def check(folder, model, seeds):
    """Hold a gallery against the seeds of its images, by their ids."""
    gallery = open_gallery(folder, model)
    assert {entry.id: entry.path for entry in gallery.entries} == {
        number: f"{seed:06}.jpg" for number, seed in seeds.items()
    }
    for number, hits in zip(seeds, gallery.search([b"%d" % seed for seed in seeds.values()], 1)):
        assert (hits[0].id, hits[0].distance) == (number, pytest.approx(0, abs=1e-6))


def counted(seeds, start=0):
    return dict(enumerate(seeds, start=start))


def names(folder):
    return sorted(os.listdir(folder))


def test_images_are_added_behind_the_others(folder, model, tmp_path):
    assert add(folder, write_images(tmp_path / "more", range(50, 55)), model) == 5
    check(folder, model, counted([*range(20), *range(50, 55)]))
    assert names(folder) == ["entries-1.jsonl", "gallery.json", "vectors-1.f32"]


def test_images_that_are_there_are_refused_or_replaced(folder, model, images):
    write_images(images, [50])
    before = (folder / "gallery.json").read_bytes()
    with pytest.raises(
        UserError, match="20 of these images are there already, 000000.jpg .*replac"
    ):
        add(folder, images, model)
    assert (folder / "gallery.json").read_bytes() == before
    (images / "000003.jpg").write_bytes(b"60")
    assert add(folder, images, model, replace=True) == 21
    gallery = open_gallery(folder, model)
    assert len(gallery) == 21
    assert gallery.search([b"60"], 1)[0][0].path.endswith("000003.jpg")
    assert min(entry.id for entry in gallery.entries) == 20  # an id is never given twice


def test_a_replacement_that_cannot_be_used_replaces_nothing(folder, model, images):
    (images / "000003.jpg").write_bytes(b"no image")
    assert add(folder, images, model, replace=True) == 19
    left = {entry.path: entry.id for entry in open_gallery(folder).entries}
    assert len(left) == 20
    assert [path for path, number in left.items() if number < 20] == ["000003.jpg"]


def test_the_same_name_in_another_folder_is_another_image(folder, model, tmp_path):
    other = write_images(tmp_path / "other", [3])
    assert add(folder, other, model) == 1
    paths = [hit.path for hit in open_gallery(folder, model).search([b"3"], 2)[0]]
    assert paths == [str(tmp_path / "images" / "000003.jpg"), str(other / "000003.jpg")]


def test_images_go_by_path_and_id(folder, model, images):
    wanted = {"paths": ["000004.jpg", str(images / "000005.jpg")], "ids": [7, 4]}
    assert gallery_writer.remove_images(folder, **wanted) == 3
    check(folder, model, {n: n for n in range(20) if n not in (4, 5, 7)})
    content = b"".join((folder / name).read_bytes() for name in names(folder))
    kept, gone = (prepare(draw(seed)[None], "cosine").tobytes() for seed in (6, 4))
    assert kept in content
    assert gone not in content  # an embedding is personal data


def test_a_person_goes_with_all_images(tmp_path, model, images):
    csv = tmp_path / "people.csv"
    lines = [f"{n:06}.jpg,{n % 3},{n}" for n in range(12)]
    csv.write_text("\n".join(["path,person_id,camera_id", *lines]))
    folder = tmp_path / "gallery"
    source = sources.list_csv(csv, images)
    gallery_writer.build_gallery(folder, source, model, metric="cosine", progress=False)
    assert gallery_writer.remove_images(folder, person_ids=[1]) == 4
    left = [(entry.person_id, entry.camera_id) for entry in open_gallery(folder).entries]
    assert left == [(n % 3, n) for n in range(12) if n % 3 != 1]


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"paths": ["000001.jpg", "x.jpg"]}, "no image of path x.jpg; nothing was removed"),
        ({"ids": [3, 20]}, "no image of id 20"),
        ({"person_ids": [1]}, "no image of person id 1"),
    ],
)
def test_what_is_not_there_cannot_be_removed(folder, model, wanted, message):
    with pytest.raises(UserError, match=message):
        gallery_writer.remove_images(folder, **wanted)
    check(folder, model, counted(range(20)))


def test_bad_images_are_named_and_the_others_added(folder, model, tmp_path):
    more = write_images(tmp_path / "more", range(50, 55))
    (more / "000051.jpg").write_bytes(b"no image")
    (more / "000053.jpg").unlink()
    (more / "000053.jpg").symlink_to("nowhere")
    (more / "notes.txt").write_text("passed over")
    source = sources.list_folder(more)
    assert gallery_writer.add_images(folder, source, model, progress=False) == 3
    assert len(source.problems) == 2
    assert any("000051.jpg: image 0: expected a whole image" in p for p in source.problems)
    assert any("000053.jpg: cannot be read" in problem for problem in source.problems)
    check(folder, model, counted([*range(20), 50, 52, 54]))


def test_no_good_image_at_all(folder, model, tmp_path):
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "a.jpg").write_bytes(b"")
    with pytest.raises(UserError, match="no image can be used; the first: .*a.jpg"):
        add(folder, tmp_path / "bad", model)
    with pytest.raises(UserError, match="no image can be used"):
        build(tmp_path / "new", tmp_path / "bad", model)
    assert not (tmp_path / "new").exists()
    check(folder, model, counted(range(20)))


def test_a_folder_that_is_taken(folder, model, images, tmp_path):
    with pytest.raises(UserError, match="holds a gallery; use add, or give --overwrite"):
        build(folder, images, model)
    assert build(folder, write_images(tmp_path / "new", [7, 8]), model, overwrite=True) == 2
    check(folder, model, counted([7, 8]))
    assert names(folder) == ["entries-2.jsonl", "gallery.json", "vectors-2.f32"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("mine")
    with pytest.raises(UserError, match="holds thesis.tex: expected an empty or a new folder"):
        build(tmp_path / "mine", images, model, overwrite=True)
    with pytest.raises(UserError, match="thesis.tex: .*expected a folder"):
        build(tmp_path / "mine" / "thesis.tex", images, model)


def test_a_damaged_gallery_can_be_built_anew_alone(folder, model, images):
    (folder / "gallery.json").write_text("{")
    with pytest.raises(UserError, match="the gallery is damaged"):
        add(folder, images, model)
    assert build(folder, images, model, overwrite=True) == 20
    check(folder, model, counted(range(20)))


MOMENTS = [
    ("write", 1, "before"),
    ("write", 1, "after"),
    ("write", 5, "after"),
    ("finish", 1, "before"),
    ("finish", 2, "after"),
    ("fsync", 1, "after"),
    ("fsync", 3, "before"),
    ("replace", 1, "before"),
    ("replace", 1, "after"),
]


@pytest.mark.parametrize(("action", "moments"), [("add", MOMENTS), ("remove", MOMENTS[1::3])])
def test_whoever_is_killed_leaves_it_whole(folder, model, tmp_path, action, moments):
    more = write_images(tmp_path / "more", range(50, 55))
    before = counted(range(20))
    after = counted([*range(20), *range(50, 55)])
    if action == "remove":
        after = {n: n for n in range(20) if n not in (1, 2)}
    for moment in moments:
        assert kill(folder, more, action, moment) == -signal.SIGKILL, moment
        done = moment == ("replace", 1, "after")
        check(folder, model, after if done else before)
    if action == "add":
        with pytest.raises(UserError, match="5 of these images are there already"):
            add(folder, more, model)
    else:
        gallery_writer.remove_images(folder, ids=[1, 2])
        check(folder, model, after)
    assert len(names(folder)) == 3  # what the killed ones left is gone


@pytest.mark.parametrize("action", ["build", "replace"])
def test_a_killed_rebuilding_leaves_the_old_one(folder, model, images, action):
    for moment in [("write", 3, "after"), ("replace", 1, "before")]:
        assert kill(folder, images, action, moment) == -signal.SIGKILL
        check(folder, model, counted(range(20)))
    assert add(folder, images, model, replace=True) == 20
    check(folder, model, counted(range(20), start=20))


def kill(folder, more, action, moment):
    """Change a gallery in a process that is killed; return how the process ended."""
    here = pathlib.Path(__file__).parent
    words = [here, folder, more, action, *moment]
    command = [sys.executable, "-c", KILLED, *map(str, words)]
    return subprocess.run(command, capture_output=True, check=False, timeout=60).returncode


def test_a_killed_build_may_be_started_again(tmp_path, model, images):
    folder = tmp_path / "gallery"
    assert kill(folder, images, "build", ("write", 3, "after")) == -signal.SIGKILL
    with pytest.raises(UserError, match="expected a gallery, found no gallery.json"):
        open_gallery(folder)
    assert build(folder, images, model) == 20
    check(folder, model, counted(range(20)))


def test_two_writers_at_once_are_told(folder, model, tmp_path):
    code = """
import pathlib, sys, time
from daaf_tf.serving import gallery_files
with gallery_files.changing(pathlib.Path(sys.argv[1])):
    print("holding", flush=True)
    time.sleep(60)
"""
    command = [sys.executable, "-c", code, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as rival:
        try:
            assert rival.stdout.readline() == "holding\n"
            more = write_images(tmp_path / "more", [50])
            for change in (
                lambda: add(folder, more, model),
                lambda: build(folder, more, model, overwrite=True),
                lambda: gallery_writer.remove_images(folder, ids=[1]),
                lambda: gallery_writer.store_calibration(folder, {}),
            ):
                with pytest.raises(UserError, match="another program is changing this gallery"):
                    change()
            check(folder, model, counted(range(20)))  # reading is free
        finally:
            rival.kill()
    assert add(folder, more, model) == 1  # the kernel frees the lock of the dead


def test_a_full_disk_is_named_and_nothing_changes(folder, model, tmp_path):
    more = write_images(tmp_path / "more", range(50, 150))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4_000, hard))
    try:
        with pytest.raises(UserError, match="could not be changed .*too large.* as it was before"):
            add(folder, more, model)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    check(folder, model, counted(range(20)))
    assert add(folder, more, model) == 100


def test_killed_at_any_time(folder, model, tmp_path):
    """Real kills from outside, at times that differ from run to run."""
    more = write_images(tmp_path / "more", range(50, 80))
    here = pathlib.Path(__file__).parent
    words = [here, folder, more, "add", "write", 10**9, "after"]
    command = [sys.executable, "-c", KILLED, *map(str, words)]
    start = time.monotonic()
    subprocess.run(command, capture_output=True, check=True, timeout=60)
    whole = time.monotonic() - start
    for share in (0.6, 0.8, 0.9, 0.95):
        gallery_writer.remove_images(folder, ids=[e.id for e in open_gallery(folder).entries][20:])
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as one:
            time.sleep(share * whole)
            one.kill()
        assert len(open_gallery(folder)) in (20, 50)
    assert gallery_files.read_state(folder).next_id >= 50
