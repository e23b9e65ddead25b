"""Train one run, from wherever its model directory stands."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

import tensorflow as tf

from daaf_tf import schema
from daaf_tf.config import Config, flat
from daaf_tf.data import make_train_batches
from daaf_tf.data.held_out import count_trained
from daaf_tf.data.records import compute_digest, read_manifest
from daaf_tf.errors import UserError
from daaf_tf.model import backbone_model, embedding_model
from daaf_tf.training import callbacks
from daaf_tf.training.averages import averaged_weights
from daaf_tf.training.checkpoints import Checkpoints, has_checkpoint
from daaf_tf.training.compiling import compile_model, make_to_keras
from daaf_tf.training.evaluation import evaluate_model, measure_attention
from daaf_tf.training.freezing import FreezeBackbone
from daaf_tf.training.inputs import distribute_batches, input_errors
from daaf_tf.training.memory import out_of_memory, training_advice
from daaf_tf.training.metrics_file import forget_after
from daaf_tf.training.pictures import draw_attention
from daaf_tf.training.plain import PlainCopy, make_shown
from daaf_tf.training.pretrained import read_pretrained
from daaf_tf.training.schedules import compute_learning_rate
from daaf_tf.training.workers import Workers


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
    found = {
        "num_identities": count_trained(len(manifest["images_per_label"]), config.data),
        "train_digest": compute_digest(manifest),
    }
    held_out = config.data.held_out_identities
    held_out = f" beside --held_out_identities={held_out}" if held_out else ""
    if found["num_identities"] < config.data.identities_per_batch:
        raise UserError(
            f"--identities_per_batch={config.data.identities_per_batch}, but {folder} holds only "
            f"{found['num_identities']} training identities{held_out}; lower the flag"
        )
    for name, wanted in flat(config).items():
        if name in found and wanted and wanted != found[name]:
            raise UserError(
                f"--{name}={wanted}, but the training records in {folder} have {found[name]}; "
                "leave the flag out, or name the records that the run was started with"
            )
    return config.replace(**found)


def train(
    config: Config,
    model_dir: str,
    strategy: tf.distribute.Strategy,
    more_callbacks: Sequence[tf.keras.callbacks.Callback] = (),
) -> bool:
    """Train until `total_steps`, going on from the newest checkpoint in the model directory.

    Args:
      config: the run, as `resolve_config` returned it.
      model_dir: a folder that `prepare_model_dir` has made or checked.
      strategy: what `make_strategy` returned for the config.
      more_callbacks: act last after each step.

    Returns:
      True when all steps are done, False when a signal has stopped the run (which is saved).

    Raises:
      UserError: records, checkpoints or pre-trained weights that cannot be read or do not fit, a
        loss that is not finite, a disk that is full, memory that does not suffice; another worker
        that was lost, has other flags, or finds another checkpoint.
    """
    workers = Workers(strategy)
    advice = training_advice(config)
    with out_of_memory(advice), workers.named_when_lost(model_dir), input_errors():
        done = _train(config, model_dir, strategy, workers, more_callbacks)
        # The end of one is the end of all: the chief may still be evaluating.
        workers.wait()
        return done


def _train(config, model_dir, strategy, workers, more_callbacks):
    settings = config.train
    weights = None if has_checkpoint(model_dir) else read_pretrained(config)
    with strategy.scope():
        model = compile_model(config, weights)
    checkpoints = Checkpoints(
        model_dir,
        settings.keep_checkpoints,
        is_chief=workers.is_chief,
        model=model,
        optimizer=model.optimizer,
    )
    first_step, problems = checkpoints.restore()
    first_step = first_step or 0
    workers.check_same_run(config, first_step)
    if workers.is_chief:
        for problem in problems:
            print(f"warning: {problem}")
        forget_after(model_dir, first_step)
    periodic = _make_callbacks(config, model_dir, model, checkpoints, first_step, workers)
    if first_step >= settings.total_steps:
        _evaluate_after_kill(periodic)
        print(f"{model_dir} is trained: {first_step} of {settings.total_steps} steps")
        return True
    print(
        f"training on {strategy.num_replicas_in_sync} replica(s){workers.describe()}, steps "
        f"{first_step} to {settings.total_steps}"
    )
    stop = callbacks.StopOnSignal(first_step, workers)
    progress = callbacks.Progress(
        first_step, settings.total_steps, config.batch_size, shown=workers.is_chief
    )
    try:
        model.fit(
            distribute_batches(config, first_step, make_to_keras(model.output), strategy),
            steps_per_epoch=settings.total_steps - first_step,
            verbose=0,
            callbacks=[*periodic, progress, stop, *more_callbacks],
        )
    finally:
        progress.close()
        stop.give_back()
    return not stop.stopped or stop.step >= settings.total_steps


def _evaluate_after_kill(periodic):
    """Do the last evaluation of a run that was killed between its last checkpoint and that."""
    for callback in periodic:
        if isinstance(callback, PlainCopy):
            callback.refresh()
        elif isinstance(callback, callbacks.Evaluate):
            callback.catch_up()


def _make_callbacks(config, model_dir, model, checkpoints, first_step, workers):
    """Return the callbacks in the order in which they act after a step."""
    settings = config.train
    writers = {
        name: tf.summary.create_file_writer(str(pathlib.Path(model_dir, name)))
        if workers.is_chief
        else tf.summary.create_noop_writer()
        for name in ("train", "eval")
    }
    shown, copying = make_shown(config, model, first_step, workers)
    chiefs = []
    if workers.is_chief:
        chiefs = [
            *_make_evaluation(config, model_dir, shown, first_step, writers["eval"], workers),
            *_make_pictures(config, model_dir, shown, first_step, writers["train"], workers),
        ]
    return [
        callbacks.Scalars(
            first_step,
            every=settings.log_every,
            writer=writers["train"],
            learning_rate=lambda step: compute_learning_rate(step, config.optimizer),
            batch_size=config.batch_size,
        ),
        *copying,
        *chiefs,
        # After what is done at a step: a run that is killed before that is on disk does it again.
        callbacks.SaveCheckpoints(
            first_step,
            every=settings.checkpoint_every,
            total_steps=settings.total_steps,
            checkpoints=checkpoints,
            workers=workers,
            minutes=settings.checkpoint_minutes,
        ),
        FreezeBackbone(
            first_step,
            steps=config.optimizer.freeze_backbone_steps,
            backbone=backbone_model(model),
        ),
    ]


def _make_evaluation(config, model_dir, model, first_step, writer, workers):
    splits = read_manifest(config.data.data_dir)["splits"]
    absent = [split for split in (schema.QUERY, schema.GALLERY) if split not in splits]
    if absent:
        # A set of one's own may be for training alone.
        print(f"no evaluation: {config.data.data_dir} has no split {' and no split '.join(absent)}")
        return []

    def compute_figures():
        with averaged_weights(model):
            return {
                **evaluate_model(embedding_model(model), config).summarize(),
                **measure_attention(model, config),
            }

    return [
        callbacks.Evaluate(
            first_step,
            every=config.train.eval_every,
            total_steps=config.train.total_steps,
            writer=writer,
            model_dir=model_dir,
            figures=workers.alone(compute_figures),
        )
    ]


def _make_pictures(config, model_dir, model, first_step, writer, workers):
    if not (config.model.hab or config.model.pab):
        return []
    # The same images each time, so that one can watch the branches learn.
    batch = next(iter(make_train_batches(config, 0).take(1)))
    every_kth = slice(None, None, config.data.images_per_identity)
    shown = {name: values[every_kth][:8] for name, values in batch.items()}

    def draw():
        with averaged_weights(model):
            return draw_attention(shown, model(shown[schema.IMAGE], training=False))

    return [
        callbacks.Pictures(
            first_step,
            every=config.train.pictures_every,
            total_steps=config.train.total_steps,
            writer=writer,
            model_dir=model_dir,
            draw=workers.alone(draw),
        )
    ]
