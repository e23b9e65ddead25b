"""What tells one exported model from another: the hash of its graph and weights."""

from __future__ import annotations

import hashlib
import os
import pathlib

from daaf_tf.errors import UserError
from daaf_tf.serving.gallery_files import State

# What a SavedModel computes follows from these. The description beside it may be edited.
_GRAPH = "saved_model.pb"
_FOLDERS = ("assets", "variables")


def compute_fingerprint(folder: str | os.PathLike) -> str:
    """Return the SHA-256 of a SavedModel's graph and weights, in hexadecimal.

    A copy has the same one; two exports of one checkpoint may differ.

    Args:
      folder: the version folder, e.g. S/1.

    Raises:
      UserError: a file of it cannot be read.
    """
    folder = pathlib.Path(folder)
    below = (path for name in _FOLDERS for path in (folder / name).rglob("*") if path.is_file())
    total = hashlib.sha256()
    try:
        for path in [folder / _GRAPH, *sorted(below)]:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            total.update(f"{path.relative_to(folder).as_posix()} {digest}\n".encode())
    except OSError as error:
        raise UserError(f"{error.filename}: cannot be read ({error.strerror})") from error
    return total.hexdigest()


def check_model(folder: pathlib.Path, state: State, model_path: str | os.PathLike) -> None:
    """Refuse a model that is not the one of a gallery.

    Args:
      folder: the gallery's, for messages.
      state: the gallery's.
      model_path: the version folder of the model.

    Raises:
      UserError: it is another one.
    """
    fingerprint = compute_fingerprint(model_path)
    if fingerprint != state.model:
        raise UserError(
            f"{model_path} ({fingerprint[:12]}) is another model than that of the gallery {folder} "
            f"({state.model[:12]}, from {state.model_path}): their embeddings cannot be compared; "
            "name that model, or build the gallery again"
        )
