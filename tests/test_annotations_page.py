"""The examples of docs/annotations.md are read as the page says."""

from __future__ import annotations

import json
import pathlib
import re

import numpy as np

from daaf_tf import schema
from daaf_tf.data.coco import read_coco
from daaf_tf.data.person import Person, make_keypoints, make_person_mask

PAGE = pathlib.Path(__file__).parents[1] / "docs" / "annotations.md"
NAME = "0002_c1s1_000451_03.jpg"
HEIGHT, WIDTH = 128, 64


def examples():
    return re.findall(r"```json\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


def test_files(tmp_path):
    for text, visibilities in zip(examples(), ([1.0] * 15 + [0.0] * 2, [0.98, 0.97])):
        (tmp_path / "poses.json").write_text(text)
        found = read_coco(str(tmp_path / "poses.json"))
        assert not found.problems
        assert list(found.persons) == [NAME]
        (person,) = found.persons[NAME]
        joints = make_keypoints(person, HEIGHT, WIDTH)
        np.testing.assert_allclose(joints[: len(visibilities), 2], visibilities)
        if person.segmentation is not None:
            make_person_mask(person, HEIGHT, WIDTH)


def test_masks():
    polygon, plain, compressed = (
        make_person_mask(Person("page", segmentation=json.loads(text)), HEIGHT, WIDTH)
        for text in examples()[2:]
    )
    assert polygon != plain
    assert plain == compressed


def test_joints_are_listed_in_order():
    assert ", ".join(schema.JOINTS) in re.sub(r"\n> ", " ", PAGE.read_text(encoding="utf-8"))
