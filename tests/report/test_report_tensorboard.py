"""What TensorBoard shows of a report, asked from a TensorBoard of our own."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

import numpy as np
import pytest
from PIL import Image
from report_case import make_case

from daaf_tf.errors import UserError
from daaf_tf.report import write_tensorboard
from daaf_tf.report.tensorboard import MOST_POINTS, choose_points

SECONDS = 120  # what nothing here takes, unless it hangs


@pytest.fixture(scope="module")
def case():
    return make_case()


def write(folder, case, **changed):
    pixels = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    arguments = {name: case[name] for name in ("query", "gallery", "read_image")}
    write_tensorboard(folder, **{"pictures": {"ranked/worst": pixels}, **arguments, **changed})
    return pixels


def read_rows(path):
    return [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()]


@contextlib.contextmanager
def tensorboard(folder, log):
    """Run TensorBoard on a free port; yield its address."""
    command = [sys.executable, "-m", "tensorboard.main", "--logdir", str(folder)]
    command += ["--host=127.0.0.1", "--port=0", "--load_fast=false", "--reload_interval=1"]
    environment = {**os.environ, "NO_PROXY": "127.0.0.1", "PYTHONUNBUFFERED": "1"}
    with open(log, "wb") as file:
        process = subprocess.Popen(command, env=environment, stdout=file, stderr=file)
    try:
        deadline = time.monotonic() + SECONDS
        while "http://127.0.0.1:" not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        port = log.read_text().split("http://127.0.0.1:")[1].split("/")[0]
        yield f"http://127.0.0.1:{port}/data/plugin"
    finally:
        process.kill()
        process.wait()


def fetch(address, **parameters):
    """Return the body of an answer, waiting until TensorBoard has read the folder."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    url = f"{address}?{urllib.parse.urlencode(parameters)}"
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            body = opener.open(url, timeout=SECONDS).read()
            if body not in (b"{}", b"[]"):
                return body
        except urllib.error.HTTPError as error:
            body = error.read()
        assert time.monotonic() < deadline, (url, body)
        time.sleep(0.2)


def test_a_real_tensorboard_shows_it(case, tmp_path):
    folder = tmp_path / "report"
    pixels = write(folder, case)
    with tensorboard(tmp_path, tmp_path / "log.txt") as address:
        images = json.loads(fetch(f"{address}/images/tags"))
        assert list(images) == ["report"]
        (name,) = images["report"]
        (entry,) = json.loads(fetch(f"{address}/images/images", run="report", tag=name, sample=0))
        drawn = fetch(f"{address}/images/individualImage?{entry['query']}")
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(drawn))), pixels)

        projector = f"{address}/projector"
        assert json.loads(fetch(f"{projector}/runs")) == ["report"]
        (embedding,) = json.loads(fetch(f"{projector}/info", run="report"))["embeddings"]
        assert embedding["tensorShape"] == [160, 8]
        chosen = {"run": "report", "name": embedding["tensorName"]}
        values = np.frombuffer(fetch(f"{projector}/tensor", **chosen), np.float32).reshape(160, 8)
        features = np.concatenate([case["query"].features, case["gallery"].features])
        np.testing.assert_allclose(values, features, rtol=1e-4)
        metadata = fetch(f"{projector}/metadata", **chosen).decode().splitlines()
        assert metadata[0] == "person\tcamera\tsplit\tfilename"
        assert len(metadata) == 161
        sprite = Image.open(io.BytesIO(fetch(f"{projector}/sprite_image", **chosen)))
        width, height = embedding["sprite"]["singleImageDim"]
        # The browser counts the columns so, and takes the images row by row.
        assert (sprite.width // width) * (sprite.height // height) >= 160


def test_a_point_has_its_own_picture_and_names(case, tmp_path):
    write(tmp_path, case)
    rows = read_rows(tmp_path / "metadata.tsv")[1:]
    sprite = np.asarray(Image.open(tmp_path / "sprite.jpg"))
    columns = sprite.shape[1] // 32
    for place in (0, 13, 39, 40, 97, 159):
        split, people = ("query", case["query"]) if place < 40 else ("gallery", case["gallery"])
        index = place if place < 40 else place - 40
        assert rows[place] == [
            str(people.person_ids[index]),
            str(people.camera_ids[index]),
            split,
            f"{split}_{index:05d}.jpg",
        ]
        row, column = divmod(place, columns)
        seen = sprite[64 * row + 32, 32 * column + 16].astype(int)
        assert np.abs(seen - case["read_image"](split, index)[0, 0]).max() <= 8


def test_without_images_there_is_no_sprite(case, tmp_path):
    write(tmp_path, case)
    write(tmp_path, case, read_image=None)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {
        "embeddings.tsv",
        "events.out.tfevents.0.report",
        "metadata.tsv",
        "projector_config.pbtxt",
    }
    assert "sprite" not in (tmp_path / "projector_config.pbtxt").read_text()


def test_a_large_set_shows_whole_persons_that_are_asked_for():
    case = make_case(300, 4000, num_persons=100)
    query, gallery = case["query"], case["gallery"]
    points = choose_points(query, gallery)
    assert MOST_POINTS * 0.9 < len(points) <= MOST_POINTS
    assert points == choose_points(query, gallery)
    features = {"query": query, "gallery": gallery}
    taken = {int(features[split].person_ids[index]) for split, index in points}
    assert taken <= set(query.person_ids.tolist())
    for split, people in features.items():
        whole = np.flatnonzero(np.isin(people.person_ids, list(taken))).tolist()
        assert [index for name, index in points if name == split] == whole


def test_a_person_with_too_many_images_is_cut():
    case = make_case(10, 3000, num_persons=1)
    assert len(choose_points(case["query"], case["gallery"])) in range(1, MOST_POINTS + 1)


def test_names_cannot_break_the_table(case, tmp_path):
    names = np.array(["a\tb\nc\udcff"] * 40)
    write(tmp_path, case, query=dataclasses.replace(case["query"], filenames=names))
    rows = read_rows(tmp_path / "metadata.tsv")
    assert {len(row) for row in rows} == {4}
    assert len(rows) == 161


def test_bad_input_is_named(case, tmp_path):
    with pytest.raises(UserError, match=r"image: .* received float64 of shape \[2, 2\]"):
        write(tmp_path, case, pictures={"bad": np.zeros((2, 2))})
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot make the report's folder"):
        write(tmp_path / "file", case)
