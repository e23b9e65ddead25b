"""The page: what it shows, that it holds everything itself, and that nothing in it does harm."""

from __future__ import annotations

import dataclasses
import html.parser
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from report_case import make_case
from source_imports import ROOT

from daaf_tf.errors import UserError
from daaf_tf.report import Figure, write_report
from daaf_tf.report.survey import NUM_BEST, NUM_RANDOM, NUM_WORST, choose_queries
from daaf_tf.retrieval import find_hits

VOID = {"br", "img", "meta"}


class Page(html.parser.HTMLParser):
    """The elements of a page; fails where they are not nested as they should be."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.texts, self._open = [], [], []
        self.feed(text)
        self.close()
        assert not self._open

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    def find(self, tag, class_=None):
        return [
            attributes
            for name, attributes in self.elements
            if name == tag and class_ in (None, *attributes.get("class", "").split())
        ]


@pytest.fixture(scope="module")
def case():
    return make_case()


def read_page(folder, **arguments):
    path = write_report(folder, **arguments)
    assert path == folder / "index.html"
    return path.read_text(encoding="utf-8")


def test_it_shows_every_part(case, tmp_path):
    text = read_page(tmp_path / "new" / "report", **case)
    page = Page(text)
    words = " ".join(" ".join(page.texts).split())
    for shown in ("Drawn features", "mAP", "12.30 %", "rectangle rule", "CMC", "Distances"):
        assert shown in words
    assert len(page.find("svg")) == 2
    assert len(page.find("table")) == 1
    assert len(page.find("article", "query")) == NUM_WORST + NUM_BEST + NUM_RANDOM
    without = np.flatnonzero(np.isnan(case["result"].average_precision))
    assert 0 in without
    for query in without:
        assert f"query_{query:05d}.jpg" in words
    assert "predicted keypoints" in words
    assert "person 7" in words


def test_it_needs_no_other_file_and_no_network(case, tmp_path):
    text = read_page(tmp_path, **case)
    page = Page(text)
    (policy,) = [meta for meta in page.find("meta") if "http-equiv" in meta]
    assert policy["http-equiv"] == "Content-Security-Policy"
    assert policy["content"].startswith("default-src 'none'; img-src data:;")
    for name, attributes in page.elements:
        assert name not in ("script", "link", "iframe", "object", "base")
        for key, value in attributes.items():
            assert not key.startswith("on")
            if key in ("src", "href"):
                assert value.startswith(("data:image/jpeg;base64,", "#")), (name, value[:80])
    assert not re.search(r"url\(|@import|https?:", text)
    assert [path.name for path in tmp_path.iterdir()] == ["index.html"]


def test_the_worst_queries_come_first_with_what_was_ranked(case, tmp_path):
    text = read_page(tmp_path, **case)
    precision = case["result"].average_precision
    order = np.argsort(np.where(np.isnan(precision), np.inf, precision), kind="stable")
    articles = text.split("<article")[1:]
    shown = [float(re.search(r"AP ([\d.]+) %", article).group(1)) for article in articles[:12]]
    assert shown == [round(100 * precision[query], 1) for query in order[:NUM_WORST]]
    query = int(order[0])
    hits = find_hits(
        case["compute_distances"](np.array([query]))[0],
        query_id=case["query"].person_ids[query],
        gallery_ids=case["gallery"].person_ids,
        query_camera=case["query"].camera_ids[query],
        gallery_cameras=case["gallery"].camera_ids,
    )
    names = re.findall(r'title="(.*?)"', articles[0])
    assert names == [f"query_{query:05d}.jpg", *(f"gallery_{hit.index:05d}.jpg" for hit in hits)]
    classes = re.findall(r'<figure class="(\w+)"', articles[0])[1:]
    expected = {"same person": "same", "another person": "other"}
    assert classes == [expected.get(hit.verdict, "ignored") for hit in hits]


def test_names_and_titles_are_text_whatever_they_hold(case, tmp_path):
    evil = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>&amp;"
    names = np.array([evil] * len(case["query"].filenames))
    arguments = {
        **case,
        "title": evil,
        "facts": {evil: evil},
        "figures": [Figure(evil, evil, evil)],
        "query": dataclasses.replace(case["query"], filenames=names),
        "attention": [dataclasses.replace(case["attention"][0], caption=evil)],
    }
    page = Page(read_page(tmp_path, **arguments))
    assert not page.find("script")
    assert all("onerror" not in attributes for _, attributes in page.elements)
    assert all(image["src"].startswith("data:") for image in page.find("img"))
    assert page.texts.count(evil) >= 6
    assert evil in [image["alt"] for image in page.find("img")]


def test_a_name_that_is_no_text_is_shown(case, tmp_path):
    names = np.array(["\udcff.jpg"] * len(case["query"].filenames))
    query = dataclasses.replace(case["query"], filenames=names)
    assert r"\udcff.jpg" in read_page(tmp_path, **{**case, "query": query})


def test_without_images_there_are_names(case, tmp_path):
    page = Page(read_page(tmp_path, **{**case, "read_image": None, "attention": ()}))
    assert not page.find("img")
    assert len(page.find("span", "name")) == 11 * (NUM_WORST + NUM_BEST + NUM_RANDOM)
    assert any(text.startswith("gallery_0") for text in page.texts)
    assert "Attention" not in page.texts


def test_the_same_arguments_give_the_same_bytes(case, tmp_path):
    assert read_page(tmp_path, **case) == read_page(tmp_path, **case)


def test_distances_are_asked_for_once_and_in_order(case, tmp_path, monkeypatch):
    monkeypatch.setattr("daaf_tf.report.survey._BLOCK_NUMBERS", 7 * 120)
    asked = []

    def compute_distances(rows):
        asked.append(rows)
        return case["compute_distances"](rows)

    text = read_page(tmp_path, **{**case, "compute_distances": compute_distances})
    assert [len(rows) for rows in asked] == [7, 7, 7, 7, 7, 5]
    assert np.concatenate(asked).tolist() == list(range(40))
    monkeypatch.undo()
    assert text == read_page(tmp_path, **case)


def test_large_images_do_not_make_a_large_page(case, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (300, 150, 3), dtype=np.uint8)
    text = read_page(tmp_path, **{**case, "read_image": lambda split, index: noise})
    assert len(text) < 5e6


@pytest.mark.parametrize("count", [1, 3, 14])
def test_few_queries_are_shown_once(count):
    precision = np.linspace(0.9, 0.1, count)
    shown = choose_queries(precision)
    assert sorted([*shown.worst, *shown.best, *shown.random]) == list(range(count))
    assert shown.worst == list(range(count))[::-1][:NUM_WORST]
    assert shown.unmatched == []


def test_a_single_perfect_query_makes_a_page(tmp_path):
    case = make_case(2, 40, num_persons=1)
    page = Page(read_page(tmp_path, **case))
    assert page.find("article", "query")
    # What there is none of is not announced.
    targets = {link["href"][1:] for link in page.find("a")}
    assert targets == {attributes["id"] for _, attributes in page.elements if "id" in attributes}
    assert "best" not in targets


def test_many_cameras_do_not_make_a_large_page(tmp_path):
    case = make_case(60, 400)
    for split, first in (("query", 0), ("gallery", 1000)):
        cameras = np.arange(first, first + len(case[split].camera_ids))
        case[split] = dataclasses.replace(case[split], camera_ids=cameras)
    page = Page(read_page(tmp_path, **case))
    assert len(page.find("td")) == 40 * 40
    assert any("the first 40 of 395 cameras" in text for text in page.texts)


def test_bad_input_is_named(case, tmp_path):
    for wrong in (-1.0, np.nan):
        distances = np.full((40, 120), wrong)
        with pytest.raises(UserError, match="distances: "):
            write_report(tmp_path, **{**case, "compute_distances": distances.__getitem__})
    with pytest.raises(UserError, match="expected 40 rows for 120 gallery images"):
        write_report(tmp_path, **{**case, "compute_distances": lambda rows: np.zeros((40, 119))})
    with pytest.raises(UserError, match="scores of 120 queries, received 40"):
        write_report(tmp_path, **{**case, "query": case["gallery"]})
    short = dataclasses.replace(case["gallery"], filenames=case["gallery"].filenames[1:])
    with pytest.raises(UserError, match="gallery: .* received 120, 120, 120, 119"):
        write_report(tmp_path, **{**case, "gallery": short})
    with pytest.raises(UserError, match=r"received float64 of shape \[4, 4, 3\]"):
        write_report(tmp_path, **{**case, "read_image": lambda *_: np.zeros((4, 4, 3))})
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot make the report's folder"):
        write_report(tmp_path / "file", **case)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_it_needs_no_tensorflow(tmp_path):
    code = (
        "import sys; sys.modules['tensorflow'] = None\n"
        "from report_case import make_case\n"
        "from daaf_tf.report import write_report, write_tensorboard\n"
        "case = make_case()\n"
        "write_report(sys.argv[1], **case)\n"
        "used = {name: case[name] for name in ('query', 'gallery', 'read_image')}\n"
        "write_tensorboard(sys.argv[1], pictures={'a': case['attention'][0].image}, **used)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests/report'}"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "projector_config.pbtxt").exists()
