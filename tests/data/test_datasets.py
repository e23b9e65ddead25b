"""Every row of the table, with a handful of drawn images in the layout of the real set."""

from __future__ import annotations

import pathlib

import pytest
from tiny_market import draw_image, draw_maps, draw_mask

from daaf_tf import schema
from daaf_tf.data.conversion import Conversion, convert
from daaf_tf.data.datasets import DATASETS
from daaf_tf.data.listing import list_images
from daaf_tf.data.records import RecordReader, parse_example
from daaf_tf.data.summary import format_summary
from daaf_tf.errors import UserError

MARKET = ("bounding_box_train", "query", "bounding_box_test")


def draw(root: pathlib.Path, folder: str, *names: str) -> None:
    for seed, name in enumerate(names, start=len(list(root.rglob("*.*")))):
        draw_image(root / folder / name, seed)


def draw_market_like(root: pathlib.Path, home: str, names: tuple[str, str, str, str]) -> None:
    for folder, chosen in zip(MARKET, (names[:2], names[2:3], names[3:])):
        draw(root, f"{home}/{folder}", *chosen)


def draw_msmt17(root: pathlib.Path, home: str, train: str, test: str) -> None:
    lists = {
        ("train", train): ("0000/0000_000_01_0303morning_0015_0.jpg 0",),
        ("val", train): ("0001/0001_003_14_0303noon_0001_1.jpg 1",),
        ("query", test): ("0000/0000_007_02_0302noon_0001_2.jpg 0",),
        ("gallery", test): (
            "0000/0000_008_15_0302noon_0002_2.jpg 0",
            "0001/0001_001_03_0302noon_0001_2.jpg 1",
        ),
    }
    for (name, folder), lines in lists.items():
        draw(root, f"{home}/{folder}", *(line.split()[0] for line in lines))
        (root / home / f"list_{name}.txt").write_text("\n".join(lines) + "\n")


DUKE = ("0001_c2_f0046182.jpg", "0005_c8_f0000001.jpg", "0003_c1_f0000002.jpg", "0003_c5_f1.jpg")
CUHK03 = ("0001_c1_1.png", "0002_c2_5.png", "0003_c1_21.png", "0003_c2_9.png")
LAYOUTS = {
    "market1501": lambda root: draw_market_like(
        root, "Market-1501", ("0002_c1s1_1_1.jpg", "0007_c12s1_1_1.jpg", "3_c1.jpg", "0_c2.jpg")
    ),
    "dukemtmc": lambda root: draw_market_like(root, "DukeMTMC-reID", DUKE),
    "occluded_duke": lambda root: draw_market_like(root, "Occluded_Duke", DUKE),
    "cuhk03_labeled": lambda root: draw_market_like(root, "cuhk03-np/labeled", CUHK03),
    "cuhk03_detected": lambda root: draw_market_like(root, "cuhk03-np/detected", CUHK03),
    "msmt17": lambda root: draw_msmt17(root, "MSMT17", "train", "test"),
    "csv": lambda root: draw_csv(root),
}
FOUND = {  # (person, camera) of each split, in the order of the records
    "market1501": ([(2, 1), (7, 12)], [(3, 1)], [(0, 2)]),
    "dukemtmc": ([(1, 2), (5, 8)], [(3, 1)], [(3, 5)]),
    "cuhk03_labeled": ([(1, 1), (2, 2)], [(3, 1)], [(3, 2)]),
    "msmt17": ([(0, 1), (1, 14)], [(0, 2)], [(0, 15), (1, 3)]),
    "csv": ([(0, 4), (2, 11)], [(3, 1)], [(-1, 3), (3, 2)]),
}
FOUND["occluded_duke"], FOUND["cuhk03_detected"] = FOUND["dukemtmc"], FOUND["cuhk03_labeled"]


def draw_csv(root: pathlib.Path) -> None:
    draw(root, "crops", "a.jpg", "b c.jpg", "ü.jpg", "d.png", "e.JPG")
    (root / "people.csv").write_text(
        "path,person_id,camera_id,split\ncrops/b c.jpg,2,11,train\ncrops/a.jpg,0,4,train\n"
        "crops/ü.jpg,3,1,query\ncrops/e.JPG,3,2,gallery\ncrops/d.png,-1,3,gallery\n",
        encoding="utf-8",
    )


def run(root: pathlib.Path, dataset: str, **options):
    csv_file = str(root / "people.csv") if dataset == "csv" else ""
    conversion = Conversion(
        dataset, str(root), str(root / "records"), csv_file=csv_file, workers=1, **options
    )
    return convert(conversion, show_progress=False)


def read_ids(root: pathlib.Path, split: str) -> list[tuple[int, int, int]]:
    """Return person, camera and label of all records of a split."""
    reader = RecordReader(root / "records", split)
    examples = [
        parse_example(serialized) for serialized in reader.read_many(range(reader.num_images))
    ]
    names = (schema.PERSON_ID_FEATURE, schema.CAMERA_ID_FEATURE, schema.CLASS_LABEL)
    return [tuple(int(example[name]) for name in names) for example in examples]


def test_every_row_is_tested():
    assert set(LAYOUTS) == set(FOUND) == set(DATASETS)


@pytest.mark.parametrize("dataset", LAYOUTS)
def test_set_is_converted_whole(tmp_path, dataset):
    LAYOUTS[dataset](tmp_path)
    report = run(tmp_path, dataset, strict=True)
    assert list(report.manifest["splits"]) == [schema.TRAIN, schema.QUERY, schema.GALLERY]
    train, query, gallery = FOUND[dataset]
    assert read_ids(tmp_path, schema.TRAIN) == [(*ids, label) for label, ids in enumerate(train)]
    assert read_ids(tmp_path, schema.QUERY) == [(*ids, -1) for ids in query]
    assert read_ids(tmp_path, schema.GALLERY) == [(*ids, -1) for ids in gallery]
    assert report.manifest["splits"]["train"]["person_ids"] == [person for person, _ in train]


@pytest.mark.parametrize("dataset", sorted(set(LAYOUTS) - {"csv"}))
def test_counts_stand_beside_those_of_the_real_set(tmp_path, dataset):
    LAYOUTS[dataset](tmp_path)
    text = format_summary(run(tmp_path, dataset))
    row = next(line.split() for line in text.splitlines() if line.startswith("images"))
    expected = DATASETS[dataset].expected
    assert row[2::2] == [f"{expected[split].images:,}" for split in ("train", "query", "gallery")]
    assert row[1::2] == [str(len(ids)) for ids in FOUND[dataset]]
    assert f"not the counts expected of the real {DATASETS[dataset].title}: they differ in" in text


@pytest.mark.parametrize("dataset", LAYOUTS)
def test_masks_and_maps_are_found_where_the_row_says(tmp_path, dataset):
    LAYOUTS[dataset](tmp_path)
    row = DATASETS[dataset]
    csv_file = tmp_path / "people.csv" if dataset == "csv" else ""
    plain = list_images(row, tmp_path, csv_file).images["train"]
    for seed, file in enumerate(plain):
        stem = pathlib.Path(file.filename).with_suffix("")
        draw_mask(tmp_path / row.mask_folders["train"] / f"{stem}.png", seed)
        draw_maps(tmp_path / row.heatmap_folders["train"] / stem, seed)
    entry = run(tmp_path, dataset).manifest["splits"]["train"]
    assert (entry["masks"], entry["keypoint_maps"]) == (2, 2)


def test_zero_is_a_person_in_msmt17_and_in_a_csv_and_a_distractor_in_market(tmp_path):
    for dataset, identities, distractors in (("msmt17", 2, 0), ("csv", 1, 0), ("market1501", 0, 1)):
        LAYOUTS[dataset](tmp_path / dataset)
        entry = run(tmp_path / dataset, dataset).manifest["splits"]["gallery"]
        assert (entry["identities"], entry["distractors"]) == (identities, distractors)
    entry = run(tmp_path / "csv", "csv", overwrite=True).manifest["splits"]["gallery"]
    assert entry["junk"] == 1


def test_second_version_of_msmt17_is_recognised_by_its_folders(tmp_path):
    draw_msmt17(tmp_path, "MSMT17_V2", "mask_train_v2", "mask_test_v2")
    run(tmp_path, "msmt17", strict=True)
    assert [ids[:2] for ids in read_ids(tmp_path, "train")] == FOUND["msmt17"][0]


def test_folders_that_may_both_be_meant_are_refused(tmp_path):
    draw_msmt17(tmp_path, "MSMT17_V2", "mask_train_v2", "mask_test_v2")
    draw_msmt17(tmp_path, "MSMT17_V1", "train", "test")
    with pytest.raises(UserError, match="holds both MSMT17_V1 and MSMT17_V2"):
        run(tmp_path, "msmt17")


def test_folder_may_have_a_second_name(tmp_path):
    draw_msmt17(tmp_path, "MSMT17_V2", "mask_train_v2", "mask_test_v2")
    (tmp_path / "MSMT17").symlink_to("MSMT17_V2")
    run(tmp_path, "msmt17", strict=True)


def test_faults_of_a_list_are_named_with_file_and_line(tmp_path):
    LAYOUTS["msmt17"](tmp_path)
    with open(tmp_path / "MSMT17" / "list_val.txt", "a") as file:
        file.write("0002/nobody.jpg 2\n0003/0003_000_01_a.jpg\n0004/0004_000_01_a_0.jpg -7\n")
    reasons = {problem.file: problem.reason for problem in run(tmp_path, "msmt17").problems}
    assert set(reasons) == {
        "MSMT17/train/0002/nobody.jpg",
        f"{tmp_path}/MSMT17/list_val.txt, line 3",
        f"{tmp_path}/MSMT17/list_val.txt, line 4",
    }
    assert "name not understood" in reasons["MSMT17/train/0002/nobody.jpg"]
    assert "person -7, expected -1 or more" in reasons[f"{tmp_path}/MSMT17/list_val.txt, line 4"]
    (tmp_path / "MSMT17" / "list_query.txt").unlink()
    with pytest.raises(UserError, match=r"list_query\.txt: No such file"):
        run(tmp_path, "msmt17", overwrite=True)


def test_an_image_in_two_lists_of_a_split_is_taken_once_and_named(tmp_path):
    LAYOUTS["msmt17"](tmp_path)
    with open(tmp_path / "MSMT17" / "list_val.txt", "a") as file:
        file.write("0000/0000_000_01_0303morning_0015_0.jpg 0\n")
    (problem,) = run(tmp_path, "msmt17").problems
    assert problem.file == "MSMT17/train/0000/0000_000_01_0303morning_0015_0.jpg"
    assert problem.reason == "listed in list_val.txt, and in list_train.txt already"
    assert [ids[:2] for ids in read_ids(tmp_path, "train")] == FOUND["msmt17"][0]


def test_boxes_drawn_by_hand_become_the_multiple_queries(tmp_path):
    LAYOUTS["market1501"](tmp_path)
    draw(
        tmp_path,
        "Market-1501/gt_bbox",
        "0003_c1s1_2_0.jpg",
        "0003_c1s1_1_0.jpg",
        "0002_c6s1_1_0.jpg",
    )
    report = run(tmp_path, "market1501", strict=True)
    assert list(report.manifest["splits"]) == list(schema.SPLITS)
    assert read_ids(tmp_path, schema.MULTI_QUERY) == [(2, 6, -1), (3, 1, -1), (3, 1, -1)]
    assert "25,259" in format_summary(report)


def test_camera_of_its_own_is_one_that_no_other_image_has(tmp_path):
    LAYOUTS["csv"](tmp_path)
    names = ("a.jpg", "b c.jpg", "ü.jpg", "d.png", "e.JPG")
    splits = ("train", "train", "query", "gallery", "gallery")
    lines = [f"crops/{name},1,{split}" for name, split in zip(names, splits)]
    (tmp_path / "people.csv").write_text("\n".join(["path,person_id,split", *lines]))
    report = run(tmp_path, "csv")
    cameras = [ids[1] for split in schema.SPLITS[:3] for ids in read_ids(tmp_path, split)]
    assert len(set(cameras)) == 5
    assert max(cameras) < -1
    assert "each such image is its own camera" in format_summary(report)


def test_csv_without_splits_is_for_training(tmp_path):
    LAYOUTS["csv"](tmp_path)
    (tmp_path / "people.csv").write_text("path,person_id\ncrops/a.jpg,1\ncrops/d.png,2\n")
    report = run(tmp_path, "csv", strict=True)
    assert list(report.manifest["splits"]) == ["train"]
    text = format_summary(report)
    assert "no column split: all images are for training" in text
    assert "no images for query, gallery" in text
    assert "no folder masks: train has no masks" in text
    assert "expected" not in text.split("no column")[0]
    with pytest.raises(UserError, match="no split 'query'; there is train"):
        RecordReader(tmp_path / "records", "query")


def test_bad_lines_of_a_csv_are_counted_skipped_or_fatal(tmp_path):
    LAYOUTS["csv"](tmp_path)
    with open(tmp_path / "people.csv", "a") as file:
        file.write("../x.jpg,1,1,train\ncrops/x.jpg,1,1,train\ncrops/ü.jpg,-1,1,query\n")
    report = run(tmp_path, "csv")
    assert "no folder masks: train, query, gallery have no masks" in report.notes
    assert report.manifest["problems"]["image"] == 3
    assert [problem.file for problem in report.problems] == [
        f"{tmp_path}/people.csv, line 7",
        f"{tmp_path}/people.csv, line 9",
        "crops/x.jpg",
    ]
    assert f"{tmp_path}/people.csv, line 7: path '../x.jpg' has .. in it" in format_summary(report)
    with pytest.raises(UserError, match=r"people\.csv, line 7: path.*--strict"):
        run(tmp_path, "csv", strict=True, overwrite=True)


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ("../x.jpg,1,1,train\n", r"no usable line; the first: .*people\.csv, line 2: path"),
        ("crops/a.jpg,1,1,train\n../x.jpg,1,1,query\n", "no usable image in query; .*line 3"),
    ],
)
def test_split_of_bad_lines_only_is_refused(tmp_path, lines, reason):
    LAYOUTS["csv"](tmp_path)
    (tmp_path / "people.csv").write_text("path,person_id,camera_id,split\n" + lines)
    with pytest.raises(UserError, match=reason):
        run(tmp_path, "csv")
    assert not (tmp_path / "records").exists()


def test_csv_file_goes_with_its_data_set_only(tmp_path):
    for dataset, csv_file in (("csv", ""), ("market1501", "people.csv")):
        with pytest.raises(UserError, match=f"--csv_file={csv_file} with --dataset={dataset}"):
            convert(Conversion(dataset, str(tmp_path), str(tmp_path / "R"), csv_file=csv_file))
