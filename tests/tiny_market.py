"""A handful of drawn images in the Market-1501 layout, for the tests of the conversion."""

from __future__ import annotations

import pathlib

import numpy as np
from PIL import Image

TRAIN = "Market-1501/bounding_box_train"
QUERY = "Market-1501/query"
GALLERY = "Market-1501/bounding_box_test"
MAPS = "Market_cpn_keypoints/bounding_box_train_256_2"

HEIGHT, WIDTH = 32, 16  # of an image; masks have the same size, maps twice that


def draw_market(root: pathlib.Path, *, annotated: bool = True) -> pathlib.Path:
    """Draw 2 + 3 + 1 training images of persons 2, 7 and 11, 2 queries, 5 gallery images."""
    train = ["0002_c1s1_000001_01", "0002_c12s1_000001_01", "0007_c3s1_000001_01"]
    train += ["0007_c1s1_000001_02", "0007_c1s1_000001_01", "0011_c1s2_000001_01"]
    query = ["0004_c1s1_000001_00", "0005_c2s1_000001_00"]
    gallery = ["0004_c2s1_000001_01", "0005_c1s1_000001_01", "0000_c1s1_000001_01"]
    gallery += ["-1_c3s1_000001_01", "-1_c4s1_000001_01"]
    seed = 0
    for folder, names in ((TRAIN, train), (QUERY, query), (GALLERY, gallery)):
        for name in names:
            seed += 1
            draw_image(root / folder / f"{name}.jpg", seed)
            if annotated:
                draw_mask(root / folder.replace("Market-1501", "mask-anno") / f"{name}.jpg", seed)
            if annotated and folder == TRAIN:
                draw_maps(root / MAPS / name, seed)
    (root / QUERY / "Thumbs.db").write_bytes(b"not an image")
    return root


def draw_image(path: pathlib.Path, seed: int) -> None:
    colours = np.random.RandomState(seed).randint(0, 256, (8, 4, 3), np.uint8)
    _save(Image.fromarray(colours).resize((WIDTH, HEIGHT)), path)


def draw_mask(path: pathlib.Path, seed: int) -> None:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[4 + seed % 8 :, 3:12] = 255
    _save(Image.fromarray(mask), path)


def draw_maps(stem: pathlib.Path, seed: int) -> None:
    random = np.random.RandomState(seed)
    for joint in range(17):
        x, y = random.uniform(4, 28), random.uniform(4, 60)
        heatmap = gaussian(x, y, height=64, width=32, sigma=2.0) * (random.uniform() > 0.2)
        _save(Image.fromarray(heatmap.astype(np.uint8)), pathlib.Path(f"{stem}_{joint:02d}.png"))


def gaussian(
    x: float, y: float, *, height: int, width: int, sigma: float, peak: float = 255
) -> np.ndarray:
    """Return a uint8 map with its peak at the pixel coordinates (x, y)."""
    rows, columns = np.mgrid[:height, :width]
    squares = (rows - y) ** 2 + (columns - x) ** 2
    return np.clip(np.round(peak * np.exp(-squares / (2 * sigma**2))), 0, 255).astype(np.uint8)


def _save(image: Image.Image, path: pathlib.Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
