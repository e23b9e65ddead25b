"""Train one run, from wherever its model directory stands."""

from __future__ import annotations

import contextlib
import hashlib
import pathlib
from collections.abc import Callable, Iterable

import tensorflow as tf

from daaf_tf import schema
from daaf_tf.config import Config, flat
from daaf_tf.data import make_train_batches
from daaf_tf.data.pipeline import user_error
from daaf_tf.data.records import read_manifest
from daaf_tf.errors import UserError
from daaf_tf.losses import (
    ActiveTriplets,
    BatchHardTriplet,
    EmbeddingNorm,
    IdentityLoss,
    KeypointsLoss,
    MaskLoss,
)
from daaf_tf.model import build_daaf, embedding_model
from daaf_tf.training import callbacks
from daaf_tf.training.checkpoints import Checkpoints
from daaf_tf.training.evaluation import evaluate_model, summarize
from daaf_tf.training.optimizers import build_optimizer
from daaf_tf.training.pictures import draw_attention
from daaf_tf.training.schedules import compute_learning_rate


def resolve_config(config: Config) -> Config:
    """Return the config with what only the training records know: their identities and digest.

    Raises:
      UserError: no records, fewer identities than P, or other records than the config says.
    """
    folder = config.data.data_dir
    splits = read_manifest(folder)["splits"]
    if schema.TRAIN not in splits:
        raise UserError(f"{folder}: no split {schema.TRAIN!r}; there is {', '.join(splits)}")
    manifest = splits[schema.TRAIN]
    shards = "".join(shard["sha256"] for shard in manifest["shards"])
    found = {
        "num_identities": len(manifest["images_per_label"]),
        "train_digest": hashlib.sha256(shards.encode()).hexdigest()[:16],
    }
    if found["num_identities"] < config.data.identities_per_batch:
        raise UserError(
            f"--identities_per_batch={config.data.identities_per_batch}, but {folder} holds only "
            f"{found['num_identities']} training identities; lower the flag"
        )
    for name, wanted in flat(config).items():
        if name in found and wanted and wanted != found[name]:
            raise UserError(
                f"--{name}={wanted}, but the training records in {folder} have {found[name]}; "
                "leave the flag out, or name the records that the run was started with"
            )
    return config.replace(**found)


def train(config: Config, model_dir: str, strategy: tf.distribute.Strategy) -> bool:
    """Train until `total_steps`, going on from the newest checkpoint in the model directory.

    Args:
      config: the run, as `resolve_config` returned it.
      model_dir: a folder that `prepare_model_dir` has made or checked.
      strategy: what `make_strategy` returned for the config.

    Returns:
      True when all steps are done, False when a signal has stopped the run (which is saved).

    Raises:
      UserError: records or checkpoints that cannot be read, a loss that is not finite, a disk that
        is full.
    """
    with strategy.scope():
        model = compile_model(config)
    checkpoints = Checkpoints(
        model_dir, config.train.keep_checkpoints, model=model, optimizer=model.optimizer
    )
    first_step, problems = checkpoints.restore()
    for problem in problems:
        print(f"warning: {problem}")
    first_step = first_step or 0
    if first_step >= config.train.total_steps:
        print(f"{model_dir} is trained: {first_step} of {config.train.total_steps} steps")
        return True
    replicas = strategy.num_replicas_in_sync
    print(f"training on {replicas} replica(s), steps {first_step} to {config.train.total_steps}")

    stop = callbacks.StopOnSignal(first_step)
    progress = callbacks.Progress(first_step, config.train.total_steps, config.batch_size)
    batches = make_train_batches(config, first_step).map(make_to_keras(model.output))
    try:
        with _user_errors():
            model.fit(
                batches,
                steps_per_epoch=config.train.total_steps - first_step,
                verbose=0,
                callbacks=[
                    *_make_callbacks(config, model_dir, model, checkpoints, first_step),
                    progress,
                    stop,
                ],
            )
    finally:
        progress.close()
        stop.give_back()
    return stop.received is None or stop.step >= config.train.total_steps


def compile_model(config: Config) -> tf.keras.Model:
    """Build the model with its losses, metrics and optimizer, all variables made."""
    loss = config.loss
    model = build_daaf(config)
    triplet = {
        "margin": loss.parsed_margin(),
        "metric": loss.metric,
        "local_mining": loss.local_mining,
    }
    losses = {
        schema.EMBEDDING: (BatchHardTriplet(**triplet), loss.triplet_weight),
        schema.MASK: (MaskLoss(kind=loss.mask_loss), loss.mask_weight),
        schema.KEYPOINTS: (
            KeypointsLoss(loss.keypoints_foreground, kind=loss.keypoints_loss),
            loss.keypoints_weight,
        ),
        schema.LOGITS: (IdentityLoss(loss.label_smoothing), loss.identity_weight),
    }
    losses = {name: pair for name, pair in losses.items() if name in model.output}
    model.compile(
        optimizer=build_optimizer(config.optimizer),
        loss={name: function for name, (function, _) in losses.items()},
        loss_weights={name: weight for name, (_, weight) in losses.items()},
        metrics={schema.EMBEDDING: [ActiveTriplets(**triplet), EmbeddingNorm()]},
    )
    model.optimizer.build(model.trainable_variables)
    return model


def make_to_keras(outputs: Iterable[str]) -> Callable:
    """Return the function that turns a batch into the images, targets and weights of `fit`.

    Args:
      outputs: the names of the model's outputs; Keras wants targets for these and no others.
    """
    targets = {
        schema.EMBEDDING: schema.LABEL,
        schema.LOGITS: schema.LABEL,
        schema.MASK: schema.MASK,
        schema.KEYPOINTS: schema.KEYPOINTS,
    }
    presences = {
        schema.MASK: schema.MASK_PRESENCE,
        schema.KEYPOINTS: schema.KEYPOINTS_PRESENCE,
    }

    def to_keras(batch):
        return (
            batch[schema.IMAGE],
            {name: batch[targets[name]] for name in outputs},
            {name: batch[presences[name]] for name in outputs if name in presences},
        )

    return to_keras


def _make_callbacks(config, model_dir, model, checkpoints, first_step):
    """Return the callbacks in the order in which they act after a step."""
    settings = config.train
    writers = {
        name: tf.summary.create_file_writer(str(pathlib.Path(model_dir, name)))
        for name in ("train", "eval")
    }
    return [
        callbacks.Scalars(
            first_step,
            every=settings.log_every,
            writer=writers["train"],
            learning_rate=lambda step: compute_learning_rate(step, config.optimizer),
            batch_size=config.batch_size,
        ),
        callbacks.SaveCheckpoints(
            first_step,
            every=settings.checkpoint_every,
            total_steps=settings.total_steps,
            checkpoints=checkpoints,
        ),
        *_make_evaluation(config, model_dir, model, first_step, writers["eval"]),
        *_make_pictures(config, model_dir, model, first_step, writers["train"]),
    ]


def _make_evaluation(config, model_dir, model, first_step, writer):
    splits = read_manifest(config.data.data_dir)["splits"]
    absent = [split for split in (schema.QUERY, schema.GALLERY) if split not in splits]
    if absent:
        # A set of one's own may be for training alone.
        print(f"no evaluation: {config.data.data_dir} has no split {' and no split '.join(absent)}")
        return []
    return [
        callbacks.Evaluate(
            first_step,
            every=config.train.eval_every,
            total_steps=config.train.total_steps,
            writer=writer,
            model_dir=model_dir,
            figures=lambda: summarize(evaluate_model(embedding_model(model), config)),
        )
    ]


def _make_pictures(config, model_dir, model, first_step, writer):
    if not (config.model.hab or config.model.pab):
        return []
    # The same images each time, so that one can watch the branches learn.
    batch = next(iter(make_train_batches(config, 0).take(1)))
    every_kth = slice(None, None, config.data.images_per_identity)
    shown = {name: values[every_kth][:8] for name, values in batch.items()}
    return [
        callbacks.Pictures(
            first_step,
            every=config.train.pictures_every,
            total_steps=config.train.total_steps,
            writer=writer,
            model_dir=model_dir,
            draw=lambda: draw_attention(shown, model(shown[schema.IMAGE], training=False)),
        )
    ]


@contextlib.contextmanager
def _user_errors():
    """Turn an input pipeline's error back into the message that its reader raised."""
    try:
        yield
    except tf.errors.OpError as error:
        found = user_error(error)
        if found is None:
            raise
        raise found from error
