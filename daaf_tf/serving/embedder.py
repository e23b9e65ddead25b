"""Load an exported SavedModel and embed images with it; needs TensorFlow and numpy alone."""

from __future__ import annotations

import itertools
import json
import os
import pathlib
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from daaf_tf import schema
from daaf_tf.errors import UserError, brief

# The signatures, in pairs for pixels and for image files, and the name of the one input of each.
PIXELS_SIGNATURE = "serving_default"
ENCODED_SIGNATURE = "encoded"
ATTENTION_SIGNATURE = "attention"
ATTENTION_ENCODED_SIGNATURE = "attention_encoded"
PIXELS_INPUT = "images"
ENCODED_INPUT = "encoded"

_EMBEDDING_PAIR = (PIXELS_SIGNATURE, ENCODED_SIGNATURE)
_ATTENTION_PAIR = (ATTENTION_SIGNATURE, ATTENTION_ENCODED_SIGNATURE)

SAVED_MODEL_FILE = "saved_model.pb"
# What the model is, beside it; TensorFlow Serving leaves this folder alone.
DESCRIPTION_FILE = "assets.extra/daaf_tf.json"


def load(path: str | os.PathLike) -> Embedder:
    """Load an exported model.

    Args:
      path: a version folder (S/1), or the folder of versions (S), of which the highest is taken.

    Raises:
      UserError: there is no SavedModel, it is damaged, or it was not written by daaf_tf's export.
    """
    folder = _find_version(pathlib.Path(path))
    try:
        model = tf.saved_model.load(str(folder))
    except (OSError, ValueError, LookupError, RuntimeError, tf.errors.OpError) as error:
        raise UserError(
            f"{folder}: the SavedModel is damaged ({brief(error)}); export it again"
        ) from error
    _check_signatures(folder, model.signatures)
    return Embedder(folder, model, _read_facts(folder))


class Embedder:
    """An exported model: images in, embeddings out. Made by `load`.

    Attributes:
      path: the version folder that was loaded.
      embedding_size: D, the floats in an embedding.
      facts: what export has written down of the model, as docs/export.md lists it; empty where the
        file was taken away.
    """

    def __init__(self, path: pathlib.Path, model: Any, facts: dict[str, Any]):
        """Take a loaded SavedModel whose signatures have been checked, and its description."""
        self.path = path
        self.facts = facts
        self._model = model  # its variables live as long as it does
        self.embedding_size = self._outputs(_EMBEDDING_PAIR)[schema.EMBEDDING].shape[-1]

    @property
    def signatures(self) -> Any:
        """The SavedModel's signatures by name: functions of tensors to dicts of tensors."""
        return self._model.signatures

    @property
    def normalized(self) -> bool:
        """Whether embeddings have length 1; False where nothing is written down."""
        return bool(self.facts.get("normalize"))

    @property
    def has_attention(self) -> bool:
        """Whether `attend` has something to show."""
        return all(name in self._model.signatures for name in _ATTENTION_PAIR)

    def embed(self, images_or_paths: Any, *, batch_size: int = 64) -> np.ndarray:
        """Return one embedding for each image.

        An image is a path (str or Path), the bytes of a JPEG, PNG or one-frame GIF file, or its
        pixels: uint8 RGB [H, W, 3] of any size (numpy array, tensor or Pillow image). The resizing
        and normalisation of training's evaluation are inside the model.

        Args:
          images_or_paths: one image, an array [N, H, W, 3], or any iterable of images, which may
            differ in size and kind. An iterator is read batch by batch.
          batch_size: images embedded at a time; 1 or more.

        Returns:
          [N, D] float32 in the order of the images; [1, D] for one image, [0, D] for none.

        Raises:
          UserError: an image that cannot be read or decoded, named by its path or, where it has
            none, by its place (from 0). The embedder stays usable.
        """
        return self._compute(_EMBEDDING_PAIR, images_or_paths, batch_size)[schema.EMBEDDING]

    def attend(self, images_or_paths: Any, *, batch_size: int = 64) -> dict[str, np.ndarray]:
        """Return embeddings and what the attention branches see, from a model that has them.

        Args:
          images_or_paths: as for `embed`.
          batch_size: as for `embed`.

        Returns:
          `embedding` [N, D]; `mask` [N, h, w, 1] and `keypoints` [N, h, w, 17], those of the two
          that the network was trained with, over the whole image; all float32.

        Raises:
          UserError: the model was exported without; else as `embed`.
        """
        if not self.has_attention:
            raise UserError(
                f"{self.path}: the model has no signature {ATTENTION_SIGNATURE}; export it with "
                "python -m daaf_tf.export --attention"
            )
        return self._compute(_ATTENTION_PAIR, images_or_paths, batch_size)

    def _outputs(self, pair: tuple[str, str]) -> dict[str, tf.TensorSpec]:
        return self._model.signatures[pair[0]].structured_outputs

    def _compute(self, pair: tuple[str, str], images: Any, batch_size: int) -> dict:
        """Return every output of a pair of signatures for all images."""
        if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
            raise UserError(f"batch_size={batch_size!r}: expected a whole number of 1 or more")
        items = itertools.starmap(_read_image, enumerate(_iterate(images)))
        parts = [self._make_results(pair, 0)]
        while batch := list(itertools.islice(items, batch_size)):
            parts.append(self._compute_batch(pair, batch))
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def _make_results(self, pair: tuple[str, str], count: int) -> dict[str, np.ndarray]:
        return {
            name: np.empty((count, *output.shape[1:]), np.float32)
            for name, output in self._outputs(pair).items()
        }

    def _compute_batch(self, pair: tuple[str, str], batch: list[tuple[str, Any]]) -> dict:
        """Compute on (name, content) pairs, all that fit into one tensor in one call."""
        groups = {}
        for row, (_, content) in enumerate(batch):
            groups.setdefault(getattr(content, "shape", None), []).append(row)
        results = self._make_results(pair, len(batch))
        for rows in groups.values():
            for name, values in self._compute_group(pair, [batch[row] for row in rows]).items():
                results[name][rows] = values
        return results

    def _compute_group(self, pair: tuple[str, str], group: list[tuple[str, Any]]) -> dict:
        try:
            return self._call(pair, [content for _, content in group])
        except (tf.errors.InvalidArgumentError, tf.errors.ResourceExhaustedError) as error:
            if len(group) == 1:
                raise UserError(
                    f"{group[0][0]}: expected a whole JPEG, PNG or one-frame GIF image, or its "
                    f"pixels; TensorFlow says: {brief(error)}"
                ) from error
            # One by one, the image at fault names itself.
            for item in group:
                self._compute_group(pair, [item])
            raise

    def _call(self, pair: tuple[str, str], contents: list[Any]) -> dict[str, np.ndarray]:
        pixels, encoded = (self._model.signatures[name] for name in pair)
        if isinstance(contents[0], bytes):
            outputs = encoded(**{ENCODED_INPUT: tf.constant(contents, tf.string)})
        else:
            outputs = pixels(**{PIXELS_INPUT: tf.constant(np.stack(contents))})
        return {name: output.numpy() for name, output in outputs.items()}


def version_folders(folder: pathlib.Path) -> dict[int, pathlib.Path]:
    """Return {version: folder} of the SavedModels in a folder of versions."""
    return {
        int(child.name): child
        for child in folder.iterdir()
        if child.name.isdecimal() and (child / SAVED_MODEL_FILE).is_file()
    }


def _find_version(path: pathlib.Path) -> pathlib.Path:
    if not path.is_dir():
        found = "a file" if path.exists() else "nothing"
        raise UserError(f"{path}: expected the folder of an exported model, found {found}")
    if (path / SAVED_MODEL_FILE).is_file():
        return path
    versions = version_folders(path)
    if not versions:
        raise UserError(
            f"{path}: expected an exported model ({SAVED_MODEL_FILE}) or numbered versions of one; "
            "write one with python -m daaf_tf.export"
        )
    return versions[max(versions)]


def _read_facts(folder: pathlib.Path) -> dict[str, Any]:
    path = folder / DESCRIPTION_FILE
    try:
        facts = json.loads(path.read_bytes()) if path.exists() else {}
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: unreadable ({error}); export the model again") from error
    if not isinstance(facts, dict):
        raise UserError(f"{path}: expected a JSON object; export the model again")
    return facts


def _check_signatures(folder: pathlib.Path, signatures: Any) -> None:
    for name, argument in ((PIXELS_SIGNATURE, PIXELS_INPUT), (ENCODED_SIGNATURE, ENCODED_INPUT)):
        signature = signatures.get(name)
        if (
            signature is None
            or set(signature.structured_input_signature[1]) != {argument}
            or schema.EMBEDDING not in signature.structured_outputs
        ):
            raise UserError(
                f"{folder}: expected the signature {name}({argument}) -> {schema.EMBEDDING} of a "
                f"model that daaf_tf exported, found the signatures: "
                f"{', '.join(sorted(signatures)) or 'none'}"
            )


def _iterate(images: Any) -> Iterator[Any]:
    """Yield the single images of whatever `Embedder.embed` was given."""
    if isinstance(images, (str, bytes, os.PathLike)):
        return iter([images])
    if _is_array(images):
        images = np.asarray(images)
        return iter([images] if images.ndim in (2, 3) else images)
    if isinstance(images, Iterable):
        return iter(images)
    raise UserError(f"expected images or paths, received {type(images).__name__}")


def _read_image(place: int, image: Any) -> tuple[str, Any]:
    """Return (name for messages, content): encoded bytes or uint8 pixels [H, W, 3]."""
    if isinstance(image, (str, os.PathLike)):
        return str(image), _read_file(image)
    name = f"image {place}"
    if isinstance(image, bytes):
        return name, image
    if not _is_array(image):
        raise UserError(f"{name}: expected a path, bytes or pixels, received {image!r:.80}")
    pixels = np.asarray(image)
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise UserError(
            f"{name}: expected uint8 RGB pixels [H, W, 3], "
            f"received {pixels.dtype} {list(pixels.shape)}"
        )
    return name, pixels


def _read_file(path: str | os.PathLike) -> bytes:
    try:
        return pathlib.Path(path).read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(f"{path}: expected an image file, cannot read it ({reason})") from error


def _is_array(value: Any) -> bool:
    return hasattr(value, "__array__") or hasattr(value, "__array_interface__")
