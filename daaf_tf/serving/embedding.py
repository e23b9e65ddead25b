"""Embed the images of a source; what cannot be used is named, and the others go on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import tqdm

from daaf_tf.errors import UserError
from daaf_tf.retrieval import Features
from daaf_tf.retrieval.blocks import make_blocks
from daaf_tf.serving.sources import Source, SourceImage, SourceReader

if TYPE_CHECKING:  # it imports TensorFlow
    from daaf_tf.serving.embedder import Embedder


def embed_source(
    source: Source, embedder: Embedder, *, batch_size: int = 64, progress: bool = True
) -> Iterator[tuple[list[SourceImage], np.ndarray]]:
    """Yield the images of a source and their embeddings [B, D], batch by batch.

    An image that cannot be used is added to `source.problems`.

    Args:
      source: its images are read here.
      embedder: the model.
      batch_size: images embedded at a time.
      progress: show how far it is, and the images a second.
    """
    reader = SourceReader(source.description)
    with tqdm.tqdm(
        desc="embed", unit="img", total=len(source.images), disable=not progress, leave=False
    ) as bar:
        for rows in make_blocks(len(source.images), batch_size):
            images, contents = _read_batch(source, reader, source.images[rows])
            yield _embed_batch(source, embedder, images, contents)
            bar.update(rows.stop - rows.start)


def embed_known(source: Source, embedder: Embedder, *, progress: bool = True) -> Features:
    """Embed those images of a source of which it is known whom they show; see `embed_source`.

    Raises:
      UserError: there is none.
    """
    known = [image for image in source.images if image.person_id is not None]
    if not known:
        raise UserError(f"{source.folder}: of no image is it known whom it shows")
    source.images = known
    images, features = [], []
    for batch, embedded in embed_source(source, embedder, progress=progress):
        images += batch
        features.append(embedded)
    cameras = [-1 if image.camera_id is None else image.camera_id for image in images]
    return Features(
        features=np.concatenate(features),
        person_ids=np.array([image.person_id for image in images], np.int64),
        camera_ids=np.array(cameras, np.int64),
        filenames=np.array([image.path for image in images]),
    )


def _read_batch(
    source: Source, reader: SourceReader, images: list[SourceImage]
) -> tuple[list[SourceImage], list[bytes]]:
    """Return those images of a batch that can be read, and their contents."""
    read, contents = [], []
    for image in images:
        try:
            contents.append(reader.read(image.path, image.position))
        except UserError as error:
            source.problems.append(str(error))
        else:
            read.append(image)
    return read, contents


def _embed_batch(
    source: Source, embedder: Embedder, images: list[SourceImage], contents: list[bytes]
) -> tuple[list[SourceImage], np.ndarray]:
    """Embed a batch; where an image is at fault, one by one."""
    try:
        return images, embedder.embed(contents, batch_size=max(len(contents), 1))
    except UserError as error:
        if len(images) == 1:
            source.problems.append(f"{images[0].path}: {error}")
            return [], embedder.embed([])
    parts = [_embed_batch(source, embedder, [i], [c]) for i, c in zip(images, contents)]
    return [i for part in parts for i in part[0]], np.concatenate([part[1] for part in parts])
