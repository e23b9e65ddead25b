"""The functions that a SavedModel offers: image files or pixels in, embeddings and maps out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import tensorflow as tf

from daaf_tf import schema
from daaf_tf.config import Config
from daaf_tf.data.preprocess import preprocess_image, preprocess_pixels
from daaf_tf.data.views import compute_viewed_size, make_views
from daaf_tf.model import embedding_model
from daaf_tf.model.precision import FLOAT32
from daaf_tf.serving.embedder import (
    ATTENTION_ENCODED_SIGNATURE,
    ATTENTION_SIGNATURE,
    ENCODED_INPUT,
    ENCODED_SIGNATURE,
    PIXELS_INPUT,
    PIXELS_SIGNATURE,
)

# The squared length below which an embedding is not normalised any further: zeros stay zeros.
_SMALLEST_SQUARE = 1e-12


@dataclasses.dataclass(frozen=True)
class ExportOptions:
    """What an exported model does beside what its run's config says.

    Attributes:
      normalize: give out embeddings of length 1; an embedding of zeros stays one.
      attention: also offer the signatures that give out the branches' maps.
      precision: type of weights and arithmetic, see `model.precision`.
    """

    normalize: bool = False
    attention: bool = False
    precision: str = FLOAT32


PLAIN = ExportOptions()


def make_servable(
    model: tf.keras.Model, config: Config, options: ExportOptions = PLAIN
) -> tf.Module:
    """Return a module with one function for each signature, in its attribute `functions`.

    It tracks the model's variables and not the Keras model: so the SavedModel holds no Keras
    metadata, and loads whichever Keras is installed.

    Args:
      model: the embedding model; with `options.attention` the whole network.
      config: the run; the size of the network's input and the views that are averaged (`tta`) are
        taken from it.
      options: see there.
    """
    embedding = embedding_model(model) if options.attention else model
    servable = tf.Module(name="embedder")
    servable.weights = model.weights
    embed = make_embed(embedding, config, options)
    size = compute_viewed_size(config)
    servable.functions = {
        PIXELS_SIGNATURE: _take_pixels(embed, size),
        ENCODED_SIGNATURE: _take_encoded(embed, size),
    }
    if options.attention:
        attend = _make_attend(model, embed, config)
        servable.functions[ATTENTION_SIGNATURE] = _take_pixels(attend, size)
        servable.functions[ATTENTION_ENCODED_SIGNATURE] = _take_encoded(attend, size)
    return servable


def make_embed(model: tf.keras.Model, config: Config, options: ExportOptions) -> Callable:
    """Return a function from normalised images to `{"embedding": [B, D]}`.

    Args:
      model: the embedding model.
      config: the run; the images are as large as `compute_viewed_size` says.
      options: whether embeddings are normalised.
    """

    def embed(images):
        views = make_views(images, config)
        embeddings = [model(view, training=False) for view in views]
        embedding = embeddings[0] if len(views) == 1 else tf.add_n(embeddings) / len(views)
        if options.normalize:
            embedding = tf.math.l2_normalize(embedding, axis=-1, epsilon=_SMALLEST_SQUARE)
        return {schema.EMBEDDING: embedding}

    return embed


def _make_attend(model: tf.keras.Model, embed: Callable, config: Config) -> Callable:
    """Return a function to the embedding and the maps of the image itself, its first view."""
    maps = [name for name in (schema.MASK, schema.KEYPOINTS) if name in model.output]
    branches = tf.keras.Model(model.input, {name: model.output[name] for name in maps})

    def attend(images):
        return {**embed(images), **branches(make_views(images, config)[0], training=False)}

    return attend


def _take_pixels(compute: Callable, size: tuple[int, int]) -> tf.types.experimental.Callable:
    spec = tf.TensorSpec([None, None, None, 3], tf.uint8, name=PIXELS_INPUT)

    def take_pixels(images):
        return _compute_filled(compute, preprocess_pixels(images, *size))

    return tf.function(take_pixels, input_signature=[spec])


def _take_encoded(compute: Callable, size: tuple[int, int]) -> tf.types.experimental.Callable:
    spec = tf.TensorSpec([None], tf.string, name=ENCODED_INPUT)

    def take_encoded(encoded):
        # No kernel decodes on a GPU, and map_fn over strings fails there if left to itself.
        with tf.device("/CPU:0"):
            images = tf.map_fn(
                lambda image: preprocess_image(image, *size),
                encoded,
                fn_output_signature=tf.TensorSpec([*size, 3], tf.float32),
            )
        return _compute_filled(compute, images)

    return tf.function(take_encoded, input_signature=[spec])


def _compute_filled(compute: Callable, images: tf.Tensor) -> dict[str, tf.Tensor]:
    # TensorFlow's fused convolution fails on an empty batch: it gets one black image, whose
    # results are cut off again. Padding by nothing does not copy.
    count = tf.shape(images)[0]
    filled = tf.pad(images, [[0, tf.cast(count == 0, tf.int32)], [0, 0], [0, 0], [0, 0]])
    return {name: output[:count] for name, output in compute(filled).items()}
