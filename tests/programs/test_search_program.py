"""The search program as a user runs it, over a tiny model and a tiny set."""

from __future__ import annotations

import json
import re
import shutil

import pytest
from PIL import Image
from run_program import run


@pytest.fixture(scope="module")
def saved_model(tmp_path_factory):
    import tensorflow as tf

    from daaf_tf.config import Config
    from daaf_tf.model import build_daaf, embedding_model
    from daaf_tf.serving import write_saved_model

    config = Config().replace(
        image_height=64,
        image_width=32,
        backbone="resnet18",
        backbone_width=8,
        head_units=16,
        embedding_size=8,
        hab=False,
        pab=False,
        eval_metric="cosine",
    )
    tf.keras.utils.set_random_seed(1)
    folder = tmp_path_factory.mktemp("exported")
    write_saved_model(embedding_model(build_daaf(config)), config, folder)
    return folder


@pytest.fixture(scope="module")
def index(saved_model, records, tmp_path_factory):
    """The gallery of the records; tests that change it work on a copy."""
    folder = tmp_path_factory.mktemp("search") / "gallery"
    printed = search(
        "build", f"--index={folder}", f"--saved_model={saved_model}", f"--data_dir={records}"
    )
    assert "4 images of nobody (person id below 0) left out" in printed
    assert f"{folder}: 28 images (flat, cosine)" in printed
    return folder


@pytest.fixture(scope="module")
def queries(folders):
    return sorted((folders / "Market-1501" / "query").glob("*.jpg"))


def search(*arguments, code=0):
    return run("-m", "daaf_tf.search", *arguments, code=code)


def test_a_query_is_answered_in_text_json_and_picture(index, queries, records, tmp_path):
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"no image")
    picture, answers = tmp_path / "ranked.png", tmp_path / "answers.json"
    files = [queries[0], bad, queries[1]]
    outputs = (f"--picture={picture}", f"--json_out={answers}")
    printed = search("query", *files, f"--index={index}", "--top=4", "--threshold=2", *outputs)
    assert re.search(rf"left out: {bad}: .*expected a whole JPEG", printed)
    assert "1 images left out" in printed
    assert len(re.findall(r"^ +[1-4] \* +0\.\d+  id .*, cam \d", printed, re.MULTILINE)) == 8
    content = json.loads(answers.read_text())
    assert (content["metric"], content["threshold"]) == ("cosine", 2)
    first, second = content["queries"]
    assert first["image"] == str(queries[0])
    assert first["known"] is second["known"] is True
    assert first["person_id"] == first["hits"][0]["person_id"]
    distances = [hit["distance"] for hit in first["hits"]]
    assert len(distances) == 4
    assert distances == sorted(distances)
    assert first["hits"][0]["path"].startswith(f"{records}/gallery/")
    with Image.open(picture) as image:
        assert image.size[1] > 2 * 200  # two queries


def test_a_gallery_image_finds_itself(index, folders):
    image = sorted((folders / "Market-1501" / "bounding_box_test").glob("00*.jpg"))[5]
    printed = search("query", image, f"--index={index}", "--top=1")
    assert re.search(rf"^   1 +0\.0000  .*/gallery/{image.name}$", printed, re.MULTILINE)
    assert "no threshold: calibrate the gallery" in printed


def test_an_approximate_index_lives_beside_tensorflow(saved_model, folders, queries, tmp_path):
    pytest.importorskip("faiss")
    folder = tmp_path / "gallery"
    images = folders / "Market-1501" / "query"
    where = (f"--index={folder}", f"--saved_model={saved_model}")
    built = search("build", *where, f"--images={images}", "--index_type=hnsw", "--metric=euclidean")
    assert f"{folder}: 8 images (hnsw, euclidean)" in built
    printed = search("query", images, *where, "--top=1", "--ef_search=8")
    assert len(re.findall(r"^   1 +0\.0000  id \?, cam \?  .*/query/", printed, re.MULTILINE)) == 8


def test_a_threshold_is_calibrated_and_used(index, records, queries, tmp_path):
    folder = shutil.copytree(index, tmp_path / "gallery")
    data = (f"--index={folder}", f"--data_dir={records}")
    assert "no threshold yet" in search("info", f"--index={folder}")
    message = "error: --false_accept_rate=0.001: .* pairs of different persons support rates down"
    assert re.search(message, search("calibrate", *data, code=1))
    message = search("calibrate", *data, "--split=train", code=1)
    assert "the network has learned to tell these persons apart" in message
    printed = search("calibrate", *data, "--false_accept_rate=0.2")
    (line,) = re.findall(
        r"^threshold .*false-accept rate 0.2 for each comparison.*$", printed, re.M
    )
    assert line in search("info", f"--index={folder}")
    answers = tmp_path / "answers.json"
    search("query", queries[0], f"--index={folder}", f"--json_out={answers}")
    threshold = float(line.split()[1].rstrip(":"))
    hits = json.loads(answers.read_text())["queries"][0]["hits"]
    assert [hit["known"] for hit in hits] == [hit["distance"] <= threshold for hit in hits]


def test_images_are_added_and_removed(index, folders, queries, tmp_path):
    folder = shutil.copytree(index, tmp_path / "gallery")
    root = folders / "Market-1501" / "query"
    lines = [f"{path.name},{number},1" for number, path in enumerate(queries)]
    (tmp_path / "people.csv").write_text("\n".join(["path,person_id,camera_id", *lines]))
    data = (f"--csv_file={tmp_path / 'people.csv'}", f"--data_root={root}", f"--index={folder}")
    assert f"{folder}: 8 images added" in search("add", *data)
    assert f"{folder}: 8 images added" in search("add", *data, "--replace")
    assert f"{folder}: 36 images" in search("info", f"--index={folder}")
    printed = search("query", queries[3], f"--index={folder}", "--top=1")
    assert f"0.0000  id 3, cam 1  {queries[3]}" in printed
    gone = (queries[3], "--person_id=5", "--id=0")
    assert f"{folder}: " in search("remove", *gone, f"--index={folder}")
    printed = search("query", queries[3], queries[5], f"--index={folder}", "--top=1")
    assert "0.0000" not in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "expected one of build, add, remove, calibrate, query, info as first argument"),
        (("find",), "expected one of .*, received 'find'"),
        (("build", "there"), "unexpected argument 'there'"),
        (("build",), "expected one of --images=FOLDER, --csv_file=FILE .* received none"),
        (("build", "--images=a", "--data_dir=b"), "received --images and --data_dir"),
        (("query", "a.jpg"), "--index is missing"),
        (("query", "--index=here"), "expected query images or folders"),
        (("remove", "--index=here"), "expected paths, --person_id or --id"),
        (("info", "--index=nowhere"), "nowhere: expected a gallery"),
    ],
)
def test_what_is_asked_wrongly_is_told(arguments, message):
    assert re.search(f"^error: .*{message}", search(*arguments, code=1), re.MULTILINE)


def test_no_good_query_at_all(index, tmp_path):
    printed = search("query", tmp_path / "missing.jpg", f"--index={index}", code=1)
    assert f"left out: {tmp_path / 'missing.jpg'}: cannot be read (No such file" in printed
    assert "error: no query image can be used" in printed
