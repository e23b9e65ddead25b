from __future__ import annotations

import pytest
from tiny_market import GALLERY, MAPS, QUERY, TRAIN, draw_image, draw_market

from daaf_tf import schema
from daaf_tf.data.datasets import DATASETS
from daaf_tf.data.listing import list_images
from daaf_tf.errors import UserError

MARKET = DATASETS["market1501"]


@pytest.fixture
def root(tmp_path):
    return draw_market(tmp_path)


def test_train_is_sorted_by_person_and_name_the_rest_by_name(root):
    draw_image(root / TRAIN / "10000_c1s1_000001_01.jpg", 0)
    images = list_images(MARKET, root).images
    assert list(images) == [schema.TRAIN, schema.QUERY, schema.GALLERY]
    names = [(file.person_id, file.filename) for file in images["train"]]
    assert names == sorted(names)
    assert [person for person, _ in names] == [2, 2, 7, 7, 7, 11, 10000]
    for split in ("query", "gallery"):
        names = [file.filename for file in images[split]]
        assert names == sorted(names)


def test_names_are_read_to_the_end(root):
    files = {file.filename: file for file in list_images(MARKET, root).images["train"]}
    file = files["0002_c12s1_000001_01.jpg"]
    assert (file.person_id, file.camera_id, file.split) == (2, 12, "train")
    assert file.path == f"{TRAIN}/0002_c12s1_000001_01.jpg"
    assert file.mask_stem == "mask-anno/bounding_box_train/0002_c12s1_000001_01"
    assert file.heatmap_stem == f"{MAPS}/0002_c12s1_000001_01"


def test_gallery_has_junk_and_distractors_and_no_maps(root):
    gallery = list_images(MARKET, root).images["gallery"]
    assert sorted(file.person_id for file in gallery) == [-1, -1, 0, 4, 5]
    assert {file.heatmap_stem for file in gallery} == {None}


@pytest.mark.parametrize(
    "name",
    ["0002_c1s1_000001_07.JPG", "0002_c1_f0046182.jpg", "0002_c1s1_zoë und bär.png", "2_c1.jpeg"],
)
def test_name_that_tells_person_and_camera_is_understood(root, name):
    draw_image(root / TRAIN / name, 0)
    listing = list_images(MARKET, root)
    assert not listing.problems
    assert [f.person_id for f in listing.images["train"] if f.filename == name] == [2]


@pytest.mark.parametrize(
    "name",
    ["person.jpg", "0002.jpg", "-2_c1s1_000001_01.jpg", "0002_cx_1.jpg", "0002_c1x_1.jpg",
     "٢_c1s1_000001_01.jpg", "1234567890123_c1s1_1_1.jpg", "_c1s1_000001_01.jpg"],
)  # fmt: skip
def test_name_that_does_not_is_a_problem_that_names_it(root, name):
    draw_image(root / TRAIN / name, 0)
    listing = list_images(MARKET, root)
    (problem,) = listing.problems
    assert (problem.kind, problem.split, problem.file) == ("image", "train", f"{TRAIN}/{name}")
    assert "0002_c1s1_000451_03.jpg" in problem.reason
    assert len(listing.images["train"]) == 6


@pytest.mark.parametrize("folder", [TRAIN, QUERY])
@pytest.mark.parametrize("person", ["-1", "0000"])
def test_junk_and_distractors_belong_to_the_gallery_only(root, folder, person):
    draw_image(root / folder / f"{person}_c1s1_000001_01.jpg", 0)
    (problem,) = list_images(MARKET, root).problems
    assert f"person {int(person)} is junk or distractor" in problem.reason


def test_other_files_are_ignored_by_name(root):
    (root / GALLERY / "notes.txt").write_text("")
    (root / GALLERY / "folder").mkdir()
    listing = list_images(MARKET, root)
    assert listing.ignored == [f"{QUERY}/Thumbs.db", f"{GALLERY}/folder", f"{GALLERY}/notes.txt"]
    assert not listing.problems


def test_folder_and_dead_link_named_like_images_are_problems(root):
    (root / GALLERY / "0009_c1s1_000001_01.jpg").mkdir()
    (root / GALLERY / "0009_c1s1_000001_02.jpg").symlink_to(root / "nowhere")
    problems = list_images(MARKET, root).problems
    assert [problem.reason for problem in problems] == ["not a file", "not a file"]


def test_missing_annotation_folders_are_noted(tmp_path):
    listing = list_images(MARKET, draw_market(tmp_path, annotated=False))
    files = [file for files in listing.images.values() for file in files]
    assert {(file.mask_stem, file.heatmap_stem) for file in files} == {(None, None)}
    assert listing.notes == [
        "no folder mask-anno/bounding_box_train: train has no masks",
        f"no folder {MAPS}: train has no heat maps",
        "no folder mask-anno/query: query has no masks",
        "no folder mask-anno/bounding_box_test: gallery has no masks",
    ]


def test_folder_as_the_archive_unpacks_it_is_found(root):
    (root / "Market-1501").rename(root / "Market-1501-v15.09.15")
    assert len(list_images(MARKET, root).images["train"]) == 6


def test_missing_folders_are_named(root):
    with pytest.raises(UserError, match="nowhere: no such folder"):
        list_images(MARKET, root / "nowhere")
    with pytest.raises(UserError, match="expected a folder Market-1501 in it$"):
        list_images(MARKET, root / "mask-anno" / "query")
    with pytest.raises(UserError, match=f"give the one above it, {root}$"):
        list_images(MARKET, root / "Market-1501")
    (root / QUERY).rename(root / "elsewhere")
    with pytest.raises(
        UserError, match=f"{root / 'Market-1501'}: expected a folder query with query"
    ):
        list_images(MARKET, root)


def test_empty_folder_is_named(root):
    for image in (root / QUERY).glob("*.jpg"):
        image.unlink()
    with pytest.raises(UserError, match=f"{root / QUERY}: no .jpg or .jpeg or .png file in it"):
        list_images(MARKET, root)
