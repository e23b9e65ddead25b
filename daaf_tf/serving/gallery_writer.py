"""Build a gallery, add images to it and remove them: each as a whole or not at all."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np

from daaf_tf.errors import UserError
from daaf_tf.retrieval.blocks import make_blocks
from daaf_tf.serving import gallery_files, nearest
from daaf_tf.serving.embedding import embed_source
from daaf_tf.serving.entries import Entry, format_entry, name_path
from daaf_tf.serving.fingerprint import check_model, compute_fingerprint
from daaf_tf.serving.gallery import prepare
from daaf_tf.serving.gallery_files import Appender, State
from daaf_tf.serving.sources import Source

if TYPE_CHECKING:  # it imports TensorFlow
    from daaf_tf.serving.embedder import Embedder

# Images that an approximate index need not hold: they are searched exactly, in a millisecond or
# two, so that adding a few to a million does not mean writing the whole index anew.
MOST_OUTSIDE = 10_000
_CHUNK_ROWS = 4096


def build_gallery(
    folder: str | os.PathLike,
    source: Source,
    embedder: Embedder,
    *,
    metric: str,
    index_type: str = nearest.FLAT,
    overwrite: bool = False,
    progress: bool = True,
) -> int:
    """Build a gallery of the images of a source.

    Args:
      folder: made if it is missing; else empty, or what a killed build left.
      source: the images; what cannot be used is added to its problems.
      embedder: the model.
      metric: of `retrieval.METRICS`.
      index_type: of `nearest.INDEX_TYPES`.
      overwrite: replace a gallery that is there, once the new one is whole.
      progress: show it.

    Returns:
      How many images it has.

    Raises:
      UserError: the folder holds a gallery or something else, no image can be used, or there are
        too few of them for the index.
    """
    folder = pathlib.Path(folder)
    _make_folder(folder, overwrite)
    try:
        with gallery_files.changing(folder):
            state = State(
                model=compute_fingerprint(embedder.path),
                model_path=os.path.abspath(embedder.path),
                embedding_size=embedder.embedding_size,
                metric=metric,
                index_type=index_type,
                vectors=gallery_files.name_next(folder, "vectors"),
                entries=gallery_files.name_next(folder, "entries"),
            )
            state = _append(folder, state, source, embedder, progress)
            gallery_files.write_state(folder, update_index(folder, state))
    finally:
        with contextlib.suppress(OSError):
            folder.rmdir()  # if nothing came of it
    return state.count


def add_images(
    folder: str | os.PathLike,
    source: Source,
    embedder: Embedder,
    *,
    replace: bool = False,
    progress: bool = True,
) -> int:
    """Add the images of a source.

    Args:
      folder: of the gallery.
      source: the images; what cannot be used is added to its problems.
      embedder: the gallery's model.
      replace: put the images in the place of those of the same path; where one cannot be used, the
        old one stays.
      progress: show it.

    Returns:
      How many images were added.

    Raises:
      UserError: no gallery, or of another model; images that are there already, without `replace`;
        no image that can be used; or somebody else is changing the gallery.
    """
    folder = pathlib.Path(folder)
    gallery_files.read_state(folder)
    with gallery_files.changing(folder):
        state = gallery_files.read_state(folder)
        check_model(folder, state, embedder.path)
        there = _find_rows(folder, state, source)
        if there and not replace:
            row = min(there)
            path = gallery_files.read_entries(folder, state)[row].path
            raise UserError(
                f"{folder}: {len(there):,} of these images are there already, {path} for one; "
                "give --replace to put these in their place, or --overwrite to build it anew"
            )
        added = _append(folder, state, source, embedder, progress)
        count = added.count - state.count
        if there:
            added = _drop_replaced(folder, added, state.count)
        gallery_files.write_state(folder, update_index(folder, added))
        return count


def remove_images(
    folder: str | os.PathLike,
    *,
    paths: Collection[str] = (),
    person_ids: Collection[int] = (),
    ids: Collection[int] = (),
) -> int:
    """Remove images, and their embeddings from the disk.

    The gallery's files are written anew. An approximate index is filled again, which takes about
    as long as building it.

    Args:
      folder: of the gallery.
      paths: of images, as hits tell them or as they are below their source.
      person_ids: of persons all whose images go.
      ids: of images.

    Returns:
      How many images were removed.

    Raises:
      UserError: a path or number that no image has (nothing is removed then), or somebody else is
        changing the gallery.
    """
    folder = pathlib.Path(folder)
    gallery_files.read_state(folder)
    wanted = {("path", path) for path in paths}
    wanted |= {("person id", number) for number in person_ids}
    wanted |= {("id", number) for number in ids}
    with gallery_files.changing(folder):
        state = gallery_files.read_state(folder)
        kept, found = [], set()
        for row, entry in enumerate(gallery_files.read_entries(folder, state)):
            known_as = _name(entry, state) & wanted
            found |= known_as
            if not known_as:
                kept.append(row)
        missing = [f"{what} {value}" for what, value in sorted(wanted - found, key=str)]
        if missing:
            raise UserError(f"{folder}: no image of {', '.join(missing)}; nothing was removed")
        kept_state = _keep(folder, state, np.array(kept, np.int64))
        gallery_files.write_state(folder, update_index(folder, kept_state))
        return state.count - kept_state.count


def store_calibration(folder: str | os.PathLike, calibration: dict) -> None:
    """Store how the threshold came about, see `threshold.Calibration`, as a dict."""
    folder = pathlib.Path(folder)
    with gallery_files.changing(folder):
        state = gallery_files.read_state(folder)
        gallery_files.write_state(folder, dataclasses.replace(state, calibration=calibration))


def _make_folder(folder: pathlib.Path, overwrite: bool) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        names = sorted(os.listdir(folder))
    except OSError as error:
        raise UserError(f"--index={folder}: {error.strerror}; expected a folder") from error
    if gallery_files.MANIFEST in names and not overwrite:
        raise UserError(
            f"--index={folder} holds a gallery; use add, or give --overwrite to build it anew"
        )
    others = [name for name in names if not gallery_files.is_ours(name)]
    if others:
        raise UserError(f"--index={folder} holds {others[0]}: expected an empty or a new folder")


def _name(entry: Entry, state: State) -> set[tuple[str, object]]:
    """Return all that an image is known as."""
    path = name_path(state.sources[entry.source], entry.path)
    return {
        ("path", entry.path),
        ("path", path),
        ("person id", entry.person_id),
        ("id", entry.id),
    }


def _find_rows(folder: pathlib.Path, state: State, source: Source) -> set[int]:
    """Return the rows of those images of a source that are in the gallery already."""
    if source.description not in state.sources:
        return set()
    number = state.sources.index(source.description)
    paths = {image.path for image in source.images}
    return {
        row
        for row, entry in enumerate(gallery_files.read_entries(folder, state))
        if entry.source == number and entry.path in paths
    }


def _append(
    folder: pathlib.Path, state: State, source: Source, embedder: Embedder, progress: bool
) -> State:
    """Write the images of a source behind the others; return the state that knows them."""
    sources = list(state.sources)
    if source.description not in sources:
        sources.append(source.description)
    number, next_id, count = sources.index(source.description), state.next_id, state.count
    with (
        Appender(folder, state.vectors) as vectors,
        Appender(folder, state.entries) as entries,
    ):
        for images, features in embed_source(source, embedder, progress=progress):
            if images:
                vectors.write(prepare(features, state.metric).tobytes())
            for image in images:
                entry = Entry(next_id, source=number, **dataclasses.asdict(image))
                entries.write(format_entry(entry))
                next_id += 1
            count += len(images)
        if count == state.count:
            raise UserError(f"no image can be used; the first: {source.problems[0]}")
        return dataclasses.replace(
            state,
            vectors=vectors.finish(),
            entries=entries.finish(),
            count=count,
            next_id=next_id,
            sources=tuple(sources),
        )


def _drop_replaced(folder: pathlib.Path, state: State, start: int) -> State:
    """Return a state without the rows before `start` whose image is among the rows after."""
    keys = [(entry.source, entry.path) for entry in gallery_files.read_entries(folder, state)]
    new = set(keys[start:])
    rows = [row for row, key in enumerate(keys) if row >= start or key not in new]
    return _keep(folder, state, np.array(rows, np.int64))


def _keep(folder: pathlib.Path, state: State, rows: np.ndarray) -> State:
    """Write some of the rows to new files; return the state that knows them."""
    old_vectors = gallery_files.map_vectors(folder, state)
    old_entries = gallery_files.read_entries(folder, state)
    with (
        Appender(folder, gallery_files.name_next(folder, "vectors")) as vectors,
        Appender(folder, gallery_files.name_next(folder, "entries")) as entries,
    ):
        for chunk in make_blocks(len(rows), _CHUNK_ROWS):
            vectors.write(old_vectors[rows[chunk]].tobytes())
        for row in rows:
            entries.write(old_entries.line(row))
        return dataclasses.replace(
            state,
            vectors=vectors.finish(),
            entries=entries.finish(),
            count=len(rows),
            indexed=0,
        )


def update_index(folder: pathlib.Path, state: State) -> State:
    """Return the state with an approximate index over (nearly) all rows, where it has one."""
    outside = state.count - state.indexed
    enough = state.index and state.indexed and outside <= MOST_OUTSIDE
    if state.index_type == nearest.FLAT or enough:
        return state
    vectors = gallery_files.map_vectors(folder, state)
    if state.index:
        index = nearest.read_index(gallery_files.check_file(folder, state.index))
    else:
        index = nearest.build_index(state.index_type, vectors)
    if not state.indexed:
        index.reset()
    nearest.extend_index(index, vectors, state.indexed)
    name = gallery_files.name_next(folder, "index").name
    nearest.write_index(index, folder / name)
    stored = gallery_files.seal_file(folder, name)
    return dataclasses.replace(state, index=stored, indexed=state.count)
