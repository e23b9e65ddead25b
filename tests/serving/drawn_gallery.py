"""Galleries of drawn embeddings: an image's file holds the seed of its embedding."""

from __future__ import annotations

import pathlib

import numpy as np

from daaf_tf.errors import UserError
from daaf_tf.serving import gallery_writer, sources

WIDTH = 16


class DrawnModel:
    """Stands in for an Embedder; its folder has what a fingerprint is taken of."""

    embedding_size = WIDTH

    def __init__(self, folder, weights=b"weights"):
        self.path = pathlib.Path(folder)
        (self.path / "variables").mkdir(parents=True)
        (self.path / "saved_model.pb").write_bytes(b"graph")
        (self.path / "variables" / "variables.data").write_bytes(weights)

    def embed(self, images, *, batch_size=64):
        rows = []
        for image in images:
            if not image.isdigit():
                raise UserError(f"image {len(rows)}: expected a whole image")
            rows.append(draw(int(image)))
        return np.array(rows, np.float32).reshape(-1, WIDTH)


def draw(seed):
    """Return an embedding."""
    return np.random.default_rng(seed).standard_normal(WIDTH).astype(np.float32)


def write_images(folder, seeds):
    """Write an image for each seed and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        (folder / f"{seed:06}.jpg").write_bytes(b"%d" % seed)
    return folder


def build(folder, images, model, **options):
    """Build a gallery of a folder of images."""
    options = {"metric": "cosine", "progress": False, **options}
    return gallery_writer.build_gallery(folder, sources.list_folder(images), model, **options)


def add(folder, images, model, **options):
    """Add a folder of images to a gallery."""
    source = sources.list_folder(images)
    return gallery_writer.add_images(folder, source, model, progress=False, **options)
