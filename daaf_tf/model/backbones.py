"""The choice of backbone: our ResNets, or any backbone of keras-cv by its class and arguments.

Nothing here reaches for the network: keras-cv downloads for preset names and for aliases such as
ResNet50Backbone, so that a backbone is described by its base class and all its arguments. A preset
folder on this machine (config.json beside the weights) is such a description.
"""

from __future__ import annotations

import json
import pathlib
from typing import Any

import tensorflow as tf

from daaf_tf import schema
from daaf_tf.config import Config
from daaf_tf.errors import UserError, brief
from daaf_tf.imports import import_keras_cv
from daaf_tf.model.resnet import resnet_first_stage, resnet_later_stages
from daaf_tf.sections.model import KERAS_CV, ModelConfig

# The one layer that holds a keras-cv backbone, so that its layers' names meet no others.
BACKBONE_LAYER = "backbone"
PRESET_CONFIG = "config.json"

# What a preset's config says that the network decides for itself.
_NOT_ARGUMENTS = ("name", "trainable", "input_shape", "input_tensor")
_EXAMPLE = '{"class": "ResNetBackbone", "arguments": {"stackwise_filters": [64, 128], ...}}'


def backbone_features(image, settings: ModelConfig):
    """Apply the backbone.

    Args:
      image: [B, H, W, 3] float, normalised by torchvision's mean and standard deviation. A
        keras-cv backbone with `include_rescaling` is given pixels in 0..255 instead, as its presets
        were trained with.
      settings: its `backbone*` and `last_stride` say which.

    Returns:
      The last feature map [B, h, w, C], and the first stage's, or None for keras-cv.

    Raises:
      UserError: a description of a keras-cv backbone that is none.
    """
    if settings.backbone == KERAS_CV:
        backbone = _build_keras_cv(
            json.loads(read_description(settings.backbone_config)), tuple(image.shape[1:3])
        )
        if backbone.include_rescaling:
            image = tf.keras.layers.Rescaling(
                [255 * value for value in schema.IMAGE_STD],
                [255 * value for value in schema.IMAGE_MEAN],
                dtype="float32",  # bfloat16 does not tell 254 from 255
                name=f"{BACKBONE_LAYER}_pixels",
            )(image)
        return backbone(image), None
    first = resnet_first_stage(image, backbone=settings.backbone, width=settings.backbone_width)
    return later_stages(first, settings), first


def later_stages(first, settings: ModelConfig, *, prefix: str = ""):
    """Apply a ResNet's stages 2 to 4 to its first stage's features; names begin with `prefix`."""
    return resnet_later_stages(
        first,
        backbone=settings.backbone,
        width=settings.backbone_width,
        last_stride=settings.last_stride,
        prefix=prefix,
    )


def resolve_backbone(config: Config) -> Config:
    """Return the config with what a keras-cv backbone's description says, read and measured.

    `backbone_config` becomes the JSON itself, so that evaluation and export need no other file, and
    `feature_map` the size of its last feature map. For our ResNets there is nothing to do.

    Raises:
      UserError: a description that is none, or settings of keras-cv beside one of our ResNets.
    """
    settings = config.model
    if settings.backbone != KERAS_CV:
        for name in ("backbone_config", "feature_map"):
            if getattr(settings, name):
                raise UserError(
                    f"--{name} describes a keras-cv backbone, but --backbone={settings.backbone}; "
                    f"leave it out, or use --backbone={KERAS_CV}"
                )
        return config
    text = read_description(settings.backbone_config)
    size = (config.data.image_height, config.data.image_width)
    measured = tuple(_build_keras_cv(json.loads(text), size).output_shape[1:3])
    # What measuring has drawn must not change the weights that the network starts with.
    tf.keras.utils.set_random_seed(config.data.seed)
    if settings.feature_map not in ((), measured):
        raise UserError(
            f"--feature_map={settings.feature_map[0]},{settings.feature_map[1]}, but the backbone "
            f"makes {measured[0]},{measured[1]} of {size[0]}x{size[1]} images; leave it out"
        )
    return config.replace(backbone_config=text, feature_map=measured)


def read_description(source: str) -> str:
    """Return a keras-cv backbone's description as one line of JSON with "class" and "arguments".

    Args:
      source: a JSON file, the folder of a keras-cv preset, or the JSON itself.

    Raises:
      UserError: no such file, or something else in it.
    """
    text, origin = source, "--backbone_config"
    if not source.startswith("{"):
        path = pathlib.Path(source)
        if path.is_dir():
            path /= PRESET_CONFIG
        origin = f"--backbone_config={source}"
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(
                f"{origin}: {path} cannot be read ({error}); expected a JSON file, or the folder "
                f"of a keras-cv preset, in which {PRESET_CONFIG} lies"
            ) from error
    try:
        found = json.loads(text)
    except ValueError as error:
        raise UserError(f"{origin}: not JSON ({error}); expected {_EXAMPLE}") from error
    name, arguments = _class_and_arguments(found)
    if not isinstance(name, str) or not isinstance(arguments, dict):
        raise UserError(f"{origin}: expected a class and its arguments, {_EXAMPLE}")
    arguments = {key: arguments[key] for key in arguments if key not in _NOT_ARGUMENTS}
    return json.dumps({"class": name, "arguments": arguments})


def _class_and_arguments(found: Any) -> tuple[Any, Any]:
    """Return what a description says, ours or the one that keras-cv writes into a preset."""
    if not isinstance(found, dict):
        return None, None
    if "class_name" in found:
        return found["class_name"], found.get("config")
    return (found.get("class"), found.get("arguments")) if len(found) == 2 else (None, None)


def _find_class(name: str) -> type:
    """Return keras-cv's backbone class of a name that stands for no preset."""
    models = import_keras_cv().models
    classes = {
        key: value
        for key, value in vars(models).items()
        if isinstance(value, type) and models.Backbone in value.__bases__
    }
    if name not in classes:
        raise UserError(
            f"--backbone_config: class {name!r}: expected one of {', '.join(sorted(classes))} "
            "(not an alias that stands for a preset: give the class itself and its arguments)"
        )
    return classes[name]


def _build_keras_cv(description: dict, size: tuple[int, int]) -> tf.keras.Model:
    """Build a keras-cv backbone for images of a size."""
    name, arguments = description["class"], description["arguments"]
    backbone_class = _find_class(name)
    try:
        backbone = backbone_class(**arguments, input_shape=(*size, 3), name=BACKBONE_LAYER)
    except Exception as error:  # each class has its own way to choke on its arguments
        raise UserError(
            f"--backbone_config: {name} cannot be made with these arguments for images of "
            f"{size[0]}x{size[1]}: {brief(error)}"
        ) from error
    shape = backbone.output_shape
    if not (isinstance(shape, tuple) and len(shape) == 4 and None not in shape[1:]):
        raise UserError(
            f"--backbone_config: {name} gives {shape}; expected one feature map, "
            "(None, height, width, channels)"
        )
    return backbone
