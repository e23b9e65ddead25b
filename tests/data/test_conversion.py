from __future__ import annotations

import json
import shutil
import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from tiny_market import GALLERY, MAPS, QUERY, TRAIN, draw_image, draw_market

from daaf_tf.data.conversion import Conversion, convert
from daaf_tf.data.problems import PROBLEM_KINDS
from daaf_tf.data.records import RecordReader, read_manifest
from daaf_tf.errors import UserError

FIRST = "0002_c12s1_000001_01"  # of the training images, in record order
MASKS = TRAIN.replace("Market-1501", "mask-anno")


@pytest.fixture
def root(tmp_path):
    return draw_market(tmp_path / "data")


def run(root, name: str = "records", **options):
    values = {"workers": 1, "output_dir": str(root.parent / name), **options}
    return convert(Conversion("market1501", str(root), **values), show_progress=False)


def content(folder) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_clean_set_is_converted_whole(root):
    report = run(root)
    assert not report.problems
    splits = read_manifest(root.parent / "records")["splits"]
    assert splits == report.manifest["splits"]
    counts = ("images", "identities", "cameras", "junk", "distractors")
    counts += ("masks", "keypoint_maps", "keypoints")
    assert {split: [entry[c] for c in counts] for split, entry in splits.items()} == {
        "train": [6, 3, [1, 3, 12], 0, 0, 6, 6, 6],
        "query": [2, 2, [1, 2], 0, 0, 2, 0, 0],
        "gallery": [5, 2, [1, 2, 3, 4], 2, 1, 5, 0, 0],
    }
    assert splits["train"]["person_ids"] == [2, 7, 11]
    assert splits["train"]["images_per_label"] == [2, 3, 1]
    for split in splits:
        reader = RecordReader(root.parent / "records", split)
        assert all(reader.read_many(range(reader.num_images)))


@pytest.mark.parametrize("num_shards", [0, 2])
def test_number_of_workers_does_not_change_a_byte(root, num_shards):
    for seed in range(60):
        draw_image(root / GALLERY / f"0100_c1s1_{seed:06d}_01.jpg", seed)
    (root / GALLERY / "0100_c1s1_000030_01.jpg").write_bytes(b"")
    for count in (1, 2, 3):
        run(root, f"records{count}", workers=count, num_shards=num_shards)
    one, two, three = (content(root.parent / f"records{count}") for count in (1, 2, 3))
    assert one == two == three
    assert len(one) == 4 + 2 * 3 * max(1, num_shards)


def test_original_bytes_are_kept(root):
    draw_image(root / QUERY / "0006_c1s1_000001_00.png", 5)
    run(root)
    reader = RecordReader(root.parent / "records", "query")
    images = [path.read_bytes() for path in sorted((root / QUERY).glob("*.*g"))]
    for serialized, encoded in zip(reader.read_many(range(3)), images):
        assert encoded in serialized


def test_set_without_annotations_is_converted_and_noted(tmp_path):
    report = run(draw_market(tmp_path / "data", annotated=False))
    assert not report.problems
    assert len(report.notes) == 4
    assert {entry["masks"] for entry in report.manifest["splits"].values()} == {0}


def write_noise(path, mode: str = "RGB", size: tuple[int, int] = (16, 32)) -> None:
    noise = np.random.RandomState(0).randint(0, 256, (*size[::-1], 3), np.uint8)
    Image.fromarray(noise).convert(mode).save(path)


def cut(path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def write_huge(path) -> None:
    with open(path, "wb") as file:
        file.truncate(2**27)


def write_deep(path) -> None:
    Image.fromarray(np.full((32, 16), 1000, np.uint16)).save(path, "PNG")


def write_dimensions(path) -> None:
    """Write a small file that claims to hold 50,000 x 50,000 pixels."""
    Image.new("L", (1, 1)).save(path, "PNG")
    content = bytearray(path.read_bytes())
    content[16:24] = struct.pack(">II", 50000, 50000)
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    path.write_bytes(content)


IMAGE, MASK, MAP = f"{TRAIN}/{FIRST}.jpg", f"{MASKS}/{FIRST}.jpg", f"{MAPS}/{FIRST}_04.png"
SPOILT = {
    "text": (IMAGE, lambda p: p.write_text("text"), "image", "no JPEG or PNG"),
    "truncated": (IMAGE, cut, "image", "truncated"),
    "empty": (IMAGE, lambda p: p.write_bytes(b""), "image", "empty file"),
    "huge_file": (IMAGE, write_huge, "image", "134217728 bytes, expected"),
    "deep": (IMAGE, write_deep, "image", "16 bits a channel, expected 8"),
    "dimensions": (IMAGE, write_dimensions, "image", "too large"),
    "mask_missing": (MASK, lambda p: p.unlink(), "mask", "missing, expected .png or .jpg"),
    "mask_truncated": (MASK, cut, "mask", "truncated"),
    "mask_shape": (MASK, lambda p: write_noise(p, "L", (32, 32)), "mask", "another shape"),
    "mask_colour": (MASK, write_noise, "mask", "coloured"),
    "map_missing": (MAP, lambda p: p.unlink(), "heatmaps", "map 04: missing, expected"),
    "map_text": (MAP, lambda p: p.write_text("text"), "heatmaps", "map 04: no JPEG or PNG"),
    "map_size": (MAP, lambda p: write_noise(p, "L"), "heatmaps", "map 04 has 16x32"),
}


@pytest.mark.parametrize("name", SPOILT)
def test_spoilt_file_is_named_and_only_it_is_left_out(root, name):
    file, spoil, kind, reason = SPOILT[name]
    spoil(root / file)
    report = run(root)
    (problem,) = report.problems
    assert (problem.kind, problem.split) == (kind, "train")
    assert problem.file.startswith(file[: file.rindex("_")] if kind == "heatmaps" else file[:-4])
    assert reason in problem.reason
    listed = json.loads((root.parent / "records" / "problems.json").read_text())
    assert listed["problems"] == [vars(problem)]
    assert listed["ignored"] == [f"{QUERY}/Thumbs.db"]
    assert report.manifest["problems"] == {**dict.fromkeys(PROBLEM_KINDS, 0), kind: 1}
    entry = report.manifest["splits"]["train"]
    skipped = kind == "image"
    assert entry["images"] == 6 - skipped
    assert entry["masks"] == 6 - (kind in ("image", "mask"))
    assert entry["keypoint_maps"] == 6 - (kind in ("image", "heatmaps"))
    assert entry["images_per_label"] == [2 - skipped, 3, 1]


@pytest.mark.parametrize("name", SPOILT)
def test_strict_stops_at_the_first_problem_and_leaves_nothing(root, name):
    file, spoil, _, reason = SPOILT[name]
    spoil(root / file)
    with pytest.raises(UserError, match=f"{FIRST}.*{reason}.*--strict"):
        run(root, strict=True)
    assert not (root.parent / "records").exists()


def test_person_without_a_usable_image_gets_no_label(root):
    (root / TRAIN / "0011_c1s2_000001_01.jpg").write_bytes(b"")
    entry = run(root).manifest["splits"]["train"]
    assert (entry["person_ids"], entry["images_per_label"]) == ([2, 7], [2, 3])


def test_split_without_a_usable_image_is_refused(root):
    for image in (root / QUERY).glob("*.jpg"):
        image.write_bytes(b"")
    with pytest.raises(UserError, match=r"no usable image in query.*0004_c1s1.*empty file"):
        run(root)
    assert not (root.parent / "records").exists()


def test_annotations_may_be_of_either_format(root):
    for path in (root / MASK, root / MAP):
        image = Image.open(path)
        path.unlink()
        image.save(path.with_suffix(".png" if path.suffix == ".jpg" else ".jpg"))
    report = run(root)
    assert not report.problems
    assert report.manifest["splits"]["train"]["masks"] == 6
    assert report.manifest["splits"]["train"]["keypoint_maps"] == 6


def test_command_in_the_manifest_says_what_decides_the_content(root):
    manifest = run(root, num_shards=2, heatmap_height=32, strict=True).manifest
    assert manifest["command"] == (
        f"make_tfrecords.py --dataset=market1501 --data_root={root} --annotations=auto "
        "--num_shards=2 --heatmap_height=32"
    )


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"workers": -1}, "--workers=-1: expected 0 to"),
        ({"num_shards": -1}, "--num_shards=-1: expected 0 to"),
        ({"heatmap_height": 0}, "--heatmap_height=0: expected 8 to"),
        ({"output_dir": ""}, "--output_dir is missing"),
    ],
)
def test_options_that_make_no_sense_are_refused(root, options, reason):
    with pytest.raises(UserError, match=reason):
        run(root, **options)


def test_unknown_data_set_is_refused(root):
    with pytest.raises(UserError, match="--dataset=nuscenes: expected one of market1501"):
        convert(Conversion("nuscenes", str(root), str(root.parent / "records")))


def test_missing_data_leaves_no_output_folder(root):
    shutil.rmtree(root / QUERY)
    with pytest.raises(UserError, match="with query images"):
        run(root)
    assert not (root.parent / "records").exists()
