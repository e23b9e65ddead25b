from __future__ import annotations

import importlib.util
import io
import json
import re

import numpy as np
import pytest
from PIL import Image
from tiny_market import GALLERY, HEIGHT, QUERY, TRAIN, WIDTH, draw_image, draw_market

from daaf_tf import schema
from daaf_tf.data.coco import parse_sources, read_coco
from daaf_tf.data.conversion import Conversion, convert
from daaf_tf.data.records import RecordReader, parse_example
from daaf_tf.data.summary import format_summary
from daaf_tf.errors import UserError

NAMES = ("0002_c12s1_000001_01", "0002_c1s1_000001_01", "0007_c1s1_000001_01")  # of train, in order
PERSON = {"id": 1, "name": "person", "keypoints": list(schema.JOINTS)}
BOX_RLE = {"size": [HEIGHT, WIDTH], "counts": [32 * 4, 32 * 8, 32 * 4]}  # columns 4 to 11


def make_joints(number=0, third=2):
    points = np.random.RandomState(number).uniform(1, (WIDTH - 2, HEIGHT - 2), (17, 2))
    return np.column_stack((points, np.broadcast_to(third, 17))).ravel().tolist()


def make_truth(names=NAMES, **changes):
    """Return a ground-truth file: one person with keypoints and a mask on each image."""
    images = [
        {"id": 100 + i, "file_name": f"{name}.jpg", "width": WIDTH, "height": HEIGHT}
        for i, name in enumerate(names)
    ]
    annotations = [
        {
            "id": i,
            "image_id": 100 + i,
            "category_id": 1,
            "keypoints": make_joints(i),
            "segmentation": BOX_RLE,
            "bbox": [2, 2, 12, 28],
            "iscrowd": 0,
        }
        for i in range(len(names))
    ]
    return {"images": images, "annotations": annotations, "categories": [PERSON], **changes}


def make_results(names=NAMES):
    """Return a result list: keypoints with scores, by file name."""
    return [
        {
            "image_id": f"{name}.jpg",
            "category_id": 1,
            "keypoints": make_joints(i, third=0.5),
            "score": 0.9,
        }
        for i, name in enumerate(names)
    ]


@pytest.fixture
def root(tmp_path):
    return draw_market(tmp_path / "data", annotated=False)


def write(root, content, name="poses.json"):
    path = root.parent / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return str(path)


def run(root, annotations, **options):
    values = {"workers": 1, "output_dir": str(root.parent / "records"), "overwrite": True}
    conversion = Conversion(
        "market1501", str(root), annotations=annotations, **{**values, **options}
    )
    return convert(conversion, show_progress=False)


def read(root, split="train"):
    reader = RecordReader(root.parent / "records", split)
    parsed = [parse_example(each) for each in reader.read_many(range(reader.num_images))]
    return [{name: value.numpy() for name, value in each.items()} for each in parsed]


def joints_of(record):
    names = (schema.KEYPOINT_X, schema.KEYPOINT_Y, schema.KEYPOINT_VISIBILITY)
    return np.stack([record[name] for name in names], axis=-1)


def expected_joints(number):
    joints = np.array(make_joints(number)).reshape(17, 3)
    return (joints[:, :2] + 0.5) / (WIDTH, HEIGHT)


def test_ground_truth_becomes_coordinates_and_masks(root):
    report = run(root, write(root, make_truth()))
    assert not report.problems
    assert not report.notes
    entry = report.manifest["splits"]["train"]
    assert (entry["masks"], entry["keypoint_maps"], entry["keypoints"]) == (3, 0, 3)
    records = read(root)
    for number, record in enumerate(records[:3]):
        assert record[schema.IMAGE_FILENAME].decode() == f"{NAMES[number]}.jpg"
        joints = joints_of(record)
        np.testing.assert_allclose(joints[:, :2], expected_joints(number), rtol=1e-5)
        assert (joints[:, 2] == 1).all()
        mask = np.asarray(Image.open(io.BytesIO(record[schema.MASK_ENCODED])))
        np.testing.assert_array_equal(mask[:, 4:12], np.full((HEIGHT, 8), 255))
        assert mask.sum() == 255 * HEIGHT * 8
        assert record[schema.HEATMAPS_ENCODED] == b""
    for record in records[3:]:
        assert record[schema.MASK_ENCODED] == b""
        assert (joints_of(record) == -1).all()
    line = next(x for x in format_summary(report).splitlines() if x.startswith("with joints"))
    assert line.split()[2:4] == ["3", "-"]


def test_results_become_coordinates_with_scores(root):
    report = run(root, write(root, make_results()))
    assert not report.problems
    for number, record in enumerate(read(root)[:3]):
        joints = joints_of(record)
        np.testing.assert_allclose(joints[:, :2], expected_joints(number), rtol=1e-5)
        assert (joints[:, 2] == 0.5).all()


def test_results_beside_the_images_of_a_ground_truth_file(root):
    results = [{**each, "image_id": 100 + i} for i, each in enumerate(make_results())]
    run(root, write(root, make_truth(annotations=results)))
    assert all((joints_of(record)[:, 2] == 0.5).all() for record in read(root)[:3])


def test_poses_and_masks_may_come_from_two_files(root):
    masks = [
        {"file_name": f"{name}.jpg", "category_id": 1, "segmentation": BOX_RLE, "score": 0.8}
        for name in NAMES[:2]
    ]
    sources = f"{write(root, make_results())},{write(root, masks, 'masks.json')}"
    report = run(root, sources)
    assert not report.problems
    entry = report.manifest["splits"]["train"]
    assert (entry["masks"], entry["keypoints"]) == (2, 3)


def test_the_person_that_fills_the_crop_is_taken(root):
    truth = make_truth()
    small = {**truth["annotations"][1], "image_id": 100, "bbox": [1, 1, 4, 4]}
    truth["annotations"].insert(0, small)
    run(root, write(root, truth))
    np.testing.assert_allclose(joints_of(read(root)[0])[:, :2], expected_joints(0), rtol=1e-5)


def test_workers_give_the_same_bytes(root):
    path = write(root, make_truth())
    contents = []
    for count in (1, 2):
        run(root, path, workers=count)
        files = (root.parent / "records").glob("*.tfrecord")
        contents.append({file.name: file.read_bytes() for file in files})
    assert contents[0] == contents[1]


@pytest.mark.parametrize(
    ("annotations", "masks", "maps", "keypoints"),
    [("auto", 6, 6, 6), ("none", 0, 0, 0), ("auto,{}", 6, 3, 6), ("{}", 3, 0, 3)],
)
def test_sources(tmp_path, annotations, masks, maps, keypoints):
    root = draw_market(tmp_path / "data")
    report = run(root, annotations.format(write(root, make_truth())))
    assert not report.problems
    assert not report.notes
    entry = report.manifest["splits"]["train"]
    assert (entry["masks"], entry["keypoint_maps"], entry["keypoints"]) == (masks, maps, keypoints)
    coco = "{}" in annotations
    found = joints_of(read(root)[0])[:, :2]
    assert np.allclose(found, expected_joints(0), rtol=1e-5) == coco


@pytest.mark.parametrize("text", ["", "none,auto", "auto,", "none,x.json", "nowhere.json"])
def test_bad_sources_are_refused(text):
    with pytest.raises(UserError, match=f"--annotations={text}: "):
        parse_sources(text)


@pytest.mark.parametrize(
    "folder",
    ["", "./", "bounding_box_train/", "C:\\sets\\bounding_box_train\\", "/a/" + TRAIN + "/"],
)
def test_names_may_have_folders(root, folder):
    truth = make_truth()
    for image in truth["images"]:
        image["file_name"] = folder + image["file_name"]
    report = run(root, write(root, truth))
    assert not report.problems
    assert report.manifest["splits"]["train"]["keypoints"] == 3


def test_the_folder_decides_between_equal_names(root):
    name = "0004_c1s1_000001_00.jpg"  # of a query
    draw_image(root / GALLERY / name, 99)
    run(root, write(root, make_truth([f"query/{name[:-4]}"])))
    assert (joints_of(read(root, "query")[0]) >= 0).all()
    assert all((joints_of(record) == -1).all() for record in read(root, "gallery"))
    report = run(root, write(root, make_truth([name[:-4]])))
    (problem,) = report.problems
    assert problem.kind == "annotations"
    assert f"may be {QUERY}/{name} or {GALLERY}/{name}; write more" in problem.reason


def test_what_belongs_to_no_image_is_counted_and_named(root):
    truth = make_truth([*NAMES, "0999_c1s1_000001_01", f"query/{NAMES[0]}"])
    truth["annotations"][0]["image_id"] = 7
    truth["annotations"].append("person")
    path = write(root, truth)
    report = run(root, path)
    assert {problem.kind for problem in report.problems} == {"annotations"}
    assert {str(problem) for problem in report.problems} == {
        f"{path}: 0999_c1s1_000001_01.jpg: no such image in the data set",
        f"{path}: query/{NAMES[0]}.jpg: no such image in the data set",
        f"{path}: annotations[0]: image_id 7 is none of the file's images",
        f"{path}: annotations[5]: str, expected an object",
    }
    assert report.manifest["problems"]["annotations"] == 4
    entry = report.manifest["splits"]["train"]
    assert (entry["images"], entry["keypoints"]) == (6, 2)
    assert "4 names or annotations in COCO files that belong to no image" in format_summary(report)
    with pytest.raises(UserError, match=r"no such image|image_id 7.*--strict"):
        run(root, path, strict=True)


def test_results_with_numbers_for_images_say_what_to_do(root):
    results = [{**each, "image_id": 5} for each in make_results(NAMES[:1])]
    (problem,) = run(root, write(root, results)).problems
    assert problem.file.endswith("poses.json: [0]")
    assert "image_id 5 is no file name; put the list into a ground-truth file" in problem.reason


SPOILT = {
    "nan": ({"keypoints": [float("nan"), *make_joints()[1:]]}, "keypoints", "x of nose is nan"),
    "far": ({"keypoints": [900.0, *make_joints()[1:]]}, "keypoints", "far outside the image"),
    "flag": ({"keypoints": [*make_joints()[:-1], 7]}, "keypoints", "visibility 7 of right_ankle"),
    "rle": ({"segmentation": {**BOX_RLE, "counts": [1]}}, "mask", "broken RLE"),
    "rle_text": ({"segmentation": {**BOX_RLE, "counts": "~~"}}, "mask", "broken RLE"),
    "rle_size": ({"segmentation": {**BOX_RLE, "size": [9, 9]}}, "mask", r"size \[9, 9\], expected"),
    "polygon": ({"segmentation": [[1, 2, 3]]}, "mask", "polygon of 3 numbers"),
}


@pytest.mark.parametrize("name", SPOILT)
def test_spoilt_annotation_is_named_and_only_it_is_left_out(root, name):
    change, kind, reason = SPOILT[name]
    truth = make_truth()
    truth["annotations"][1].update(change)
    path = write(root, truth)
    report = run(root, path)
    (problem,) = report.problems
    assert (problem.kind, problem.split) == (kind, "train")
    assert problem.file == f"{path}: annotations[1] ({TRAIN}/{NAMES[1]}.jpg)"
    pytest.raises(UserError, run, root, path, strict=True).match(reason)
    entry = report.manifest["splits"]["train"]
    assert entry["images"] == 6
    assert entry["masks"] == 3 - (kind == "mask")
    assert entry["keypoints"] == 3 - (kind == "keypoints")
    expected = f"{int(kind == 'mask')} masks and 0 sets of maps left out"
    assert expected in format_summary(report)
    assert ("1 sets of keypoints left out" in format_summary(report)) == (kind == "keypoints")


def test_a_choice_that_cannot_be_made_does_not_fall_back_on_the_folders(tmp_path):
    root = draw_market(tmp_path / "data")
    truth = make_truth()
    truth["annotations"].append({**truth["annotations"][0], "bbox": "large"})
    report = run(root, f"auto,{write(root, truth)}")
    assert [problem.kind for problem in report.problems] == ["mask", "keypoints"]
    for problem in report.problems:
        assert f"{NAMES[0]}.jpg: its persons in COCO files: bbox 'large'" in str(problem)
    entry = report.manifest["splits"]["train"]
    assert (entry["masks"], entry["keypoints"], entry["keypoint_maps"]) == (5, 5, 3)


def test_image_of_another_size_loses_both_annotations(root):
    truth = make_truth()
    truth["images"][0].update(width=64, height=128)
    report = run(root, write(root, truth))
    assert [problem.kind for problem in report.problems] == ["mask", "keypoints"]
    assert all("made for an image of 64x128" in problem.reason for problem in report.problems)


OTHER_JOINTS = {"id": 1, "name": "person", "keypoints": ["head", "neck", "l_foot"]}
REFUSED = {
    "no_json": ("{images", "not JSON"),
    "empty": ("", "not JSON"),
    "binary": ("\0\1", "not JSON"),
    "deep": ("[" * 100_000, "not JSON"),
    "number": (7, "expected a COCO file.*received int"),
    "object": ({"shapes": []}, "expected a COCO file.*received an object with 'shapes'"),
    "no_images": ({"annotations": []}, "expected a list of images, received NoneType"),
    "image_no_name": (make_truth(images=[{"id": 1}]), r"images\[0\] has no id or no file_name"),
    "image_text": (make_truth(images=["a.jpg"]), r"images\[0\] has no id or no file_name"),
    "same_id": (
        make_truth(images=[{"id": 1, "file_name": name} for name in "ab"]),
        "two images have the id 1: a and b",
    ),
    "joints": (
        make_truth(categories=[OTHER_JOINTS]),
        "its keypoints are not COCO's: expected nose, .*; found 3: head, neck, l_foot",
    ),
    "order": (
        make_truth(categories=[{**PERSON, "keypoints": list(schema.JOINTS[::-1])}]),
        "found 17: right_ankle, ",
    ),
    "categories": (
        make_truth(categories=[{"id": 1, "name": "cat"}, {"id": 2, "name": "dog"}]),
        "no category person, found cat, dog",
    ),
    "category_text": (make_truth(categories=["person"]), "categories should be a list of objects"),
    "result_joints": (
        [{"image_id": "a.jpg", "keypoints": [1, 2, 3] * 14}],
        r"\[0\]: 14 joints, expected COCO's 17: nose",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_is_no_use_is_refused_as_a_whole(root, name):
    content, reason = REFUSED[name]
    path = write(root, content)
    with pytest.raises(UserError, match=reason) as raised:
        run(root, path)
    assert str(raised.value).startswith(path)
    assert not (root.parent / "records").exists()


def test_joint_names_may_be_spelt_in_other_ways(root):
    names = [name.replace("_", " ").title() for name in schema.JOINTS]
    report = run(root, write(root, make_truth(categories=[{**PERSON, "keypoints": names}])))
    assert not report.problems


def test_other_things_are_ignored_and_counted(root):
    truth = make_truth(categories=[PERSON, {"id": 31, "name": "handbag"}])
    truth["annotations"].append(
        {**truth["annotations"][0], "category_id": 31, "bbox": [0, 0, 16, 32]}
    )
    truth["annotations"].append({**truth["annotations"][0], "category_id": [31]})
    path = write(root, truth)
    report = run(root, path)
    assert not report.problems
    assert report.notes == [f"{path}: 2 annotations of other things ignored"]
    assert report.manifest["splits"]["train"]["keypoints"] == 3


def test_polygons_without_pycocotools_say_what_to_install(root, monkeypatch):
    path = write(root, make_truth())
    polygons = make_truth()
    polygons["annotations"][0]["segmentation"] = [[1, 1, 9, 1, 9, 20]]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert len(read_coco(path).persons) == 3  # an RLE needs no package
    with pytest.raises(UserError, match="pip install pycocotools"):
        read_coco(write(root, polygons))


def test_mutated_files_are_read_or_refused(tmp_path):
    """Whatever a COCO file holds, reading it ends with persons or with a UserError."""
    random = np.random.RandomState(0)
    texts = [json.dumps(each) for each in (make_truth(NAMES[:1]), make_results(NAMES[:1]))]
    tokens = [
        "1",
        "-1",
        "null",
        "[]",
        "{}",
        "[[]]",
        '"a"',
        "1e999",
        "true",
        "NaN",
        '"image_id"',
        ",",
    ]
    path = tmp_path / "mutated.json"
    outcomes = {"read": 0, "refused": 0}
    for number in range(2000):
        text = texts[number % 2]
        # Whole values, so that most of it still is JSON.
        spans = [match.span() for match in re.finditer(r'"[^"]*"|-?[0-9.]+|\[|\]', text)]
        start, stop = spans[random.randint(len(spans))]
        path.write_text(text[:start] + tokens[random.randint(len(tokens))] + text[stop:])
        try:
            read_coco(str(path))
            outcomes["read"] += 1
        except UserError as error:
            assert_names(str(error), path)
            outcomes["refused"] += 1
    assert min(outcomes.values()) > 300, outcomes


def assert_names(message, path):
    assert message.startswith(f"{path}: ")
    assert len(message) > len(f"{path}: ")
