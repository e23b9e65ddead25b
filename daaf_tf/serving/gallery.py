"""Search a gallery that `python -m daaf_tf.search build` wrote; by features without TensorFlow."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from typing import TYPE_CHECKING, Any

import numpy as np

from daaf_tf.errors import UserError
from daaf_tf.retrieval.checks import check_whole_number
from daaf_tf.retrieval.distances import check_rows, normalize_rows
from daaf_tf.serving import gallery_files, nearest
from daaf_tf.serving.entries import name_path
from daaf_tf.serving.fingerprint import check_model
from daaf_tf.serving.sources import SourceReader

if TYPE_CHECKING:  # it imports TensorFlow
    from daaf_tf.serving.embedder import Embedder


@dataclasses.dataclass(frozen=True)
class Hit:
    """An image of the gallery, as the answer to a query.

    Attributes:
      distance: to the query, by the gallery's metric.
      person_id: whom the image shows; None: nobody said.
      camera_id: which camera took it; None: nobody said.
      path: of the image's file; in records, their folder, the split and the file name.
      known: the distance is within the threshold, so that the query counts as this person; None:
        there is no threshold.
      id: the image's number in the gallery, see `Gallery.read_image`.
    """

    distance: float
    person_id: int | None
    camera_id: int | None
    path: str
    known: bool | None
    id: int


def open_gallery(
    path: str | os.PathLike, model: Embedder | str | os.PathLike | None = None
) -> Gallery:
    """Open a gallery for searching; every byte of it is checked.

    A gallery that is changed meanwhile stays what it was when it was opened.

    Args:
      path: the gallery's folder.
      model: what embeds query images: an `Embedder`, or the path of a SavedModel. None: the one
        that the gallery was built with, loaded from where it lay when an image is first asked for.

    Raises:
      UserError: no gallery, of another format version, damaged, or of another model.
    """
    folder = pathlib.Path(path)
    while True:
        state = gallery_files.read_state(folder)
        try:
            return Gallery(folder, state, model)
        except UserError:
            # Was a file replaced between the two reads?
            if gallery_files.read_state(folder) == state:
                raise


class Gallery:
    """Embedded images that can be searched. Made by `open_gallery`.

    Attributes:
      path: the gallery's folder.
      entries: a sequence of `Entry`, one for each image.
      sources: where the images came from; `Entry.source` is a number among them.
      metric: "euclidean" or "cosine".
      index_type: "flat", "ivfpq" or "hnsw".
      embedding_size: D.
      model_fingerprint: hash of the SavedModel whose embeddings these are.
      calibration: how the threshold came about, see `threshold.Calibration`; None: it did not.
    """

    def __init__(self, folder: pathlib.Path, state: gallery_files.State, model: Any):
        """Read the files that `state` names."""
        self.path = folder
        self.sources = state.sources
        self.metric = state.metric
        self.index_type = state.index_type
        self.embedding_size = state.embedding_size
        self.model_fingerprint = state.model
        self.calibration = state.calibration
        self._state = state
        self._embedder = None if model is None else self._take_model(model)
        self._vectors = gallery_files.map_vectors(folder, state)
        self.entries = gallery_files.read_entries(folder, state)
        self._readers = [SourceReader(source) for source in state.sources]
        self._index = None
        if state.indexed:
            path = gallery_files.check_file(folder, state.index)
            self._index = nearest.read_index(path)
        # What came after the index was made is searched exactly.
        self._flat = nearest.Flat(self._vectors[state.indexed :], state.metric)

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def threshold(self) -> float | None:
        """The largest distance at which a query counts as known; None: not calibrated."""
        return self.calibration["threshold"] if self.calibration else None

    @property
    def embedder(self) -> Embedder:
        """The model of this gallery; loaded when it is first asked for."""
        if self._embedder is None:
            self._embedder = self._take_model(self._state.model_path)
        return self._embedder

    def search(
        self,
        queries: Any,
        top: int = 10,
        *,
        threshold: float | None = None,
        nprobe: int = 0,
        ef_search: int = 0,
    ) -> list[list[Hit]]:
        """Find the images nearest to each query.

        Args:
          queries: features, an array [N, D] or [D] of floats; or images, as `Embedder.embed` takes
            them: one or many paths, bytes of files, or uint8 pixels.
          top: hits for each query, 1 or more; a small gallery has fewer.
          threshold: the largest distance of a known person; None: the calibrated one.
          nprobe: lists visited in a gallery of type ivfpq; more find more, slower. 0: the default.
          ef_search: candidates of a gallery of type hnsw; likewise.

        Returns:
          A list of hits for each query, nearest first, equal distances in the gallery's order.

        Raises:
          UserError: the gallery is empty, an image cannot be read, the features are of another
            width or not finite, or the model is not the gallery's.
        """
        check_whole_number("top", top, 1)
        if not len(self):
            raise UserError(
                f"{self.path}: the gallery is empty; add images with python -m daaf_tf.search add"
            )
        features = self.embed(queries)
        if threshold is None:
            threshold = self.threshold
        prepared = prepare(features, self.metric)
        count = min(top, len(self))
        candidates = self._find_candidates(prepared, count, nprobe, ef_search)
        found = nearest.find_nearest(self._vectors, features, candidates, count, self.metric)
        return [
            [self._make_hit(int(row), float(distance), threshold) for row, distance in zip(*one)]
            for one in found
        ]

    def embed(self, queries: Any) -> np.ndarray:
        """Return the features [N, D] of queries as `search` takes them: images or features."""
        if not _are_features(queries):
            queries = self.embedder.embed(queries)
        features = np.atleast_2d(np.asarray(queries))
        if features.shape[-1] != self.embedding_size:
            raise UserError(
                f"queries are {features.shape[-1]} wide, those of the gallery "
                f"{self.embedding_size}: expected features of the same model"
            )
        return features

    def read_image(self, image_id: int) -> bytes:
        """Return the file's bytes of an image of the gallery, from where it was when it was added.

        Args:
          image_id: `Hit.id` or `Entry.id`.

        Raises:
          UserError: there is no such image, or it is not where it was.
        """
        entry = self.entries.find(image_id)
        if entry is None:
            raise UserError(f"{self.path}: no image has the id {image_id}")
        return self._readers[entry.source].read(entry.path, entry.position)

    def _take_model(self, model: Any) -> Embedder:
        """Load a model if need be; refuse one that is not the gallery's."""
        if isinstance(model, (str, os.PathLike)):
            from daaf_tf.serving.embedder import load

            model = load(model)
        check_model(self.path, self._state, model.path)
        return model

    def _find_candidates(self, queries, count, nprobe, ef_search) -> list[np.ndarray]:
        rest = len(self) - self._state.indexed
        found = [np.empty(0, np.int64)] * len(queries)
        if self._index is not None:
            found = nearest.find_approximately(
                self._index, queries, count, nprobe=nprobe, ef_search=ef_search
            )
        if not rest:
            return found
        exact = self._flat.find_candidates(queries, min(count, rest))
        return [np.concatenate([a, b + self._state.indexed]) for a, b in zip(found, exact)]

    def _make_hit(self, row: int, distance: float, threshold: float | None) -> Hit:
        entry = self.entries[row]
        return Hit(
            distance=distance,
            person_id=entry.person_id,
            camera_id=entry.camera_id,
            path=name_path(self.sources[entry.source], entry.path),
            known=None if threshold is None else distance <= threshold,
            id=entry.id,
        )


def prepare(features: np.ndarray, metric: str) -> np.ndarray:
    """Return features as a gallery keeps them: float32, of norm 1 under the cosine metric.

    Raises:
      UserError: a value that is not finite, or a row of zeros under the cosine metric.
    """
    if metric == "cosine":
        return normalize_rows("features", features)
    return np.ascontiguousarray(check_rows("features", features, metric), np.float32)


def _are_features(queries: Any) -> bool:
    return isinstance(queries, np.ndarray) and queries.dtype.kind == "f" and queries.ndim in (1, 2)
