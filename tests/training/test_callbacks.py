"""What the callbacks do around a real `fit` of a model with one weight."""

import json
import os
import signal

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from daaf_tf.errors import UserError
from daaf_tf.training import callbacks
from daaf_tf.training.checkpoints import Checkpoints, find_steps
from daaf_tf.training.finite import optimizer_variables


def fit(used, steps, target=1.0):
    model = tf.keras.Sequential([tf.keras.layers.Dense(1, input_shape=(1,))])
    model.compile(optimizer="sgd", loss="mse")
    batches = tf.data.Dataset.from_tensors((tf.ones([4, 1]), tf.fill([4, 1], target))).repeat()
    used = used(model) if callable(used) else used
    model.fit(batches, steps_per_epoch=steps, verbose=0, callbacks=used)
    return model


def read_scalars(folder):
    values = {}
    for path in sorted(folder.glob("events*")):
        for event in EventFileLoader(str(path)).Load():
            for value in event.summary.value:
                values.setdefault(value.tag, {})[event.step] = tf.make_ndarray(value.tensor)
    return values


class Recorder(callbacks.StepCallback):
    def __init__(self, first_step):
        super().__init__(first_step)
        self.steps = []

    def after_step(self, step, logs):
        self.steps.append(step)


@pytest.mark.parametrize(
    ("step", "every", "due"), [(10, 5, True), (11, 5, False), (10, 0, False), (0, 0, False)]
)
def test_is_due(step, every, due):
    assert callbacks.is_due(step, every) is due


def test_steps_are_counted_over_the_whole_run():
    recorder = Recorder(first_step=7)
    fit([recorder], steps=3)
    assert recorder.steps == [8, 9, 10]


def test_scalars_are_means_of_the_steps_since_the_last_ones(tmp_path):
    seen = []

    class Losses(callbacks.StepCallback):
        def after_step(self, step, logs):
            seen.append(logs["loss"])

    writer = tf.summary.create_file_writer(str(tmp_path))
    scalars = callbacks.Scalars(
        0, every=2, writer=writer, learning_rate=lambda step: 0.25, batch_size=4
    )
    fit([Losses(0), scalars], steps=5)
    values = read_scalars(tmp_path)
    # Running means restart after steps 2 and 4, so each logged value is a mean of two steps.
    assert sorted(values["loss/total"]) == [2, 4]
    np.testing.assert_allclose(
        [values["loss/total"][step] for step in (2, 4)], seen[1::2], rtol=1e-6
    )
    assert values["learning_rate"][2] == 0.25
    assert values["images_per_second"][4] > 0


def test_a_loss_that_is_not_finite_ends_the_run_by_name_and_step(tmp_path):
    writer = tf.summary.create_file_writer(str(tmp_path))
    scalars = callbacks.Scalars(
        3, every=2, writer=writer, learning_rate=lambda step: 0.1, batch_size=4
    )
    with pytest.raises(UserError, match=r"step 4: loss/total is nan.*--learning_rate"):
        fit([scalars], steps=2, target=float("nan"))


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("loss", "loss/total"),
        ("embedding_loss", "loss/triplet"),
        ("feature_loss", "loss/triplet"),
        ("logits_loss", "loss/identity"),
        ("centre_distances_loss", "loss/centre"),
        ("embedding_active_triplets", "active_triplets"),
        ("feature_active_triplets", "active_triplets"),
        ("embedding_embedding_norm", "embedding_norm"),
        ("embedding_norm", "embedding_norm"),
    ],
)
def test_scalar_names(key, name):
    assert callbacks.scalar_name(key) == name


def test_checkpoints_are_written_when_due_and_at_the_end_once(tmp_path):
    def used(model):
        checkpoints = Checkpoints(str(tmp_path), 10, model=model)
        return [
            callbacks.SaveCheckpoints(0, every=2, total_steps=5, checkpoints=checkpoints),
        ]

    fit(used, steps=5)
    names = {path.name.split(".")[0] for path in (tmp_path / "checkpoints").glob("step-*.index")}
    assert names == {"step-2", "step-4", "step-5"}


@pytest.mark.parametrize(
    ("minutes", "steps"), [(0.0, {5}), (59.0, {1, 2, 3, 4, 5}), (61.0, {2, 4, 5})]
)
def test_checkpoints_are_also_written_after_so_many_minutes(tmp_path, monkeypatch, minutes, steps):
    ticks = {"now": 0.0}
    monkeypatch.setattr(callbacks.time, "monotonic", lambda: ticks["now"])

    class Tick(callbacks.StepCallback):
        def after_step(self, step, logs):
            ticks["now"] += 3600.0

    def used(model):
        checkpoints = Checkpoints(str(tmp_path), 10, model=model)
        save = callbacks.SaveCheckpoints(
            0, every=100, total_steps=5, checkpoints=checkpoints, minutes=minutes
        )
        return [Tick(0), save]

    fit(used, steps=5)
    assert set(find_steps(tmp_path / "checkpoints")) == steps


@pytest.mark.parametrize("where", ["weights", "optimizer"])
def test_a_state_that_is_not_finite_is_not_saved(tmp_path, where):
    class Ruin(callbacks.StepCallback):
        def after_step(self, step, logs):
            if step == 3:
                variables = self.model.trainable_variables
                if where == "optimizer":
                    variables = [
                        variable
                        for variable in optimizer_variables(self.model)
                        if variable.dtype.is_floating
                    ]
                variables[-1].assign(variables[-1] * float("inf"))

    def used(model):
        checkpoints = Checkpoints(str(tmp_path), 10, model=model, optimizer=model.optimizer)
        save = callbacks.SaveCheckpoints(0, every=1, total_steps=5, checkpoints=checkpoints)
        return [Ruin(0), save]

    with pytest.raises(UserError, match=r"step 3: its update has made .* --learning_rate"):
        fit(used, steps=5)
    assert find_steps(tmp_path / "checkpoints") == [1, 2]


def test_a_run_killed_before_its_evaluation_makes_up_for_it_once(tmp_path):
    def make(first_step):
        return callbacks.Evaluate(
            first_step,
            every=2,
            total_steps=5,
            writer=tf.summary.create_noop_writer(),
            model_dir=str(tmp_path),
            figures=lambda: {"mAP": 1.0, "rank1": 1.0},
        )

    for first_step, expected in ((3, []), (2, [2]), (2, [2]), (5, [2, 5]), (5, [2, 5])):
        make(first_step).catch_up()
        path = tmp_path / "metrics.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        assert [json.loads(line)["step"] for line in lines] == expected


def test_evaluation_comes_before_the_first_step_when_due_and_after_the_last(tmp_path):
    calls = iter(range(100))
    evaluate = callbacks.Evaluate(
        0,
        every=2,
        total_steps=5,
        writer=tf.summary.create_file_writer(str(tmp_path / "eval")),
        model_dir=str(tmp_path),
        figures=lambda: {"mAP": float(next(calls)), "rank1": 1.0},
    )
    fit([evaluate], steps=5)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [(line["step"], line["mAP"]) for line in lines] == [(0, 0), (2, 1), (4, 2), (5, 3)]
    assert sorted(read_scalars(tmp_path / "eval")["retrieval/mAP"]) == [0, 2, 4, 5]


def test_pictures_are_drawn_when_due(tmp_path):
    pictures = callbacks.Pictures(
        0,
        every=3,
        total_steps=7,
        writer=tf.summary.create_file_writer(str(tmp_path)),
        model_dir=str(tmp_path),
        draw=lambda: np.zeros([8, 6, 3], np.uint8),
    )
    fit([pictures], steps=7)
    assert sorted(read_scalars(tmp_path)["attention"]) == [3, 6, 7]
    assert Image.open(tmp_path / "attention.png").size == (6, 8)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_training_after_the_step_and_saves(tmp_path, number):
    class Send(callbacks.StepCallback):
        def after_step(self, step, logs):
            if step == 3:
                os.kill(os.getpid(), number)

    stop = callbacks.StopOnSignal(0)
    before = signal.getsignal(number)

    def used(model):
        checkpoints = Checkpoints(str(tmp_path), 10, model=model)
        return [
            Send(0),
            callbacks.SaveCheckpoints(0, every=100, total_steps=100, checkpoints=checkpoints),
            stop,
        ]

    try:
        fit(used, steps=100)
    finally:
        stop.give_back()
    assert stop.received == number
    assert stop.step == 3
    assert (tmp_path / "checkpoints/step-3.index").exists()
    assert signal.getsignal(number) == before
