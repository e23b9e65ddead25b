"""Embed the query and gallery records and rank them."""

from __future__ import annotations

import os

import numpy as np
import tensorflow as tf
import tqdm

from daaf_tf import schema
from daaf_tf.config import Config
from daaf_tf.data import make_eval_batches
from daaf_tf.data.folder_reader import FolderReader
from daaf_tf.data.held_out import read_held_out
from daaf_tf.data.records import RecordReader
from daaf_tf.data.views import compute_viewed_size, make_views
from daaf_tf.errors import UserError
from daaf_tf.model import build_daaf, embedding_model
from daaf_tf.model.precision import FLOAT32, dtype_policy
from daaf_tf.retrieval import Features, RetrievalResult, rank_features
from daaf_tf.training.attention_metrics import (
    JOINT_ACCURACY,
    MASK_IOU,
    compute_joint_accuracy,
    compute_mask_iou,
    locate_joints,
)
from daaf_tf.training.checkpoints import Checkpoints
from daaf_tf.training.inputs import input_errors
from daaf_tf.training.interrupts import held_interrupt
from daaf_tf.training.memory import out_of_memory
from daaf_tf.training.optimizers import build_optimizer


def load_model(
    config: Config, model_dir: str, *, flag: str = "model_dir"
) -> tuple[tf.keras.Model, int]:
    """Build the whole network of a run with the weights of its newest checkpoint, in float32.

    Where the run keeps moving averages of its weights (EMA), these are taken.

    Args:
      config: the run's config, see `checkpoints.read_config`.
      model_dir: its model directory.
      flag: that names the directory, for the message.

    Returns:
      The model, and the step of its checkpoint.

    Raises:
      UserError: no checkpoint, or none that can be read.
    """
    # How replicas normalise together is of no concern to one: the plain graph is the faster one.
    with dtype_policy(FLOAT32):
        model = build_daaf(config.replace(sync_batch_norm=False))
    parts = {"model": model}
    if config.optimizer.ema_momentum:
        parts["optimizer"] = build_optimizer(config.optimizer)
        parts["optimizer"].build(model.trainable_variables)
    step, problems = Checkpoints(model_dir, **parts).restore()
    for problem in problems:
        print(f"warning: {problem}")
    if step is None:
        raise UserError(f"--{flag}={model_dir}: there is no checkpoint yet; train first")
    if config.optimizer.ema_momentum:
        parts["optimizer"].assign_averages(model.trainable_variables)
    return model, step


def load_embedding_model(config: Config, model_dir: str) -> tuple[tf.keras.Model, int]:
    """Do what `load_model` does, and cut the network down to its embedding model."""
    model, step = load_model(config, model_dir)
    return embedding_model(model), step


def compute_features(
    model: tf.keras.Model,
    config: Config,
    split: str,
    *,
    reader: RecordReader | FolderReader | None = None,
    positions: np.ndarray | None = None,
    progress: bool = True,
) -> Features:
    """Embed the images of a split: the mean embedding of their views, not normalised.

    Args:
      model: the embedding model: images [B, H, W, 3] to [B, D].
      config: the run; `data.data_dir`, the image sizes and `eval` are used.
      split: one of `schema.SPLITS`.
      reader: who reads the split; None: a RecordReader of `data.data_dir`.
      positions: [N] int, which records; None: every one.
      progress: show a progress bar.

    Raises:
      UserError: records that are missing or corrupt, a folder without a usable image, or memory
        that does not suffice.
    """

    @tf.function(input_signature=[tf.TensorSpec([None, *model.input_shape[1:]], tf.float32)])
    def embed(images):
        return model(images, training=False)

    parts = {name: [] for name in (schema.PERSON_ID, schema.CAMERA_ID, schema.FILENAME)}
    features = []
    how = {"reader": reader, "positions": positions}
    batches = make_eval_batches(config, split, compute_viewed_size(config), **how)
    bar = tqdm.tqdm(desc=f"embed {split}", unit="img", disable=not progress, leave=False)
    advice = f"Lower --eval_batch_size={config.eval.eval_batch_size}"
    with bar, held_interrupt() as check_interrupt, out_of_memory(advice), input_errors():
        for batch in batches:
            views = make_views(batch[schema.IMAGE], config)
            features.append(np.mean([embed(view).numpy() for view in views], axis=0))
            for name, values in parts.items():
                values.append(batch[name].numpy())
            bar.update(len(features[-1]))
            check_interrupt()
    if not features:
        raise UserError(f"no usable image in {split}")
    person_ids, camera_ids, filenames = (np.concatenate(values) for values in parts.values())
    names = np.array([os.fsdecode(name) for name in filenames])
    return Features(np.concatenate(features), person_ids, camera_ids, names)


def rank(query: Features, gallery: Features, config: Config) -> RetrievalResult:
    """Rank the gallery for each query by the Market-1501 protocol."""
    return rank_features(query, gallery, metric=config.eval.eval_metric)


def evaluate_model(
    model: tf.keras.Model, config: Config, *, progress: bool = True
) -> RetrievalResult:
    """Embed query and gallery with an embedding model and rank them; see `compute_features`."""
    query, gallery = (
        compute_features(model, config, split, progress=progress)
        for split in (schema.QUERY, schema.GALLERY)
    )
    return rank(query, gallery, config)


def measure_attention(model: tf.keras.Model, config: Config) -> dict[str, float]:
    """Measure what the branches predict on the held-out identities.

    Args:
      model: the whole network.
      config: the run; see `read_held_out`.

    Returns:
      What there is to measure, as shares in 0..1: `mask_iou` with HAB, the mean over the images
      with a mask, and `joint_accuracy` with PAB, see `attention_metrics`. Nothing where no identity
      is held out, or where the held-out images have no annotation of the kind.

    Raises:
      UserError: records that are missing or corrupt.
    """
    names = [name for name in (schema.MASK, schema.KEYPOINTS) if name in model.output]
    if not (names and config.data.held_out_identities):
        return {}

    @tf.function(input_signature=[tf.TensorSpec([None, *model.input_shape[1:]], tf.float32)])
    def predict(images):
        outputs = model(images, training=False)
        return {name: outputs[name] for name in names}

    overlaps, places, truths = [], [], []
    for batch in read_held_out(config):
        maps = {name: output.numpy() for name, output in predict(batch.images).items()}
        if schema.MASK in maps:
            overlap = compute_mask_iou(maps[schema.MASK][..., 0], batch.masks)
            overlaps.append(overlap[batch.has_mask])
        if schema.KEYPOINTS in maps:
            places.append(locate_joints(maps[schema.KEYPOINTS]))
            truths.append(batch.joints)
    figures = {}
    if sum(map(len, overlaps)):
        figures[MASK_IOU] = float(np.mean(np.concatenate(overlaps)))
    if places:
        figures[JOINT_ACCURACY] = compute_joint_accuracy(
            np.concatenate(places),
            np.concatenate(truths),
            aspect=config.data.image_width / config.data.image_height,
        )
    return {name: round(value, 4) for name, value in figures.items() if np.isfinite(value)}
