"""Where the features of data sets come from: a network and images, or files of features."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from PIL import Image

from daaf_tf.errors import UserError
from daaf_tf.evaluation.evaluated import EmbeddedSet
from daaf_tf.evaluation.image_sets import ImageSet
from daaf_tf.report import AttentionSample, ReadImage
from daaf_tf.retrieval import Features, FeatureSet, read_features


class Source(Protocol):
    """A network that embeds: a `ModelSource` or a `SavedModelSource`.

    Attributes:
      name: for people.
      step: of the checkpoint; None: it is none.
      metric: "euclidean" or "cosine", by which its features are compared.
      tta: test-time augmentation: "none", "flip" or "crops".
    """

    name: str
    step: int | None
    metric: str
    tta: str

    def embed(self, images: ImageSet, split: str) -> Features:
        """Embed every image of a split."""

    def measure(self, images: ImageSet) -> dict[str, float]:
        """Return what else than retrieval the network is measured at on a data set, by name."""

    def sample_attention(self, images: ImageSet) -> list[AttentionSample]:
        """Return what its branches predict on some images of a data set, if it has any."""


def embed_images(source: Source, images: ImageSet, splits: Sequence[str]) -> EmbeddedSet:
    """Embed the splits of a data set.

    Args:
      source: what embeds.
      images: the data set.
      splits: of schema.SPLITS.

    Raises:
      UserError: as the source; and an image, or all of a split, that cannot be used.
    """
    try:
        features = {split: source.embed(images, split) for split in splits}
    except UserError as error:
        problems = images.list_problems()
        first = f"; the first problem: {problems[0]}" if problems else ""
        raise UserError(f"{images.name}: {error}{first}") from error
    embedded = FeatureSet(features, source.metric, source.name, images.name, source.tta)
    skipped = len(images.list_problems())
    return EmbeddedSet(images.name, embedded, images.read_image, skipped, source.measure(images))


def read_feature_set(path: str, *, metric: str = "", image_root: str = "") -> EmbeddedSet:
    """Read a file of features.

    Args:
      path: of an .npz file; see `retrieval.feature_file`.
      metric: by which the features are to be compared; "": by that which the file names.
      image_root: folder of the images, as `tools/inspect_records.py --extract` writes it:
        `<split>/<file name>`; "": there is none.

    Raises:
      UserError: as `read_features`; or nobody says which metric it is.
    """
    found = read_features(path)
    metric = metric or found.metric
    if not metric:
        raise UserError(
            f"{path}: no array metric; add one, or give --eval_metric=euclidean or cosine"
        )
    embedded = FeatureSet(found.splits, metric, found.model, found.data or path, found.tta)
    read_image = _make_reader(embedded, pathlib.Path(image_root)) if image_root else None
    return EmbeddedSet(path, embedded, read_image, skipped=0, measured={})


def _make_reader(embedded: FeatureSet, root: pathlib.Path) -> ReadImage:
    if not root.is_dir():
        raise UserError(f"--image_root={root}: no such folder")

    def read_image(split: str, index: int) -> np.ndarray:
        name = str(embedded.splits[split].filenames[index])
        # A file of features may come from anybody: no name in it leads out of the folder.
        path = os.path.realpath(root / split / name)
        if not name or not path.startswith(os.path.realpath(root) + os.sep):
            raise UserError(f"image {index} of {split}: no file name {name!r} below {root}")
        try:
            return np.asarray(Image.open(path).convert("RGB"))
        except (OSError, ValueError) as error:
            raise UserError(f"{root / split / name}: expected an image ({error})") from error

    return read_image
