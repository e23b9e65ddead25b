from __future__ import annotations

import io
import json

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from daaf_tf import schema
from daaf_tf.data.annotations import BadFile
from daaf_tf.data.person import Person, choose_person, make_keypoints, make_person_mask

HEIGHT, WIDTH = 32, 16


def make_person(origin="poses.json: annotations[0]", **fields):
    return Person(origin, **fields)


def make_joints(seed=0, third=2):
    """Return the 51 numbers of joints inside the image."""
    points = np.random.RandomState(seed).uniform(1, (WIDTH - 2, HEIGHT - 2), (17, 2))
    return np.column_stack((points, np.broadcast_to(third, 17))).ravel().tolist()


def draw_blobs(seed):
    """Return a mask with several parts and a hole, [HEIGHT, WIDTH] bool."""
    random = np.random.RandomState(seed)
    mask = np.kron(random.randint(0, 2, (8, 4)), np.ones((4, 4))).astype(bool)
    mask[seed % HEIGHT, seed % WIDTH] ^= True
    return mask


def compress(mask):
    rle = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": [HEIGHT, WIDTH], "counts": rle["counts"].decode()}


def run_lengths(mask):
    """Return the uncompressed RLE of a mask, by walking over its pixels."""
    counts, last = [0], False
    for pixel in mask.T.ravel():
        if pixel != last:
            counts.append(0)
            last = pixel
        counts[-1] += 1
    return {"size": [HEIGHT, WIDTH], "counts": counts}


def decode(png):
    return np.asarray(Image.open(io.BytesIO(png)))


@pytest.mark.parametrize("write", [compress, run_lengths])
def test_rle_gives_the_mask_back(write):
    for seed in range(40):
        mask = draw_blobs(seed)
        pixels = decode(make_person_mask(make_person(segmentation=write(mask)), HEIGHT, WIDTH))
        np.testing.assert_array_equal(pixels, 255 * mask)
        assert pixels.dtype == np.uint8


def test_rle_of_a_large_image_gives_the_mask_back():
    rows, columns = np.mgrid[:700, :300]
    mask = np.hypot(rows - 300, columns - 150) % 90 < 60
    rle = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
    segmentation = {"size": [700, 300], "counts": rle["counts"].decode()}
    pixels = decode(make_person_mask(make_person(segmentation=segmentation), 700, 300))
    np.testing.assert_array_equal(pixels, 255 * mask)


def test_polygons_are_filled_and_joined():
    polygons = [[2, 4, 10, 4, 10, 20, 2, 20], [8.0, 10.0, 14.0, 10.0, 14.0, 30.0, 8.0, 30.0]]
    pixels = decode(make_person_mask(make_person(segmentation=polygons), HEIGHT, WIDTH))
    expected = np.zeros((HEIGHT, WIDTH), np.uint8)
    expected[4:20, 2:10] = 255
    expected[10:30, 8:14] = 255
    np.testing.assert_array_equal(pixels, expected)


GOOD = {"size": [HEIGHT, WIDTH], "counts": [100, 12, 400]}
BAD_SEGMENTATIONS = {
    "sum": ({**GOOD, "counts": [100, 12, 399]}, "broken RLE: its counts should add up to 512"),
    "negative": ({**GOOD, "counts": [-1, 13, 500]}, "broken RLE.*none below 0"),
    "size": (
        {**GOOD, "size": [WIDTH, HEIGHT]},
        r"size \[16, 32\], expected the image's \[32, 16\]",
    ),
    "no_size": ({"counts": [512]}, "RLE of size None"),
    "no_counts": ({"size": [HEIGHT, WIDTH]}, "RLE counts None"),
    "float_counts": ({**GOOD, "counts": [100.0, 412.0]}, "RLE counts"),
    "letters": ({**GOOD, "counts": "zzz~"}, "broken RLE: '.' in its counts"),
    "cut": ({**GOOD, "counts": compress(draw_blobs(3))["counts"][:-3]}, "broken RLE"),
    "endless": ({**GOOD, "counts": "o" * 40}, "broken RLE"),
    "empty_text": ({**GOOD, "counts": ""}, "broken RLE"),
    "empty": ({**GOOD, "counts": [512]}, "without a pixel"),
    "flat": ([2, 4, 10, 4, 10, 20], "polygon 2, expected a list"),
    "odd": ([[2, 4, 10, 4, 10, 20, 3]], "polygon of 7 numbers"),
    "short": ([[2, 4, 10, 4]], "polygon of 4 numbers"),
    "nan": ([[2, 4, float("nan"), 4, 10, 20]], "expected a list of finite numbers"),
    "far": ([[2, 4, 1e9, 4, 10, 20]], "polygon far outside the image of 16x32"),
    "text": ("mask", "expected an RLE or polygons"),
}


@pytest.mark.parametrize("name", BAD_SEGMENTATIONS)
def test_bad_segmentation_is_refused_with_the_reason(name):
    segmentation, reason = BAD_SEGMENTATIONS[name]
    with pytest.raises(BadFile, match=reason):
        make_person_mask(make_person(segmentation=segmentation), HEIGHT, WIDTH)


def test_joints_are_stored_as_heat_maps_have_them():
    flags = np.array([2, 1, 0] * 5 + [2, 2])
    joints = np.array(make_joints(third=flags)).reshape(17, 3)
    joints[flags == 0, :2] = 0
    stored = make_keypoints(make_person(keypoints=joints.ravel().tolist()), HEIGHT, WIDTH)
    assert stored.dtype == np.float32
    np.testing.assert_array_equal(stored[:, 2], flags == 2)
    # Pixel 0 has its centre at 0 in COCO, at 0.5 in a record.
    expected = (joints[:, :2] + 0.5) / (WIDTH, HEIGHT) * (flags > 0)[:, None]
    np.testing.assert_allclose(stored[:, :2], expected, rtol=1e-6)


def test_scores_of_an_estimator_become_visibility():
    scores = np.linspace(-0.1, 1.5, 17)
    person = make_person(keypoints=make_joints(third=scores), is_result=True)
    stored = make_keypoints(person, HEIGHT, WIDTH)
    np.testing.assert_allclose(stored[:, 2], np.clip(scores, 0, 1), rtol=1e-6)


def test_a_joint_outside_the_image_is_hidden_and_one_on_its_border_is_not():
    joints = make_joints()
    joints[0:2] = [-9.0, 5.0]
    joints[3:5] = [5.0, HEIGHT + 20.0]
    joints[6:8] = [0.0, HEIGHT]  # counted from corners, the lower left one
    stored = make_keypoints(make_person(keypoints=joints), HEIGHT, WIDTH)
    np.testing.assert_array_equal(stored[:2], np.zeros((2, 3)))
    np.testing.assert_allclose(stored[2], [0.5 / WIDTH, 1, 1])
    assert (stored[2:, 2] == 1).all()
    assert (stored[:, :2] >= 0).all()
    assert (stored[:, :2] <= 1).all()


@pytest.mark.parametrize("is_result", [True, False])
def test_a_person_without_a_labelled_joint_has_no_keypoints(is_result):
    for joints in ([0] * 51, make_joints(third=0)):
        person = make_person(keypoints=joints, is_result=is_result)
        assert make_keypoints(person, HEIGHT, WIDTH) is None


def changed(place, value):
    return [*make_joints()[:place], value, *make_joints()[place + 1 :]]


BAD_KEYPOINTS = {
    "nan": (changed(9, float("nan")), "x of left_ear is nan, expected a number"),
    "infinite": (changed(50, float("inf")), "visibility of right_ankle is inf"),
    "null": (changed(1, None), "y of nose is None"),
    "text": (changed(1, "3"), "y of nose is '3'"),
    "huge": (changed(1, 10**400), "y of nose is 1000"),
    "length": (make_joints()[:-1], "50 numbers in keypoints, expected 51"),
    "type": ({"nose": [1, 2]}, "keypoints are dict, expected a list"),
    "flag": (changed(5, 0.93), "visibility 0.93 of left_eye, expected 0, 1 or 2"),
    "far": (changed(0, 700.0), r"nose at \(700, .*far outside the image of 16x32"),
    "outside": ([-4, 5, 2] + [0] * 48, "all joints are outside the image of 16x32"),
}


@pytest.mark.parametrize("name", BAD_KEYPOINTS)
def test_bad_keypoints_are_refused_with_the_reason(name):
    joints, reason = BAD_KEYPOINTS[name]
    with pytest.raises(BadFile, match=reason):
        make_keypoints(make_person(keypoints=joints), HEIGHT, WIDTH)


def test_an_image_of_another_size_is_refused():
    for size in ((HEIGHT, WIDTH), (WIDTH, None), ("16", "32")):
        person = make_person(keypoints=make_joints(), segmentation=GOOD, image_size=size)
        for make in (make_keypoints, make_person_mask):
            with pytest.raises(BadFile, match="made for an image of .*, this one has 16x32"):
                make(person, HEIGHT, WIDTH)


def choose(persons, what):
    chosen = choose_person(persons, what, HEIGHT, WIDTH)
    return chosen and chosen.origin


def test_the_person_that_fills_the_crop_is_chosen():
    both = {"keypoints": make_joints(), "segmentation": GOOD}
    small = make_person("small", box=[0, 0, 5, 9], score=0.9, **both)
    full = make_person("full", box=[1, 1, 14, 30], score=0.5, **both)
    huge = make_person("huge", box=[-60, -60, 200, 200], **both)
    crowd = make_person("crowd", box=[0, 0, WIDTH, HEIGHT], is_crowd=True, **both)
    for persons in ([small, full, huge, crowd], [crowd, huge, full, small]):
        for what in ("keypoints", "segmentation"):
            assert choose(persons, what) == "full"
    better = make_person("better", box=[1, 1, 14, 30], score=0.6, **both)
    assert choose([full, better, full], "keypoints") == "better"
    assert choose([crowd], "keypoints") == "crowd"
    assert choose([], "keypoints") is None


def test_without_boxes_joints_and_masks_say_who_fills_the_crop():
    corner = [3.0, 3.0, 2] * 9 + [5.0, 6.0, 2] * 8
    persons = [make_person("corner", keypoints=corner), make_person("all", keypoints=make_joints())]
    assert choose(persons, "keypoints") == "all"
    left = np.zeros((HEIGHT, WIDTH), bool)
    left[:, :3] = True
    masks = [make_person("left", segmentation=compress(left))]
    masks.append(make_person("right", segmentation=compress(~left)))
    assert choose(masks, "segmentation") == "right"
    assert choose(masks + persons, "keypoints") == "all"
    assert choose(masks + persons, "segmentation") == "right"


def test_keypoints_of_a_bystander_never_join_the_mask_of_another():
    main = make_person("main", box=[0, 0, 16, 32], segmentation=GOOD)
    other = make_person("bystander", box=[0, 0, 4, 8], segmentation=GOOD, keypoints=make_joints())
    assert choose([other, main], "segmentation") == "main"
    assert choose([other, main], "keypoints") is None


def test_a_malformed_box_matters_only_where_there_is_a_choice():
    bad = make_person("bad", box=[1, 2, float("nan"), 4], keypoints=make_joints())
    assert choose([bad], "keypoints") == "bad"
    with pytest.raises(BadFile, match=r"bbox \[1, 2, nan, 4\], expected 4 numbers"):
        choose([bad, bad], "keypoints")


def test_whatever_a_file_says_the_answer_is_a_value_or_a_reason():
    """Mutated annotations never raise anything but BadFile, and never give impossible values."""
    random = np.random.RandomState(0)
    good = {
        "keypoints": make_joints(),
        "rle": compress(draw_blobs(1)),
        "counts": run_lengths(draw_blobs(2)),
        "polygons": [[2.0, 4.0, 10.0, 4.0, 10.0, 20.0]],
        "box": [1, 1, 10, 20],
    }
    text = json.dumps(good)
    alphabet = '0123456789-.,"[]{}eNIa:' + text
    reasons, outcomes = [], {"value": 0, "reason": 0, "no json": 0}
    for _ in range(3000):
        characters = list(text)
        for _ in range(random.randint(1, 4)):
            place = random.randint(len(characters))
            characters[place] = alphabet[random.randint(len(alphabet))]
        try:
            mutated = json.loads("".join(characters))
        except ValueError:
            outcomes["no json"] += 1
            continue
        for segmentation in (mutated.get(name) for name in ("rle", "counts", "polygons")):
            person = make_person(
                keypoints=mutated.get("keypoints"),
                segmentation=segmentation,
                box=mutated.get("box"),
                is_result=bool(random.randint(2)),
            )
            for make in (check_keypoints, check_mask, check_choice):
                try:
                    make(person)
                    outcomes["value"] += 1
                except BadFile as error:
                    reasons.append(str(error))
                    outcomes["reason"] += 1
    assert all(reasons)
    assert min(outcomes.values()) > 300, outcomes


def check_keypoints(person):
    stored = make_keypoints(person, HEIGHT, WIDTH)
    if stored is not None:
        assert stored.shape == (schema.NUM_JOINTS, 3)
        assert (stored >= 0).all()
        assert (stored <= 1).all()


def check_mask(person):
    pixels = decode(make_person_mask(person, HEIGHT, WIDTH))
    assert pixels.shape == (HEIGHT, WIDTH)
    assert set(np.unique(pixels)) <= {0, 255}


def check_choice(person):
    choose_person([person, make_person(keypoints=make_joints())], "keypoints", HEIGHT, WIDTH)
