"""A gallery that compares colours: what the page needs of one, without a trained model."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from daaf_tf import schema
from daaf_tf.errors import UserError
from daaf_tf.serving.gallery import Hit

SIZE = (4, 8)


def embed(encoded):
    """Return the colours of a coarse image, [D] float32 in 0..1."""
    try:
        with Image.open(io.BytesIO(encoded)) as image:
            small = image.convert("RGB").resize(SIZE, Image.Resampling.BOX)
    except OSError as error:
        raise UserError("expected a whole JPEG, PNG or one-frame GIF image") from error
    return np.asarray(small, np.float32).ravel() / 255


class StubEmbedder:
    """Takes one path; the mask is a disc, and the joints lie on a line."""

    def __init__(self, has_attention):
        self.has_attention = has_attention

    def embed(self, path):
        try:
            with open(path, "rb") as file:
                return embed(file.read())[None]
        except UserError as error:
            raise UserError(f"{path}: {error}") from error

    def attend(self, path):
        down, across = np.mgrid[-1:1:64j, -1:1:32j]
        heights = np.linspace(-0.8, 0.8, schema.NUM_JOINTS)
        keypoints = np.exp(-60 * ((down[..., None] - heights) ** 2 + across[..., None] ** 2))
        return {
            schema.EMBEDDING: self.embed(path),
            schema.MASK: np.float32(np.hypot(down, across) < 0.8)[None, ..., None],
            schema.KEYPOINTS: np.float32(keypoints)[None],
        }


class StubGallery:
    """Files with persons and cameras."""

    metric = "euclidean"
    model_fingerprint = "0123456789abcdef"

    def __init__(self, entries, *, threshold, has_attention=True):
        """Take a list of (path, person id, camera id)."""
        self.entries, self.threshold = entries, threshold
        self.embedder = StubEmbedder(has_attention)
        self._vectors = np.stack([embed(path.read_bytes()) for path, _, _ in entries])

    def __len__(self):
        return len(self.entries)

    def search(self, features, top):
        distances = np.linalg.norm(self._vectors - features, axis=1)
        return [[self._make_hit(row, distances[row]) for row in np.argsort(distances)[:top]]]

    def read_image(self, image_id):
        path = self.entries[image_id][0]
        try:
            return path.read_bytes()
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error})") from error

    def _make_hit(self, row, distance):
        path, person, camera = self.entries[row]
        known = None if self.threshold is None else bool(distance <= self.threshold)
        return Hit(float(distance), person, camera, str(path), known, int(row))
