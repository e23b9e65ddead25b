"""Write a network as a SavedModel that owns its pre-processing, whole or not at all."""

from __future__ import annotations

import errno
import json
import os
import pathlib
import tempfile
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

import daaf_tf
from daaf_tf import schema
from daaf_tf.config import Config, to_json
from daaf_tf.data.views import compute_viewed_size
from daaf_tf.errors import UserError, brief
from daaf_tf.model.precision import FLOAT32
from daaf_tf.serving import runtimes
from daaf_tf.serving.card import CARD_FILE, make_model_card
from daaf_tf.serving.embedder import DESCRIPTION_FILE, PIXELS_INPUT, version_folders
from daaf_tf.serving.servable import PLAIN, ExportOptions, make_embed, make_servable
from daaf_tf.serving.warmup import write_warmup_requests


def write_saved_model(
    model: tf.keras.Model,
    config: Config,
    output_dir: str | os.PathLike,
    *,
    options: ExportOptions = PLAIN,
    description: str = "",
    facts: Mapping[str, Any] | None = None,
    verify: Callable[[pathlib.Path], Mapping[str, Any]] | None = None,
) -> str:
    """Write a network as the next version in a folder of versions, whole or not at all.

    It is written in a hidden folder `.export.*` inside `output_dir` and renamed; that folder is
    removed whatever happens, unless the process is killed (it may then be deleted).

    The SavedModel has two signatures, both to `{"embedding": [B, D] float32}`, B being any number:
    `serving_default(images)`, uint8 RGB [B, H, W, 3] of any size, and `encoded(encoded)`, strings
    [B] that hold JPEG, PNG or one-frame GIF files. With `options.attention` there are `attention`
    and `attention_encoded` beside them, which give out the branches' maps too. It needs TensorFlow
    alone to be loaded. In its folder assets.extra lie a description, a model card and requests
    that warm a server up.

    Args:
      model: the embedding model, normalised images [B, H, W, 3] to [B, D]; with
        `options.attention` the whole network. Its layers compute in float32, or in the precision
        that the options name.
      config: the run it comes from; `data.image_height` and `data.image_width` are the model's.
        The views that `eval.tta` names are averaged inside.
      output_dir: the folder of versions; made if missing.
      options: see there.
      description: a free line on the model, kept in `assets.extra/daaf_tf.json`.
      facts: what else to keep there and show on the card, such as `metrics`; see `card`.
      verify: called with the folder before it gets its name; what it returns is kept as `parity`,
        and if it raises, nothing is left.

    Returns:
      The version folder that was written: `output_dir/1` or one above the highest there.

    Raises:
      UserError: `output_dir` is a file or holds something else, or cannot be written; or the
        network has no branch whose maps `options.attention` could give out.
      ValueError: the model is not what the options ask for, or of another size than the config.
    """
    _check_model(model, config, options)

    def fill(version):
        return {"signatures": _save(make_servable(model, config, options), version, config)}

    known = _describe(model, config, options, description, facts or {})
    return _write_version(pathlib.Path(output_dir), known, fill, verify)


def write_converted(
    model: tf.keras.Model,
    config: Config,
    output_dir: str | os.PathLike,
    file_format: str,
    *,
    options: ExportOptions = PLAIN,
    calibration: Callable[[], Iterable[np.ndarray]] | None = None,
    description: str = "",
    facts: Mapping[str, Any] | None = None,
    verify: Callable[[pathlib.Path], Mapping[str, Any]] | None = None,
) -> str:
    """Write an embedding model for another runtime, as the next version, whole or not at all.

    Args:
      model: the embedding model in float32.
      config: see `write_saved_model`.
      output_dir: see there.
      file_format: `runtimes.ONNX` or `runtimes.TFLITE`.
      options: without attention, in float32.
      calibration: for TFLite, gives the images of `runtimes.write_tflite`.
      description: see `write_saved_model`.
      facts: see there.
      verify: see there.

    Returns:
      The version folder that was written.

    Raises:
      UserError: see `write_saved_model`; besides, a package is missing, or an option does not go
        with the format.
    """
    if options.attention or options.precision != FLOAT32:
        raise UserError(
            f"--format={file_format} takes neither --attention nor --precision: expected the "
            "embedding in float32 (tflite writes int8 beside it)"
        )
    _check_model(model, config, options)

    def fill(version):
        version.mkdir()
        (version / DESCRIPTION_FILE).parent.mkdir()
        if file_format == runtimes.ONNX:
            runtimes.write_onnx(make_servable(model, config, options), version / runtimes.ONNX_FILE)
            taken = "uint8 [B, any, any, 3]"
        else:
            size = compute_viewed_size(config)
            embed = make_embed(model, config, options)
            runtimes.write_tflite(embed, size, model.weights, version, calibration=calibration())
            taken = f"float32 in 0..255, in int8 uint8 [B, {size[0]}, {size[1]}, 3]"
        outputs = {schema.EMBEDDING: f"float32 [B, {model.output_shape[-1]}]"}
        return {"signatures": {file_format: {"input": {PIXELS_INPUT: taken}, "outputs": outputs}}}

    known = _describe(model, config, options, description, facts or {})
    return _write_version(pathlib.Path(output_dir), known, fill, verify)


def _write_version(
    folder: pathlib.Path,
    known: dict[str, Any],
    fill: Callable[[pathlib.Path], dict[str, Any]],
    verify: Callable[[pathlib.Path], Mapping[str, Any]] | None,
) -> str:
    """Let `fill` write into a folder, have it verified and described, and give it its number."""
    _to_text(known)
    try:
        _check_output_dir(folder)
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".export.", dir=folder) as temporary:
            version = pathlib.Path(temporary, "version")
            known.update(fill(version))
            if verify:
                known["parity"] = dict(verify(version))
            (version / DESCRIPTION_FILE).write_text(_to_text(known), encoding="utf-8")
            (version / CARD_FILE).write_text(make_model_card(known), encoding="utf-8")
            return str(_rename_to_next_version(version, folder))
    except (OSError, tf.errors.OpError) as error:
        raise UserError(
            f"{folder}: the model could not be written ({brief(error)}); nothing of it is "
            "left. Make room, or name another folder, and run the same command again"
        ) from error


def _save(servable: tf.Module, folder: pathlib.Path, config: Config) -> dict[str, Any]:
    """Save, with warm-up requests beside it; return each signature's input and outputs."""
    signatures = {name: f.get_concrete_function() for name, f in servable.functions.items()}
    tf.saved_model.save(servable, str(folder), signatures=signatures)
    specs = {name: function.input_signature[0] for name, function in servable.functions.items()}
    write_warmup_requests(
        folder,
        {name: spec.name for name, spec in specs.items()},
        config.data.image_height,
        config.data.image_width,
    )
    return {
        name: {
            "input": {specs[name].name: _show_spec(specs[name])},
            "outputs": {k: _show_spec(v) for k, v in signatures[name].structured_outputs.items()},
        }
        for name in signatures
    }


def _show_spec(spec: tf.TensorSpec) -> str:
    shape = ", ".join("B" if n == 0 else str(size or "any") for n, size in enumerate(spec.shape))
    return f"{spec.dtype.name} [{shape}]"


def _check_model(model: tf.keras.Model, config: Config, options: ExportOptions) -> None:
    expected = (None, config.data.image_height, config.data.image_width, 3)
    if model.input_shape != expected:
        raise ValueError(f"the model takes {model.input_shape}, the config says {expected}")
    if isinstance(model.output, dict) != options.attention:
        raise ValueError(
            f"attention={options.attention}: expected "
            + ("the whole network" if options.attention else "the embedding model, with one output")
        )
    if options.attention and not {schema.MASK, schema.KEYPOINTS} & set(model.output):
        raise UserError(
            "--attention: expected a network with attention branches, this one was trained "
            "without (--nohab --nopab); leave the flag out"
        )
    layers = (module for module in model.submodules if isinstance(module, tf.keras.layers.Layer))
    others = {layer.compute_dtype for layer in layers} - {FLOAT32, options.precision}
    if others:
        raise ValueError(
            f"expected a model built under the {options.precision} policy, found {others}"
        )


def _describe(
    model: tf.keras.Model,
    config: Config,
    options: ExportOptions,
    description: str,
    facts: Mapping[str, Any],
) -> dict[str, Any]:
    outputs = model.output if options.attention else {schema.EMBEDDING: model.output}
    return {
        "daaf_tf_version": daaf_tf.__version__,
        "tensorflow_version": tf.__version__,
        "description": description,
        "input_height": config.data.image_height,
        "input_width": config.data.image_width,
        "embedding_size": outputs[schema.EMBEDDING].shape[-1],
        "parameters": model.count_params(),
        "normalize": options.normalize,
        "tta": config.eval.tta,
        "attention": options.attention,
        "precision": options.precision,
        "metrics": {},
        **facts,
        # Where the records lay on the machine that trained is nobody's business.
        "config": json.loads(to_json(config.replace(data_dir="", pretrained=""))),
    }


def _to_text(facts: Mapping[str, Any]) -> str:
    return json.dumps(facts, indent=2, allow_nan=False) + "\n"


def _check_output_dir(folder: pathlib.Path) -> None:
    if folder.exists() and not folder.is_dir():
        raise UserError(f"--output_dir={folder}: expected a folder, found a file")
    if not folder.is_dir() or version_folders(folder):
        return
    names = (child.name for child in folder.iterdir())
    # A number alone is a version, of another format perhaps.
    others = sorted(name for name in names if not name.startswith(".") and not name.isdecimal())
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
