"""Embeddings by an exported SavedModel."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import tqdm

from daaf_tf import serving
from daaf_tf.data.example import ImageRecord, parse_record
from daaf_tf.data.preprocess import decode_image
from daaf_tf.errors import UserError
from daaf_tf.evaluation.image_sets import ImageSet, Reader
from daaf_tf.report import AttentionSample
from daaf_tf.retrieval import Features
from daaf_tf.sections.train import CROPS, FLIP, NO_TTA
from daaf_tf.serving.description import find_metric


class SavedModelSource:
    """Embeds data sets with an exported model, by its own pre-processing.

    Attributes:
      name: for people.
      step: None.
      metric: by which its features are compared.
      tta: test-time augmentation.
    """

    step = None

    def __init__(self, path: str, *, metric: str, tta: str, batch_size: int):
        """Load the model.

        Args:
          path: as `serving.load` takes it.
          metric: by which features are compared; "": by that which the model was exported with.
          tta: "none", or "flip" for the mean over an image and its mirror image.
          batch_size: images embedded at a time.

        Raises:
          UserError: as `serving.load`; tta is "crops", or the model averages views by itself; or it
            does not say which metric it is for.
        """
        if tta == CROPS:
            raise UserError(
                f"--tta={CROPS} with --saved_model: an exported model resizes images to its input "
                "by itself, so nothing is left to be cropped; export it with --tta=crops, which "
                "averages them inside, or use --tta=flip"
            )
        self._embedder = serving.load(path)
        self._batch_size, self._flips = batch_size, tta == FLIP
        own = self._embedder.facts.get("tta", NO_TTA)
        if NO_TTA not in (own, tta):
            raise UserError(
                f"--tta={tta}: {self._embedder.path} averages views by itself ({own}); leave the "
                "flag out"
            )
        self.name, self.tta = str(self._embedder.path), tta if own == NO_TTA else own
        self.metric = metric or find_metric(self._embedder, "--eval_metric")

    def embed(self, images: ImageSet, split: str) -> Features:
        """Embed every image of a split.

        Raises:
          UserError: an image that the model cannot decode, records that are corrupt, or a folder
            without a usable image.
        """
        features, seen = [], []
        reader = images.readers[split]
        bar = tqdm.tqdm(total=reader.num_images, desc=f"embed {split}", unit="img", leave=False)
        with bar:
            for records in _read_batches(reader, self._batch_size, f"{images.name}, {split}"):
                features.append(self._embed([record.encoded for record in records]))
                seen += [(each.person_id, each.camera_id, each.filename) for each in records]
                bar.update(self._batch_size)
        if not seen:
            raise UserError(f"no usable image in {split}")
        person_ids, camera_ids, filenames = map(np.array, zip(*seen))
        return Features(np.concatenate(features), person_ids, camera_ids, filenames)

    def measure(self, images: ImageSet) -> dict[str, float]:
        """Return nothing: an exported model has no branches left."""
        return {}

    def sample_attention(self, images: ImageSet) -> list[AttentionSample]:
        """Return nothing: an exported model has no branches left."""
        return []

    def _embed(self, encoded: list[bytes]) -> np.ndarray:
        views = [encoded]
        if self._flips:
            # Resizing treats left and right alike: a mirrored image becomes the mirrored input.
            views.append([decode_image(image).numpy()[:, ::-1] for image in encoded])
        size = self._batch_size
        return np.mean([self._embedder.embed(view, batch_size=size) for view in views], axis=0)


def _read_batches(reader: Reader, size: int, where: str) -> Iterator[list[ImageRecord]]:
    positions = iter(range(reader.num_images))
    while some := list(itertools.islice(positions, size)):
        try:
            records = [parse_record(record)[0] for record in reader.read_many(some)]
        except ValueError as error:
            raise UserError(
                f"{where}: a record from {some[0]} to {some[-1]} is of another form ({error}); "
                "convert the data set again"
            ) from None
        if records:
            yield records
