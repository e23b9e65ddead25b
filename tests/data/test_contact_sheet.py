from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from tiny_market import draw_market

from daaf_tf.data.contact_sheet import draw_contact_sheet
from daaf_tf.data.datasets import DATASETS
from daaf_tf.data.listing import list_images
from daaf_tf.data.reading import read_record


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    root = draw_market(tmp_path_factory.mktemp("sheet"))
    dataset = DATASETS["market1501"]
    files = list_images(dataset, root).images["train"]
    return [read_record(file, str(root), dataset.max_stretch, 128)[0] for file in files]


def test_same_samples_give_the_same_pixels(records):
    one, two = (np.asarray(draw_contact_sheet({"train": records}, "set")) for _ in range(2))
    np.testing.assert_array_equal(one, two)


def test_sheet_grows_by_a_row_for_four_samples(records):
    heights = [
        draw_contact_sheet({"train": records[:1] * count}, "set").height for count in (1, 4, 5, 9)
    ]
    assert heights[0] == heights[1] < heights[2]
    assert heights[3] - heights[2] == heights[2] - heights[1]


def test_joint_is_drawn_where_it_is_stored(records):
    """One joint alone, a left wrist: red is found around it, and nowhere else."""
    black = dataclasses.replace(records[0], mask=None, heatmaps=None)
    for x, y in ((0.25, 0.25), (0.5, 0.75), (0.75, 0.5)):
        keypoints = np.zeros((17, 3), np.float32)
        keypoints[9] = x, y, 1
        nothing = dataclasses.replace(black, keypoints=np.zeros((17, 3), np.float32))
        something = dataclasses.replace(black, keypoints=keypoints)
        sheets = [
            np.asarray(draw_contact_sheet({"train": [record]}, "set"), float)
            for record in (nothing, something)
        ]
        rows, columns = np.nonzero(np.abs(sheets[1] - sheets[0]).max(axis=2) > 60)
        # The third panel begins after two panels and two seams, below title and heading.
        assert abs(columns.mean() + 0.5 - (32 + 2 * 98 + 96 * x)) < 1
        assert abs(rows.mean() + 0.5 - (32 + 44 + 44 + 192 * y)) < 1


@pytest.mark.parametrize(
    "absent",
    [
        {"mask": None},
        {"heatmaps": None},
        {"keypoints": None},
        {"heatmaps": None, "keypoints": None},
        {"filename": "ü" + 99 * "x" + "\udcff\u4e2d.jpg"},
    ],
)
def test_absent_annotations_and_odd_names_are_drawn(records, absent):
    sample = dataclasses.replace(records[0], **absent)
    usual = draw_contact_sheet({"query": records[:1]}, "set")
    drawn = draw_contact_sheet({"query": [sample]}, "set")
    assert drawn.size == usual.size
    assert drawn.tobytes() != usual.tobytes()
