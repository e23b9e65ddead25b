"""The weights that a run's backbone starts from: a file, a preset folder, or another run."""

from __future__ import annotations

import hashlib
import pathlib

import tensorflow as tf

from daaf_tf.config import Config
from daaf_tf.errors import UserError
from daaf_tf.model import backbone_model
from daaf_tf.model.weight_files import WeightFile, read_weight_file
from daaf_tf.model.weights import read_arrays
from daaf_tf.training.checkpoints import CHECKPOINTS, has_checkpoint, read_config
from daaf_tf.training.evaluation import load_model


def resolve_pretrained(config: Config, model_dir: str) -> Config:
    """Return the config with the digest of its pre-trained weights.

    A run that has begun holds its weights in its checkpoints: it goes on without the file, and with
    a file of another name if the content is the same.

    Raises:
      UserError: no such file, one that cannot be read, or another one than the config says.
    """
    model = config.model
    if not model.pretrained:
        if model.pretrained_digest:
            raise UserError(
                f"--pretrained_digest={model.pretrained_digest} without --pretrained: name the "
                "file of weights, or leave the digest out"
            )
        return config
    if has_checkpoint(model_dir):
        begun = read_config(model_dir).model
        if begun.pretrained == model.pretrained and model.pretrained_digest in (
            "",
            begun.pretrained_digest,
        ):
            return config.replace(pretrained_digest=begun.pretrained_digest)
    return config.replace(pretrained_digest=read_pretrained(config).digest)


def read_pretrained(config: Config) -> WeightFile | None:
    """Read the weights that the backbone starts from; None where the config names none.

    Raises:
      UserError: see `resolve_pretrained`.
    """
    path, digest = config.model.pretrained, config.model.pretrained_digest
    if not path:
        return None
    if pathlib.Path(path, CHECKPOINTS).is_dir():
        found = _read_run(path)
        # What building that network has drawn must not change how this one starts.
        tf.keras.utils.set_random_seed(config.data.seed)
    else:
        found = read_weight_file(path)
    if digest and digest != found.digest:
        raise UserError(
            f"--pretrained={path} has the digest {found.digest}, but the run is to start from "
            f"{digest}; name that file, or leave --pretrained_digest out"
        )
    return found


def _read_run(model_dir: str) -> WeightFile:
    """Read the backbone of another run's newest checkpoint: what that run evaluates."""
    model, step = load_model(read_config(model_dir), model_dir, flag="pretrained")
    arrays = read_arrays(backbone_model(model))
    content = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        content.update(name.encode())
        content.update(array.tobytes())
    return WeightFile(
        pathlib.Path(model_dir), f"a run, step {step}", content.hexdigest()[:16], arrays
    )
