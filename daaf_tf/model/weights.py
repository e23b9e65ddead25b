"""Load pre-trained weights into a backbone, whole or not at all, and write a backbone's weights.

Our ResNets take the tensors of torchvision, timm and MindSpore, and Keras files of themselves. Any
other backbone takes Keras files of the very same network, among them keras-cv's presets.
"""

from __future__ import annotations

import os
import pathlib
import re
import tempfile

import numpy as np
import safetensors.numpy
import tensorflow as tf

from daaf_tf.errors import UserError, brief
from daaf_tf.files import write_atomically
from daaf_tf.model.keras_file import read_keras
from daaf_tf.model.weight_files import WeightFile
from daaf_tf.model.weight_matching import (
    Report,
    describe_variables,
    match_names,
    match_torch,
    some,
)

SUFFIXES = (".safetensors", ".h5")

_APPLICATIONS = (
    "keras.applications' ResNet is another network: stride on the 1x1 convolution, biases in its "
    "convolutions, BGR input; take torchvision's or timm's weights"
)
_KERAS_CV = (
    "keras-cv's ResNet is another network: stride on the 1x1 convolution, one-sided padding; take "
    "torchvision's or timm's weights, or a backbone of keras-cv"
)
# Layer names of other networks that are called ResNet.
_ELSEWHERE = (
    (re.compile(r"conv\d_block\d+_\d_conv|res\d\w+_branch\d"), _APPLICATIONS),
    (re.compile(r"(v2_)?stack_?\d"), _KERAS_CV),
)
# Where the layers' names are not known: a bias in the first convolution.
_BIAS_BY_PATH = re.compile(r"\bconv2d/vars/1$")


def load_weights(backbone: tf.keras.Model, file: WeightFile) -> Report:
    """Load a file's weights into a backbone.

    Args:
      backbone: a ResNet made of `resnet_features`, or any other model.
      file: what `read_weight_file` returned.

    Returns:
      What was loaded and what was skipped.

    Raises:
      UserError: the file does not cover the backbone or is of another network (the message says
        what was expected and found) or holds NaN or infinity; the backbone is as it was.
    """
    try:
        _check_origin(file, backbone)
        if file.by_path:
            return _load_by_path(backbone, file)
        variables = _variables(backbone)
        shapes = {name: tuple(variable.shape) for name, variable in variables.items()}
        resnet = _is_resnet(variables)
        if any(name.endswith("/kernel") for name in file.tensors):
            values, report = match_names(file, shapes, resnet=resnet)
        elif resnet:
            values, report = match_torch(file, shapes)
        else:
            raise UserError(
                f"tensors {some(list(file.tensors))}; expected for this backbone a Keras file of "
                "the same network, or its keras-cv preset"
            )
        report.check(describe_variables(shapes) if resnet else f"the {len(shapes)} of the backbone")
        _check_finite(values)
    except UserError as error:
        raise UserError(f"{file.path}: {error}") from error
    tf.keras.backend.batch_set_value([(variables[name], values[name]) for name in values])
    return report


def write_weights(backbone: tf.keras.Model, path: str | os.PathLike, network: str) -> None:
    """Write a backbone's weights, whole or not at all, for `load_weights`.

    Args:
      backbone: the model.
      path: the file, replaced if it exists: `.safetensors` (tensors by our names, `conv1/kernel`)
        or `.h5` (as Keras writes it).
      network: what the weights are of, noted in a safetensors file.

    Raises:
      UserError: another suffix, or a file that cannot be written.
    """
    path = pathlib.Path(path)
    if path.suffix not in SUFFIXES:
        raise UserError(f"{path}: expected a name that ends in {' or '.join(SUFFIXES)}")
    if path.suffix == ".h5":
        with tempfile.TemporaryDirectory() as folder:
            written = pathlib.Path(folder, path.name)
            backbone.save_weights(written)
            content = written.read_bytes()
    else:
        # One entry: of several, safetensors writes the order differently each time.
        content = safetensors.numpy.save(read_arrays(backbone), {"network": network})
    try:
        write_atomically(path, content)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}") from error


def read_arrays(backbone: tf.keras.Model) -> dict[str, np.ndarray]:
    """Return a backbone's weights by our names, e.g. `conv1/kernel`."""
    return {name: variable.numpy() for name, variable in _variables(backbone).items()}


def _variables(backbone):
    return {re.sub(r":0$", "", variable.name): variable for variable in backbone.weights}


def _is_resnet(variables):
    return "layer1_0_conv1/kernel" in variables


def _check_origin(file, backbone):
    """Refuse what is known to be of another network, with the reason."""
    own = type(backbone).__name__
    if not _is_resnet(_variables(backbone)):
        if file.preset_class and own != "Functional" and file.preset_class != own:
            raise UserError(f"a preset of {file.preset_class}, but the backbone is a {own}")
        return
    if file.preset_class:
        raise UserError(
            f"a keras-cv preset of {file.preset_class}, but the backbone is one of our ResNets, "
            f"which are torchvision's. {_KERAS_CV}"
        )
    for pattern, reason in _ELSEWHERE:
        if any(pattern.match(name) for name in file.layer_names):
            raise UserError(reason)
    if any(_BIAS_BY_PATH.search(name) for name in file.tensors):
        raise UserError(_APPLICATIONS)


def _check_finite(values):
    broken = [name for name, value in values.items() if not np.isfinite(value).all()]
    if broken:
        raise UserError(f"values that are not finite, in {some(broken)}; the file is damaged")


def _load_by_path(backbone, file):
    """Load a Keras file by path: compare it with what Keras would write, then let Keras load it."""
    with tempfile.TemporaryDirectory() as folder:
        written = pathlib.Path(folder, "expected.weights.h5")
        backbone.save_weights(written)
        shapes = {
            name: value.shape for name, value in read_keras(written.read_bytes()).tensors.items()
        }
        values, report = match_names(file, shapes, resnet=_is_resnet(_variables(backbone)))
        report.check(f"the {len(shapes)} of the backbone")
        _check_finite(values)
        # Keras tells this layout by the name.
        link = pathlib.Path(folder, "found.weights.h5")
        link.symlink_to(file.path.resolve())
        before = backbone.get_weights()
        try:
            backbone.load_weights(link)
        except (AttributeError, LookupError, OSError, TypeError, ValueError) as error:
            backbone.set_weights(before)
            raise UserError(f"Keras could not load it: {brief(error)}") from error
    return report
