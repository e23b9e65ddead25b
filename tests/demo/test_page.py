"""The page in a browser: it loads, lists hits, follows the threshold, and survives a bad file.

gradio, playwright and Chromium are no requirement of the tests: the environment variable
DAAF_TF_DEMO_PYTHON names a Python that has them and daaf_tf's own packages, and `chromium` must be
on the path.
"""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import subprocess
import sys

import pytest
from PIL import Image

from daaf_tf.data.synthetic import Preset, write_synthetic_market
from daaf_tf.demo.page import build_page
from daaf_tf.errors import UserError

HERE = pathlib.Path(__file__).resolve().parent
PYTHON = os.environ.get("DAAF_TF_DEMO_PYTHON")
CHROMIUM = shutil.which("chromium")
PRESET = Preset(
    name="tiny",
    train_ids=4,
    train_images=20,
    few_ids=1,
    few_least=1,
    most_images=8,
    test_ids=2,
    query_images=4,
    good_images=16,
    distractor_images=2,
    junk_images=2,
)


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    if not PYTHON or not CHROMIUM:
        pytest.skip("DAAF_TF_DEMO_PYTHON does not name a Python with gradio and playwright")
    folder = tmp_path_factory.mktemp("page")
    write_synthetic_market(folder / "set", preset=PRESET, progress=False)
    images = folder / "set/Market-1501/bounding_box_test"
    shutil.copytree(images, folder / "gallery")
    # Somewhat darker than one of the gallery, and so near to it.
    with Image.open(min(images.glob("000[1-9]*.jpg"))) as image:
        image.point(lambda value: 0.95 * value).save(folder / "query.jpg")
    (folder / "bad.jpg").write_text("<b>no image</b>")
    done = subprocess.run(
        [PYTHON, str(HERE / "browser_program.py"), str(folder), CHROMIUM],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE.parents[1]), str(HERE)])},
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_nothing_comes_from_elsewhere(seen):
    assert seen["elsewhere"] == []
    assert seen["errors"] == []


@pytest.mark.parametrize("number", [0, 1], ids=["wide", "narrow"])
def test_a_visit(seen, number):
    visit = seen["visits"][number]
    assert visit["verdict"].startswith("Person ")
    assert "within the calibrated threshold 0.500" in visit["verdict"]
    assert len(visit["cards"]) == 12
    assert "#1" in visit["cards"][0]
    assert "known" in visit["cards"][0].split()
    assert [text.strip() for text in visit["overlays"]] == ["your image", "mask", "keypoints"]
    assert not visit["too wide"]
    assert visit["bad"] == "bad.jpg: expected a whole JPEG, PNG or one-frame GIF image"
    assert visit["cards of the bad"] == 0
    assert visit["cards afterwards"] == 12


@pytest.mark.parametrize("number", [0, 1], ids=["wide", "narrow"])
def test_the_threshold_decides(seen, number):
    visit = seen["visits"][number]
    assert visit["verdict at 0"].startswith("Unknown: ")
    assert "beyond the threshold 0.000" in visit["verdict at 0"]


def test_without_gradio_there_is_a_word_on_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "gradio", None)
    with pytest.raises(UserError, match=r"gradio is needed here .*pip install -e .\[demo\]"):
        build_page(None)
