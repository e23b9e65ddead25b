"""What happens around the steps: progress, logs, checkpoints, evaluation, pictures, stopping.

Each is a Keras callback that asks after each step whether it is due. Steps are counted over the
whole run, resumed parts included: step n has seen n batches.
"""

from __future__ import annotations

import json
import math
import pathlib
import signal
import time
from typing import Callable

import numpy as np
import tensorflow as tf
import tqdm

from daaf_tf import schema
from daaf_tf.errors import UserError
from daaf_tf.files import write_atomically
from daaf_tf.training.attention_metrics import ATTENTION_FIGURES
from daaf_tf.training.checkpoints import METRICS_FILE, PICTURE_FILE, Checkpoints


def is_due(step: int, every: int) -> bool:
    """Return whether a thing that happens every so many steps (0: never) happens at this one."""
    return every > 0 and step % every == 0


class StepCallback(tf.keras.callbacks.Callback):
    """A callback that knows the step of the whole run."""

    def __init__(self, first_step: int):
        """Keep the number of steps that were done before this process began."""
        super().__init__()
        self.first_step = first_step
        self.step = first_step

    def on_train_batch_end(self, batch, logs=None):
        """Count the step and call `after_step`."""
        self.step = self.first_step + batch + 1
        self.after_step(self.step, logs or {})

    def after_step(self, step: int, logs: dict[str, float]) -> None:
        """Act after a step; `logs` holds running means since the last logged step."""


class Progress(StepCallback):
    """A progress bar with loss, steps/s, images/s and the time left."""

    def __init__(self, first_step: int, total_steps: int, batch_size: int):
        """Show steps `first_step` to `total_steps` of `batch_size` images each."""
        super().__init__(first_step)
        self._bar = tqdm.tqdm(
            desc="train", unit="step", initial=first_step, total=total_steps, smoothing=0.05
        )
        self._batch_size = batch_size

    def after_step(self, step, logs):
        """Move the bar."""
        rate = self._bar.format_dict["rate"]
        images = f"{rate * self._batch_size:.0f}" if rate else "?"
        self._bar.set_postfix_str(f"loss {logs['loss']:.3f}, {images} img/s", refresh=False)
        self._bar.update(step - self._bar.n)

    def close(self) -> None:
        """End the bar's line, whatever ended the training."""
        self._bar.close()


class Scalars(StepCallback):
    """Losses one by one, learning rate, metrics and images/s for TensorBoard.

    A figure is the mean over the steps since the last logged one. A loss that is not finite ends
    the run: nothing that follows it could be trusted.
    """

    def __init__(self, first_step, *, every, writer, learning_rate: Callable, batch_size: int):
        """Log every so many steps; `learning_rate` maps a step to its rate."""
        super().__init__(first_step)
        self._every, self._writer = every, writer
        self._learning_rate, self._batch_size = learning_rate, batch_size
        self._seconds, self._steps, self._began = 0.0, 0, 0.0

    def on_train_batch_begin(self, batch, logs=None):
        """Start the clock: evaluation and checkpoints between steps do not count."""
        self._began = time.perf_counter()

    def after_step(self, step, logs):
        """Check the losses; log when due."""
        self._seconds += time.perf_counter() - self._began
        self._steps += 1
        self._check_finite(step, logs)
        if not is_due(step, self._every):
            return
        with self._writer.as_default(step=step):
            for name, value in logs.items():
                tf.summary.scalar(scalar_name(name), value)
            tf.summary.scalar("learning_rate", self._learning_rate(step - 1))
            rate = self._steps * self._batch_size / self._seconds
            tf.summary.scalar("images_per_second", rate)
        self._writer.flush()
        self.model.reset_metrics()
        self._seconds, self._steps = 0.0, 0

    @staticmethod
    def _check_finite(step: int, logs: dict[str, float]) -> None:
        bad = [name for name, value in logs.items() if not math.isfinite(value)]
        if bad:
            # The parts before their sum: the part is what went wrong.
            name = next((name for name in bad if name != "loss"), bad[0])
            raise UserError(
                f"step {step}: {scalar_name(name)} is {logs[name]}; training has stopped, no "
                "checkpoint was written after it. Lower --learning_rate, or use --precision=float32"
            )


def scalar_name(name: str) -> str:
    """Return TensorBoard's name of a Keras log: `loss/<term>`, or the metric's own name."""
    terms = {
        "loss": "total",
        f"{schema.EMBEDDING}_loss": "triplet",
        f"{schema.MASK}_loss": "mask",
        f"{schema.KEYPOINTS}_loss": "keypoints",
        f"{schema.LOGITS}_loss": "identity",
    }
    return f"loss/{terms[name]}" if name in terms else name.removeprefix(f"{schema.EMBEDDING}_")


class SaveCheckpoints(StepCallback):
    """Save every so many steps, after the last one, and when training is told to stop."""

    def __init__(self, first_step: int, *, every: int, total_steps: int, checkpoints: Checkpoints):
        """Save to `checkpoints` every so many steps."""
        super().__init__(first_step)
        self._every, self._total_steps = every, total_steps
        self._checkpoints = checkpoints
        self._saved = first_step

    def after_step(self, step, logs):
        """Save when due."""
        if is_due(step, self._every) or step == self._total_steps:
            self._save(step)

    def on_train_end(self, logs=None):
        """Save what a stopped run has trained since the last checkpoint."""
        if self.step > self._saved:
            self._save(self.step)

    def _save(self, step: int) -> None:
        self._checkpoints.save(step)
        self._saved = step


class Evaluate(StepCallback):
    """Rank the query records now and then; to TensorBoard and to `metrics.jsonl`."""

    def __init__(self, first_step, *, every, total_steps, writer, model_dir, figures: Callable):
        """Call `figures()`, a dict of numbers, every so many steps and after the last one."""
        super().__init__(first_step)
        self._every, self._total_steps = every, total_steps
        self._writer, self._figures = writer, figures
        self._path = pathlib.Path(model_dir, METRICS_FILE)

    def on_train_begin(self, logs=None):
        """Rank with the untrained network: what training is measured against."""
        if self.step == 0 and self._every:
            self._evaluate(0)

    def after_step(self, step, logs):
        """Rank when due."""
        if is_due(step, self._every) or step == self._total_steps:
            self._evaluate(step)

    def _evaluate(self, step: int) -> None:
        figures = self._figures()
        with self._writer.as_default(step=step):
            for name, value in figures.items():
                group = "attention" if name in ATTENTION_FIGURES else "retrieval"
                tf.summary.scalar(f"{group}/{name}", value)
        self._writer.flush()
        with open(self._path, "a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **figures}) + "\n")
        found = [name for name in ATTENTION_FIGURES if name in figures]
        attention = [f", {name} {figures[name]:.3f}" for name in found]
        tqdm.tqdm.write(
            f"step {step}: mAP {figures['mAP']:.2f} (rectangle), rank-1 {figures['rank1']:.2f}"
            + "".join(attention)
        )


class Pictures(StepCallback):
    """Draw some training images with true and predicted attention: for TensorBoard, and as PNG."""

    def __init__(self, first_step, *, every, total_steps, writer, model_dir, draw: Callable):
        """Write what `draw()` returns, a uint8 [H, W, 3] picture, now and then and at the end."""
        super().__init__(first_step)
        self._every, self._total_steps = every, total_steps
        self._writer, self._draw = writer, draw
        self._path = pathlib.Path(model_dir, PICTURE_FILE)

    def after_step(self, step, logs):
        """Draw when due."""
        if is_due(step, self._every) or (self._every and step == self._total_steps):
            picture = self._draw()
            with self._writer.as_default(step=step):
                tf.summary.image("attention", picture[np.newaxis])
            self._writer.flush()
            write_atomically(self._path, tf.io.encode_png(picture).numpy())


class StopOnSignal(StepCallback):
    """Finish the step, save and stop on Ctrl-C or SIGTERM; a second Ctrl-C stops at once."""

    SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self, first_step: int):
        """Remember no signal yet."""
        super().__init__(first_step)
        self.received: int | None = None
        self._previous: dict = {}

    def on_train_begin(self, logs=None):
        """Take the signals over."""
        for number in self.SIGNALS:
            self._previous[number] = signal.signal(number, self._receive)

    def after_step(self, step, logs):
        """End the training if a signal has come."""
        if self.received is not None:
            self.model.stop_training = True

    def give_back(self) -> None:
        """Restore the signals' former handlers, whatever ended the training."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _receive(self, number, frame):
        if self.received is not None:
            raise KeyboardInterrupt
        self.received = number
        tqdm.tqdm.write("stopping after this step; press Ctrl-C again to stop without saving")
