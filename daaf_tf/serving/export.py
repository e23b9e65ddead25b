"""Write the embedding model as a SavedModel that owns its pre-processing."""

from __future__ import annotations

import errno
import json
import os
import pathlib
import tempfile
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

import daaf_tf
from daaf_tf import schema
from daaf_tf.config import Config, to_json
from daaf_tf.data.preprocess import preprocess_image, preprocess_pixels
from daaf_tf.errors import UserError, brief
from daaf_tf.serving.embedder import (
    ENCODED_INPUT,
    ENCODED_SIGNATURE,
    PIXELS_INPUT,
    PIXELS_SIGNATURE,
    version_folders,
)

# What the model is, beside it; TensorFlow Serving leaves this folder alone.
DESCRIPTION_FILE = "assets.extra/daaf_tf.json"


def write_saved_model(
    model: tf.keras.Model,
    config: Config,
    output_dir: str | os.PathLike,
    *,
    description: str = "",
    metrics: Mapping[str, float] | None = None,
) -> str:
    """Write an embedding model as the next version in a folder of versions, whole or not at all.

    It is written in a hidden folder `.export.*` inside `output_dir` and renamed; that folder is
    removed whatever happens, unless the process is killed (it may then be deleted).

    The SavedModel has two signatures, both to `{"embedding": [B, D] float32}`, B being any number:
    `serving_default(images)`, uint8 RGB [B, H, W, 3] of any size, and `encoded(encoded)`, strings
    [B] that hold JPEG, PNG or one-frame GIF files. It needs TensorFlow alone to be loaded.

    Args:
      model: the embedding model in float32: normalised images [B, H, W, 3] to [B, D].
      config: the run it comes from; `data.image_height` and `data.image_width` are the model's.
      output_dir: the folder of versions; made if missing.
      description: a free line on the model, kept in `assets.extra/daaf_tf.json`.
      metrics: figures to keep there, such as mAP.

    Returns:
      The version folder that was written: `output_dir/1` or one above the highest there.

    Raises:
      UserError: `output_dir` is a file or holds something else, or cannot be written.
      ValueError: the model is no embedding model in float32, or of another size than the config.
    """
    _check_model(model, config)
    facts = _describe(model, config, description, metrics)
    folder = pathlib.Path(output_dir)
    try:
        _check_output_dir(folder)
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".export.", dir=folder) as temporary:
            version = pathlib.Path(temporary, "version")
            _save(make_servable(model, config), version)
            path = version / DESCRIPTION_FILE
            path.parent.mkdir(exist_ok=True)
            path.write_text(facts, encoding="utf-8")
            return str(_rename_to_next_version(version, folder))
    except (OSError, tf.errors.OpError) as error:
        raise UserError(
            f"{folder}: the SavedModel could not be written ({brief(error)}); nothing of it is "
            "left. Make room, or name another folder, and run the same command again"
        ) from error


def make_servable(model: tf.keras.Model, config: Config) -> tf.Module:
    """Return a module with the functions `embed_pixels` and `embed_encoded` over a model.

    It tracks the model's variables and not the Keras model: so the SavedModel holds no Keras
    metadata, and loads whichever Keras is installed.

    Args:
      model: the embedding model.
      config: the run; the size of the network's input is taken from it.
    """
    size = (config.data.image_height, config.data.image_width)
    pixels_spec = tf.TensorSpec([None, None, None, 3], tf.uint8, name=PIXELS_INPUT)
    encoded_spec = tf.TensorSpec([None], tf.string, name=ENCODED_INPUT)

    def embed(images):
        # TensorFlow's fused convolution fails on an empty batch: it gets one black image, whose
        # embedding is cut off again. Padding by nothing does not copy.
        count = tf.shape(images)[0]
        filled = tf.pad(images, [[0, tf.cast(count == 0, tf.int32)], [0, 0], [0, 0], [0, 0]])
        return {schema.EMBEDDING: model(filled, training=False)[:count]}

    def embed_pixels(images):
        return embed(preprocess_pixels(images, *size))

    def embed_encoded(encoded):
        # No kernel decodes on a GPU, and map_fn over strings fails there if left to itself.
        with tf.device("/CPU:0"):
            images = tf.map_fn(
                lambda image: preprocess_image(image, *size),
                encoded,
                fn_output_signature=tf.TensorSpec([*size, 3], tf.float32),
            )
        return embed(images)

    servable = tf.Module(name="embedder")
    servable.weights = model.weights
    servable.embed_pixels = tf.function(embed_pixels, input_signature=[pixels_spec])
    servable.embed_encoded = tf.function(embed_encoded, input_signature=[encoded_spec])
    return servable


def _save(servable: tf.Module, folder: pathlib.Path) -> None:
    signatures = {
        PIXELS_SIGNATURE: servable.embed_pixels.get_concrete_function(),
        ENCODED_SIGNATURE: servable.embed_encoded.get_concrete_function(),
    }
    tf.saved_model.save(servable, str(folder), signatures=signatures)


def _check_model(model: tf.keras.Model, config: Config) -> None:
    expected = (None, config.data.image_height, config.data.image_width, 3)
    if model.input_shape != expected:
        raise ValueError(f"the model takes {model.input_shape}, the config says {expected}")
    if not isinstance(model.output_shape, tuple):
        raise ValueError("expected the embedding model, whose output is one tensor")
    layers = (module for module in model.submodules if isinstance(module, tf.keras.layers.Layer))
    reduced = {layer.compute_dtype for layer in layers} - {"float32"}
    if reduced:
        raise ValueError(f"expected a model built under the float32 policy, found {reduced}")


def _describe(
    model: tf.keras.Model, config: Config, description: str, metrics: Mapping[str, float] | None
) -> str:
    # Where the records lay on the machine that trained is nobody's business.
    settings = json.loads(to_json(config.replace(data_dir="")))
    facts: dict[str, Any] = {
        "daaf_tf_version": daaf_tf.__version__,
        "tensorflow_version": tf.__version__,
        "description": description,
        "input_height": config.data.image_height,
        "input_width": config.data.image_width,
        "embedding_size": model.output_shape[-1],
        "parameters": model.count_params(),
        "metrics": dict(metrics or {}),
        "config": settings,
    }
    return json.dumps(facts, indent=2, allow_nan=False) + "\n"


def _check_output_dir(folder: pathlib.Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise UserError(f"--output_dir={folder}: expected a folder, found a file")
    if not folder.is_dir() or version_folders(folder):
        return
    others = sorted(child.name for child in folder.iterdir() if not child.name.startswith("."))
    if others:
        raise UserError(
            f"--output_dir={folder}: expected a new or empty folder, or one that holds exported "
            f"versions, found {', '.join(others[:5])}; name another folder"
        )


def _rename_to_next_version(source: pathlib.Path, folder: pathlib.Path) -> pathlib.Path:
    while True:
        taken = [int(child.name) for child in folder.iterdir() if child.name.isdecimal()]
        target = folder / str(max(taken, default=0) + 1)
        try:
            os.rename(source, target)
        except OSError as error:
            # Another export took the number since: look again.
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise
        else:
            return target
