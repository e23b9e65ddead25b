"""A folder of crops and a CSV, as the README's "Your own data" has them, up to a model."""

import pathlib
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

ROOT = pathlib.Path(__file__).resolve().parents[2]
SMALL = (
    "--backbone=resnet18", "--backbone_width=4", "--head_units=8", "--embedding_size=4",
    "--image_height=64", "--image_width=32", "--identities_per_batch=3", "--images_per_identity=2",
    "--total_steps=1",
)  # fmt: skip


@pytest.fixture
def crops(tmp_path):
    """Draw four persons, each three times, with an image of each kind that is accepted."""
    (tmp_path / "zoë's crops").mkdir()
    modes = ("RGB", "L", "P", "1", "LA", "RGBA") * 2
    names = [f"{index // 3} {index % 3}.{'png' if index % 2 else 'jpg'}" for index in range(12)]
    for index, (name, mode) in enumerate(zip(names, modes)):
        noise = np.random.RandomState(index).randint(0, 256, (40, 20, 3), np.uint8)
        image = Image.fromarray(noise).convert(mode if name.endswith("png") else "RGB")
        image.save(tmp_path / "zoë's crops" / name)
    return tmp_path, [f"zoë's crops/{name},{name[0]}" for name in names]


def run(*arguments) -> subprocess.CompletedProcess:
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)


def convert(root, lines: list[str]) -> str:
    (root / "people.csv").write_text("\n".join(lines), encoding="utf-8")
    done = run(
        "tools/make_tfrecords.py", "--dataset=csv", f"--csv_file={root / 'people.csv'}",
        f"--data_root={root}", f"--output_dir={root / 'records'}", "--strict", "--workers=1",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def train(root, *flags) -> subprocess.CompletedProcess:
    places = (f"--data_dir={root / 'records'}", f"--model_dir={root / 'model'}")
    return run("-m", "daaf_tf.train", *SMALL, *places, *flags)


def test_crops_with_nothing_but_persons_are_trained_on(crops):
    root, lines = crops
    assert "No problems." in convert(root, ["path,person_id", *lines])
    done = train(root, "--nohab", "--nopab")
    assert done.returncode == 0, done.stderr
    assert "no evaluation: " in done.stdout
    assert "no split query and no split gallery" in done.stdout


def test_splits_of_ones_own_are_trained_on_and_ranked(crops):
    root, lines = crops
    splits = ["train"] * 9 + ["query", "gallery", "gallery"]
    rows = [f"{line},{split}" for line, split in zip(lines, splits)]
    convert(root, ["path,person_id,split", *rows])
    # The soft-margin triplet loss and both branches, without annotations and without an id loss.
    done = train(root, "--decoder_channels=2", "--pictures_every=0")
    assert done.returncode == 0, done.stderr
    assert "step 1: mAP 100.00 (rectangle), rank-1 100.00" in done.stdout + done.stderr


def test_training_without_training_images_is_refused(crops):
    root, lines = crops
    splits = ("query", "gallery", "gallery") * 4
    rows = [f"{line},{split}" for line, split in zip(lines, splits)]
    convert(root, ["path,person_id,split", *rows])
    done = train(root)
    assert done.returncode == 1
    assert "no split 'train'; there is query, gallery" in done.stderr
    assert not (root / "model").exists()
