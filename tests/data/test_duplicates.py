from __future__ import annotations

import shutil

import pytest
from tiny_market import GALLERY, QUERY, TRAIN, draw_market

from daaf_tf.data.conversion import Conversion, convert
from daaf_tf.data.summary import format_summary
from daaf_tf.errors import UserError

COPIED = "0002_c1s1_000001_01.jpg"


@pytest.fixture
def root(tmp_path):
    """Return a set where an image of person 2 is there again as person 4, 11 and 2."""
    root = draw_market(tmp_path / "data", annotated=False)
    for copy in (
        f"{TRAIN}/0011_c3s1_000001_01.jpg",
        f"{QUERY}/0004_c3s1_000001_01.jpg",
        f"{GALLERY}/0002_c3s1_000001_01.jpg",
    ):
        shutil.copy(root / TRAIN / COPIED, root / copy)
    return root


def run(root, **options):
    conversion = Conversion("market1501", str(root), str(root.parent / "records"), **options)
    return convert(conversion, show_progress=False)


@pytest.mark.parametrize("workers", [1, 2])
def test_image_under_two_persons_is_reported_and_kept(root, workers):
    report = run(root, workers=workers)
    assert [(p.kind, p.split, p.file) for p in report.problems] == [
        ("duplicate", "train", f"{TRAIN}/0011_c3s1_000001_01.jpg"),
        ("duplicate", "query", f"{QUERY}/0004_c3s1_000001_01.jpg"),
    ]
    assert report.problems[1].reason == (
        f"the same image is person 2 in train ({TRAIN}/{COPIED}) and person 4 here; it was kept"
    )
    assert report.manifest["problems"]["duplicate"] == 2
    assert [entry["images"] for entry in report.manifest["splits"].values()] == [7, 3, 6]
    assert "2 images found under two persons" in format_summary(report)


def test_strict_stops_at_it(root):
    with pytest.raises(UserError, match="the same image is person 2 in train.*--strict"):
        run(root, workers=1, strict=True)


def test_skipped_images_are_no_duplicates(root):
    for name in ("0011_c3s1_000001_01.jpg", "0007_c1s1_000001_01.jpg"):
        (root / TRAIN / name).write_bytes(b"")
    (root / QUERY / "0004_c3s1_000001_01.jpg").unlink()
    assert {problem.kind for problem in run(root, workers=1).problems} == {"image"}
