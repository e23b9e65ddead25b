"""The synthetic set: its plan, its pictures and their truth, and the folder it is written to."""

from __future__ import annotations

import collections
import dataclasses
import fcntl
import io
import json
import os
import re
import types

import numpy as np
import pytest
from PIL import Image

from daaf_tf import schema
from daaf_tf.data import synthetic, synthetic_files
from daaf_tf.data.synthetic_image import HEIGHT, WIDTH, render
from daaf_tf.data.synthetic_person import make_family, make_person
from daaf_tf.data.synthetic_plan import (
    PRESETS,
    QUERY_FOLDER,
    TEST_FOLDER,
    TRAIN_FOLDER,
    Difficulty,
    Preset,
    Recipe,
    family_of,
    make_plan,
    make_rng,
    spread,
)
from daaf_tf.data.synthetic_pose import Pose, project
from daaf_tf.errors import UserError

TINY = Preset(
    name="tiny",
    train_ids=4,
    train_images=20,
    few_ids=1,
    few_least=1,
    most_images=8,
    test_ids=3,
    query_images=7,
    good_images=9,
    distractor_images=4,
    junk_images=3,
)
NAME = re.compile(r"(-1|\d{4})_c(\d)s(\d)_(\d{6})_(\d{2})\.jpg")


@pytest.fixture(scope="module", params=["small", "market1501"])
def plan(request):
    return PRESETS[request.param], make_plan(Recipe(PRESETS[request.param], seed=7))


@pytest.fixture(scope="module")
def tiny_set(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    synthetic.write_synthetic_market(folder, TINY, seed=3, workers=1, progress=False)
    return folder


def person_id_of(spec):
    return int(NAME.fullmatch(spec.name)[1])


def in_folder(images, folder):
    return [spec for spec in images if spec.folder == folder]


# The plan


def test_market1501_has_the_counts_of_the_real_set():
    images = make_plan(Recipe(PRESETS["market1501"], seed=0))
    assert synthetic.count(images) == {
        "train": 12936,
        "query": 3368,
        "gallery": 13115 + 2798 + 3819,
        "distractors": 2798,
        "junk": 3819,
        "train_ids": 751,
        "query_ids": 750,
        "cameras": 6,
    }
    per_id = collections.Counter(map(person_id_of, in_folder(images, TRAIN_FOLDER)))
    assert sum(count < 4 for count in per_id.values()) == 15
    assert min(per_id.values()) >= 2
    assert max(per_id.values()) <= 72


def test_plan_has_the_counts_of_its_preset(plan):
    preset, images = plan
    counts = synthetic.count(images)
    assert counts["train"] == preset.train_images
    assert counts["query"] == preset.query_images
    assert counts["gallery"] - counts["distractors"] - counts["junk"] == preset.good_images
    assert (counts["train_ids"], counts["query_ids"]) == (preset.train_ids, preset.test_ids)


def test_names_are_market_names_and_unique(plan):
    _, images = plan
    assert all(NAME.fullmatch(spec.name) for spec in images)
    assert len({(spec.folder, spec.name) for spec in images}) == len(images)
    assert all(int(NAME.fullmatch(spec.name)[2]) == spec.camera for spec in images)
    assert all((person_id_of(spec) == -1) == spec.junk for spec in images)


def test_train_and_test_ids_and_families_are_disjoint(plan):
    preset, images = plan
    recipe = Recipe(preset, 7)
    train = in_folder(images, TRAIN_FOLDER)
    test = [spec for spec in images if spec.folder != TRAIN_FOLDER]
    assert not {person_id_of(spec) for spec in train} & {person_id_of(spec) for spec in test}
    train_families, test_families = (
        {family_of(recipe, spec.person)[0] for spec in part} for part in (train, test)
    )
    assert not train_families & test_families


def test_person_id_and_person_are_one_to_one(plan):
    _, images = plan
    pairs = {(person_id_of(spec), spec.person) for spec in images if person_id_of(spec) > 0}
    assert len(pairs) == len({pair[0] for pair in pairs}) == len({pair[1] for pair in pairs})


def test_distractors_are_nobody_who_is_searched(plan):
    preset, images = plan
    first = preset.train_ids + preset.test_ids
    assert all(spec.person >= first for spec in images if person_id_of(spec) == 0)


def test_one_query_per_id_and_camera_with_a_match_in_another_camera(plan):
    _, images = plan
    queries = [(spec.person, spec.camera) for spec in in_folder(images, QUERY_FOLDER)]
    assert len(set(queries)) == len(queries)
    cameras = collections.defaultdict(set)
    for spec in in_folder(images, TEST_FOLDER):
        if person_id_of(spec) > 0:
            cameras[spec.person].add(spec.camera)
    assert all(cameras[person] - {camera} for person, camera in queries)


def test_plan_depends_on_the_seed_alone():
    assert make_plan(Recipe(TINY, 1)) == make_plan(Recipe(TINY, 1))
    assert make_plan(Recipe(TINY, 1)) != make_plan(Recipe(TINY, 2))
    harder = Recipe(TINY, 1, Difficulty(occluder_share=1.0))
    assert make_plan(harder) == make_plan(Recipe(TINY, 1))


@pytest.mark.parametrize("total", [10, 11, 37, 60])
def test_spread_adds_up_within_its_bounds(total):
    least = np.array([1, 2, 3, 4])
    counts = spread(make_rng(0, 0), total, least, 15)
    assert counts.sum() == total
    assert (counts >= least).all()
    assert counts.max() <= 15


def test_spread_refuses_what_cannot_be():
    with pytest.raises(ValueError, match="cannot spread 61 over 4"):
        spread(make_rng(0, 0), 61, np.array([1, 2, 3, 4]), 15)


# People


def test_members_of_a_family_share_the_upper_colour_and_differ_pairwise():
    members = make_family(Difficulty(), 5, 2, 8)
    assert len({member.upper_color for member in members}) == 1
    builds = {"height": 1, "breadth": 1, "legs": 1, "head": 1, "leg_width": 1}
    assert len({dataclasses.replace(member, **builds) for member in members}) == 8


def test_a_longer_family_begins_like_a_shorter_one():
    assert make_family(Difficulty(), 5, 2, 16)[:8] == make_family(Difficulty(), 5, 2, 8)


# Pose

STANDING = Pose(yaw=0.0, phase=0.0, stride=0.0, arms="swing", arm_side=1, lean=0.0, head_yaw=0.0)


def skeleton_at(yaw):
    person = make_person(Recipe(TINY, 1), 0)
    return project(person, STANDING._replace(yaw=yaw), x=64, y=250, scale=230, pitch=0.2)


@pytest.mark.parametrize("joint", ["shoulder", "elbow", "wrist", "hip", "knee", "ankle", "ear"])
def test_left_is_on_the_images_right_in_front_and_on_its_left_from_behind(joint):
    front, back = skeleton_at(0.0).points, skeleton_at(np.pi).points
    assert front[f"left_{joint}"].x > 64 > front[f"right_{joint}"].x
    assert back[f"left_{joint}"].x < 64 < back[f"right_{joint}"].x


def test_the_head_hides_what_is_on_its_far_side():
    assert skeleton_at(0.0).hidden == set()
    assert skeleton_at(np.pi).hidden == {"nose", "left_eye", "right_eye"}
    # Walking to the image's right, a person turns the right side to the camera.
    assert skeleton_at(np.pi / 2).hidden == {"left_eye", "left_ear"}
    assert skeleton_at(-np.pi / 2).hidden == {"right_eye", "right_ear"}


def test_a_profile_looks_where_it_walks():
    points = skeleton_at(np.pi / 2).points
    assert points["nose"].x > points["head"].x
    assert points["left_toe"].x > points["left_heel"].x


# Pictures and truth


@pytest.fixture(scope="module")
def drawn():
    recipe = Recipe(PRESETS["small"], 11)
    images = make_plan(recipe)
    chosen = [*images[:1300:33], *images[-220::20]]
    return [(spec, render(recipe, spec)) for spec in chosen]


def test_images_have_the_real_sizes(drawn):
    for _, picture in drawn:
        assert (picture.image.size, picture.image.mode) == ((64, 128), "RGB")
        assert (picture.mask.size, picture.mask.mode) == ((64, 128), "L")


def test_visible_joints_lie_on_the_mask(drawn):
    distances = []
    for spec, picture in drawn:
        if spec.junk:
            continue
        rows, columns = np.nonzero(np.asarray(picture.mask) >= 100)
        for x, y in picture.joints[picture.visible]:
            distances.append(np.hypot(2 * columns + 0.5 - x, 2 * rows + 0.5 - y).min())
    assert len(distances) > 300
    # A joint at the edge of an occluder or of the face may be a few pixels beside the mask.
    assert max(distances) < 6
    assert np.mean(np.array(distances) < 1.5) > 0.95


def test_hidden_joints_are_outside_or_covered_or_on_the_far_side_of_the_head(drawn):
    for spec, picture in drawn:
        x, y = np.rint(picture.joints).T
        inside = (x >= 0) & (x < WIDTH) & (y >= 0) & (y < HEIGHT)
        assert not picture.visible[~inside].any()
        mask = np.asarray(picture.mask)
        for joint in np.flatnonzero(inside & ~picture.visible):
            x, y = np.rint(picture.joints[joint]).astype(int)
            far_side = joint < len(schema.JOINT_GROUPS[0][1])
            assert far_side or mask[y // 2, x // 2] < 255, (spec.name, schema.JOINTS[joint])


def test_most_of_a_good_image_is_visible_and_no_mask_is_empty(drawn):
    for spec, picture in drawn:
        if not spec.junk:
            assert 0.04 < (np.asarray(picture.mask) >= 100).mean() < 0.7


def test_occluders_take_pixels_and_joints_away_from_the_truth():
    free, covered = Difficulty(occluder_share=0.0), Difficulty(occluder_share=1.0)
    specs = in_folder(make_plan(Recipe(PRESETS["small"], 1)), TRAIN_FOLDER)[:60:3]
    pairs = [
        [render(Recipe(PRESETS["small"], 1, difficulty), spec) for difficulty in (free, covered)]
        for spec in specs
    ]
    before, after = (sum(int(pair[i].visible.sum()) for pair in pairs) for i in (0, 1))
    assert after < before
    for without, with_occluder in pairs:
        np.testing.assert_array_equal(without.joints, with_occluder.joints)
        assert not (with_occluder.visible & ~without.visible).any()
        assert (np.asarray(with_occluder.mask, int) <= np.asarray(without.mask, int)).all()


def test_a_picture_follows_from_its_spec_and_no_two_are_the_same(drawn):
    recipe = Recipe(PRESETS["small"], 11)
    spec, picture = drawn[0]
    again = render(recipe, spec)
    assert again.image.tobytes() == picture.image.tobytes()
    other = render(recipe, spec._replace(number=spec.number + 1))
    assert other.image.tobytes() != picture.image.tobytes()


# Keypoint maps


def decode(png):
    return np.asarray(Image.open(io.BytesIO(png)))


def test_a_map_is_a_gaussian_at_the_joint_to_a_part_of_a_pixel():
    joints = np.zeros((17, 2))
    joints[3] = (40.3, 200.6)
    visible = np.arange(17) == 3
    maps = [decode(png) for png in synthetic_files.encode_heatmaps(joints, visible)]
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    twin = 255 * np.exp(-((columns - 40.3) ** 2 + (rows - 200.6) ** 2) / (2 * 6.0**2))
    assert np.abs(maps[3] - twin).max() <= 0.51
    center = (maps[3] * columns).sum() / maps[3].sum(), (maps[3] * rows).sum() / maps[3].sum()
    np.testing.assert_allclose(center, (40.3, 200.6), atol=0.05)


@pytest.mark.parametrize("place", [(0.2, 0.4), (127.4, 255.4), (-0.4, 128), (64, -0.4)])
def test_a_map_at_the_border_is_cut_off_there(place):
    joints = np.tile(place, (17, 1)).astype(float)
    heatmap = decode(synthetic_files.encode_heatmaps(joints, np.ones(17, bool))[0])
    assert heatmap.shape == (HEIGHT, WIDTH)
    assert heatmap.max() >= 253


@pytest.mark.parametrize("hidden", range(17))
def test_a_hidden_joint_leaves_its_own_map_empty_and_shifts_no_other(hidden):
    joints = np.random.default_rng(0).uniform((0, 0), (WIDTH - 1, HEIGHT - 1), (17, 2))
    visible = np.ones(17, bool)
    whole = synthetic_files.encode_heatmaps(joints, visible)
    visible[hidden] = False
    maps = synthetic_files.encode_heatmaps(joints, visible)
    assert decode(maps[hidden]).max() == 0
    assert [maps[j] for j in range(17) if j != hidden] == [
        whole[j] for j in range(17) if j != hidden
    ]


# The folder


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_layout_is_the_real_one(tiny_set):
    names = {
        part: set(os.listdir(tiny_set / "Market-1501" / part))
        for part in ("bounding_box_train", "bounding_box_test", "query")
    }
    assert {part: len(files) for part, files in names.items()} == {
        "bounding_box_train": 20,
        "bounding_box_test": 16,
        "query": 7,
    }
    for part, files in names.items():
        assert set(os.listdir(tiny_set / "mask-anno" / part)) == files
    maps = set(os.listdir(tiny_set / "Market_cpn_keypoints" / "bounding_box_train_256_2"))
    stems = {name[:-4] for name in names["bounding_box_train"]}
    assert maps == {f"{stem}_{joint:02d}.png" for stem in stems for joint in range(17)}
    assert sorted(os.listdir(tiny_set)) == [
        "Market-1501",
        "Market_cpn_keypoints",
        "mask-anno",
        "synthetic.json",
    ]


def test_files_are_what_their_names_say(tiny_set):
    for path, size, mode in (
        ("Market-1501/bounding_box_train", (64, 128), "RGB"),
        ("mask-anno/bounding_box_train", (64, 128), "L"),
        ("Market_cpn_keypoints/bounding_box_train_256_2", (128, 256), "L"),
    ):
        for file in (tiny_set / path).iterdir():
            image = Image.open(file)
            assert (image.size, image.mode) == (size, mode)
            assert image.format == ("PNG" if file.suffix == ".png" else "JPEG")


def test_maps_on_disk_peak_at_visible_joints_and_are_empty_at_the_others(tiny_set):
    recipe = Recipe(TINY, 3)
    for spec in in_folder(make_plan(recipe), TRAIN_FOLDER)[:5]:
        picture = render(recipe, spec)
        paths = synthetic_files.paths_of(spec)[1:-1]
        for path, place, visible in zip(paths, picture.joints, picture.visible):
            heatmap = np.asarray(Image.open(tiny_set / path))
            assert (heatmap.max() > 0) == visible
            if visible:
                row, column = np.unravel_index(heatmap.argmax(), heatmap.shape)
                assert np.hypot(column - place[0], row - place[1]) < 1


def test_manifest_says_what_the_set_is(tiny_set):
    manifest = json.loads((tiny_set / "synthetic.json").read_text())
    assert (manifest["preset"], manifest["seed"], manifest["version"]) == ("tiny", 3, 1)
    assert manifest["counts"] == synthetic.count(make_plan(Recipe(TINY, 3)))


def test_bytes_do_not_depend_on_the_number_of_processes(tiny_set, tmp_path):
    synthetic.write_synthetic_market(tmp_path / "two", TINY, seed=3, workers=2, progress=False)
    assert contents(tmp_path / "two") == contents(tiny_set)


def test_another_seed_gives_other_pictures(tiny_set, tmp_path):
    synthetic.write_synthetic_market(tmp_path / "other", TINY, seed=4, workers=1, progress=False)
    images = [
        {data for path, data in contents(folder).items() if path.startswith("Market-1501")}
        for folder in (tiny_set, tmp_path / "other")
    ]
    assert not images[0] & images[1]


def write_and_stop(folder, images, monkeypatch):
    """Write a set of seed 3 and be interrupted after some images."""
    calls = iter(range(images))
    original = synthetic.make_files

    def make_files(*arguments):
        if next(calls, None) is None:
            raise KeyboardInterrupt
        return original(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(synthetic, "make_files", make_files)
        with pytest.raises(KeyboardInterrupt):
            synthetic.write_synthetic_market(folder, TINY, seed=3, workers=1, progress=False)


def test_a_stopped_run_goes_on_and_ends_with_the_same_bytes(tiny_set, tmp_path, monkeypatch):
    folder = tmp_path / "set"
    write_and_stop(folder, 6, monkeypatch)
    assert not (folder / "synthetic.json").exists()
    first = sorted((folder / "Market-1501" / "bounding_box_train").iterdir())
    assert len(first) == 6
    kept = {path: path.stat().st_mtime_ns for path in first}
    # As a kill and a power cut would leave it: half a file under its temporary name, an empty one.
    (folder / "mask-anno" / "query" / "left.jpg.part").unlink(missing_ok=True)
    emptied = sorted((folder / "Market_cpn_keypoints/bounding_box_train_256_2").iterdir())[-1]
    emptied.write_bytes(b"")
    synthetic.write_synthetic_market(folder, TINY, seed=3, workers=1, progress=False)
    assert contents(folder) == contents(tiny_set)
    touched = [path for path, time in kept.items() if path.stat().st_mtime_ns != time]
    assert [path.stem for path in touched] == [emptied.stem[:-3]]


def test_a_finished_set_is_left_alone(tiny_set):
    before = {path: path.stat().st_mtime_ns for path in tiny_set.rglob("*")}
    counts = synthetic.write_synthetic_market(tiny_set, TINY, seed=3, workers=1, progress=False)
    assert counts["train"] == 20
    assert {path: path.stat().st_mtime_ns for path in tiny_set.rglob("*")} == before


def test_a_folder_of_another_set_is_refused(tiny_set):
    with pytest.raises(UserError, match=r"another synthetic set \(seed 3 instead of 4\)"):
        synthetic.write_synthetic_market(tiny_set, TINY, seed=4, progress=False)
    with pytest.raises(UserError, match=r"preset tiny instead of small"):
        synthetic.write_synthetic_market(tiny_set, "small", seed=3, progress=False)


def test_a_begun_folder_of_another_set_is_refused(tmp_path, monkeypatch):
    write_and_stop(tmp_path, 1, monkeypatch)
    before = contents(tmp_path)
    with pytest.raises(UserError, match="seed 3 instead of 5"):
        synthetic.write_synthetic_market(tmp_path, TINY, seed=5, workers=1, progress=False)
    assert contents(tmp_path) == before


def test_foreign_files_are_refused_and_kept(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(UserError, match="holds other files, 'thesis.txt' for example"):
        synthetic.write_synthetic_market(tmp_path, TINY, progress=False)
    assert contents(tmp_path) == {"thesis.txt": b"years of work"}


def test_a_file_in_the_folders_place_is_refused(tmp_path):
    (tmp_path / "set").write_text("x")
    with pytest.raises(UserError, match="is a file, expected a folder"):
        synthetic.write_synthetic_market(tmp_path / "set", TINY, progress=False)


def test_a_damaged_note_is_named(tmp_path):
    (tmp_path / "synthetic.json").write_text("{")
    with pytest.raises(UserError, match=r"synthetic\.json: expected a JSON object"):
        synthetic.write_synthetic_market(tmp_path, TINY, progress=False)


def test_two_runs_at_once_are_refused(tmp_path):
    handle = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        with pytest.raises(UserError, match="another run is writing there"):
            synthetic.write_synthetic_market(tmp_path, TINY, progress=False)
    finally:
        os.close(handle)


def test_a_full_disk_is_one_clear_line(tmp_path, monkeypatch):
    def replace(source, target):
        raise OSError(28, "No space left on device", target)

    monkeypatch.setattr(synthetic, "os", types.SimpleNamespace(**{**vars(os), "replace": replace}))
    with pytest.raises(UserError, match="No space left on device.*goes on where it stopped"):
        synthetic.write_synthetic_market(tmp_path, TINY, seed=3, workers=1, progress=False)
    assert not [path for path in contents(tmp_path / "mask-anno") if path.endswith(".part")]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"preset": "huge"}, "--preset=huge: expected one of small, market1501"),
        ({"seed": -1}, "--seed=-1: expected 0 or more"),
        ({"workers": -2}, "--workers=-2: expected 0 or more"),
    ],
)
def test_bad_arguments_are_refused_before_anything_is_written(tmp_path, arguments, message):
    with pytest.raises(UserError, match=message):
        synthetic.write_synthetic_market(tmp_path / "set", progress=False, **arguments)
    assert not (tmp_path / "set").exists()
