"""Lists of images and COCO files among what is fuzzed: each line or entry is right, or named."""

from __future__ import annotations

import csv
import io
import json
import pathlib

import numpy as np
from tiny_market import HEIGHT, QUERY, TRAIN, WIDTH

from daaf_tf import schema
from daaf_tf.data.coco import add_persons
from daaf_tf.data.datasets import DATASETS
from daaf_tf.data.listed import read_csv
from daaf_tf.data.listing import list_images
from daaf_tf.data.reading import read_record
from daaf_tf.data.stored import parse_mask
from daaf_tf.errors import UserError

MARKET = DATASETS["market1501"]


def make_csv_corpus() -> list[bytes]:
    """Return CSV files of all forms that are taken."""
    plain = "".join(f"crops/{i}.jpg,{i // 2},{i % 3},train\n" for i in range(8))
    quoted = "".join(f'{i},"a, {i}/b.png"\r\n' for i in range(5))
    return [
        f"path,person_id,camera_id,split\n{plain}".encode(),
        f"person_id,path\r\n{quoted}".encode("utf-8-sig"),
    ]


def make_coco_corpus(root: pathlib.Path) -> list[bytes]:
    """Return a ground-truth file and a result list about the images of a tiny market."""
    names = sorted(path.name for path in (root / TRAIN).iterdir())[:3]
    random = np.random.RandomState(1)
    rle = {"size": [HEIGHT, WIDTH], "counts": [32 * 4, 32 * 8, 32 * 4]}
    images = [
        {"id": i, "file_name": name, "width": WIDTH, "height": HEIGHT}
        for i, name in enumerate(names)
    ]
    truth, results = [], []
    for i, name in enumerate(names):
        places = random.randint(1, 14, (17, 2))
        flagged = np.column_stack((places, random.randint(0, 3, 17))).ravel().tolist()
        scored = np.column_stack((places, np.full(17, 0.5))).ravel().tolist()
        entry = {"image_id": i, "category_id": 1, "keypoints": flagged, "segmentation": rle}
        truth.append({**entry, "id": i, "bbox": [2, 2, 12, 28], "iscrowd": 0})
        results.append({"image_id": name, "category_id": 1, "keypoints": scored, "score": 0.9})
    person = {"id": 1, "name": "person", "keypoints": list(schema.JOINTS)}
    whole = {"images": images, "annotations": truth, "categories": [person]}
    return [json.dumps(whole).encode(), json.dumps(results).encode()]


def demand(error: Exception, start: str, *parts: str) -> None:
    """Demand that an error begins with the path of the file, and says more than that."""
    message = str(error)
    assert message.startswith(start), message
    assert all(part in message for part in parts), message
    assert len(message) > len(start) + 10, message


class CsvCheck:
    """A CSV is refused by name, or each of its lines is taken as Python's own reader has it."""

    def __init__(self, folder: pathlib.Path):
        folder.mkdir()
        self._folder, self._path = folder, folder / "list.csv"

    def __call__(self, data: bytes) -> bool:
        self._path.write_bytes(data)
        try:
            found = read_csv(self._path, self._folder)
        except UserError as error:
            demand(error, str(self._path))
            return True
        rows = self._parse(data)
        assert {image.line for image in found.images} | {line for line, _, _ in found.faults} == {
            line for line, row in rows.items() if any(cell.strip() for cell in row)
        }
        assert all(reason for _, _, reason in found.faults)
        header = [cell.strip() for cell in self._header]
        for image in found.images:
            row = dict(zip(header, (cell.strip() for cell in rows[image.line])))
            assert int(row["person_id"]) == image.person_id
            assert row.get("camera_id") in (None, "") or int(row["camera_id"]) == image.camera_id
            assert pathlib.PurePosixPath(row["path"]) == pathlib.PurePosixPath(image.path)
            assert ".." not in image.path.split("/")
            assert image.split == row.get("split", schema.TRAIN)
        return bool(found.faults)

    def _parse(self, data: bytes) -> dict[int, list[str]]:
        text = io.StringIO(data.decode("utf-8-sig"), newline="")
        reader = csv.reader(text, skipinitialspace=True)
        self._header = next(reader)
        rows = {}
        for row in reader:
            rows[reader.line_num] = row
        return rows


class CocoCheck:
    """A COCO file is refused by name, or what is stored of it fits, and the rest is named."""

    def __init__(self, root: pathlib.Path):
        self._root, self._path = root, root / "persons.json"

    def __call__(self, data: bytes) -> bool:
        self._path.write_bytes(data)
        listing = list_images(MARKET, self._root)
        known = len(listing.problems)
        try:
            add_persons(listing, [str(self._path)])
        except UserError as error:
            demand(error, str(self._path))
            return True
        named = listing.problems[known:]
        for split, folder in ((schema.TRAIN, TRAIN), (schema.QUERY, QUERY)):
            for file in listing.images[split]:
                assert file.path.startswith(folder)
                named += self._check_image(file)
        assert all(problem.file and problem.reason for problem in named)
        return bool(named)

    def _check_image(self, file) -> list:
        record, problems = read_record(file, str(self._root), MARKET.max_stretch, 64)
        assert record is not None
        if record.keypoints is not None:
            assert record.keypoints.shape == (17, 3)
            visible = record.keypoints[record.keypoints[:, 2] > 0]
            assert ((visible >= 0) & (visible <= 1)).all()
        if record.mask is not None:
            parse_mask(record.mask, record.height, record.width)
        return problems
