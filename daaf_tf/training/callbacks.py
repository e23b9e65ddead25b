"""What happens around the steps: progress, logs, checkpoints, evaluation, pictures, stopping.

Each is a Keras callback that asks after each step whether it is due. Steps are counted over the
whole run, resumed parts included: step n has seen n batches.
"""

from __future__ import annotations

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
from daaf_tf.training.checkpoints import PICTURE_FILE, Checkpoints
from daaf_tf.training.finite import check_finite_state
from daaf_tf.training.metrics_file import append_figures, has_figures
from daaf_tf.training.workers import Workers


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

    def __init__(self, first_step: int, total_steps: int, batch_size: int, *, shown: bool = True):
        """Show steps `first_step` to `total_steps` of `batch_size` images each."""
        super().__init__(first_step)
        self._bar = tqdm.tqdm(
            desc="train",
            unit="step",
            initial=first_step,
            total=total_steps,
            smoothing=0.05,
            disable=not shown,
        )
        self._batch_size = batch_size

    def after_step(self, step, logs):
        """Move the bar."""
        if self._bar.disable:
            return
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
            # The parts before their sum, and losses before metrics: what went wrong comes first.
            name = next((name for name in bad if name.endswith("_loss")), bad[0])
            raise UserError(
                f"step {step}: {scalar_name(name)} is {logs[name]}; training has stopped, no "
                "checkpoint was written after it. Lower --learning_rate, lengthen --warmup_steps, "
                "set --clip_norm (e.g. 1), or use --precision=float32"
            )


def scalar_name(name: str) -> str:
    """Return TensorBoard's name of a Keras log: `loss/<term>`, or the metric's own name."""
    terms = {
        "loss": "total",
        f"{schema.EMBEDDING}_loss": "triplet",
        f"{schema.FEATURE}_loss": "triplet",
        f"{schema.MASK}_loss": "mask",
        f"{schema.KEYPOINTS}_loss": "keypoints",
        f"{schema.LOGITS}_loss": "identity",
        f"{schema.CENTRE_DISTANCES}_loss": "centre",
    }
    if name in terms:
        return f"loss/{terms[name]}"
    if name == "embedding_norm":  # Keras sets no output's name before it if there is only one
        return name
    return name.removeprefix(f"{schema.EMBEDDING}_").removeprefix(f"{schema.FEATURE}_")


class SaveCheckpoints(StepCallback):
    """Save every so many steps or minutes, after the last step, and when told to stop."""

    def __init__(
        self,
        first_step: int,
        *,
        every: int,
        total_steps: int,
        checkpoints: Checkpoints,
        workers: Workers | None = None,
        minutes: float = 0.0,
    ):
        """Save to `checkpoints` every so many steps, and every so many minutes (0: never).

        Where there are several workers, the first clock that strikes counts for all of them.
        """
        super().__init__(first_step)
        self._every, self._total_steps = every, total_steps
        self._checkpoints, self._workers = checkpoints, workers
        self._seconds = 60 * minutes
        self._saved, self._saved_at = first_step, time.monotonic()

    def after_step(self, step, logs):
        """Save when due."""
        if self._strikes() or is_due(step, self._every) or step == self._total_steps:
            self._save(step)

    def on_train_end(self, logs=None):
        """Save what a stopped run has trained since the last checkpoint."""
        if self.step > self._saved:
            self._save(self.step)

    def _strikes(self) -> bool:
        if not self._seconds:
            return False
        mine = time.monotonic() - self._saved_at >= self._seconds
        return self._workers.any(mine) if self._workers else mine

    def _save(self, step: int) -> None:
        check_finite_state(self.model, step)
        self._checkpoints.save(step)
        self._saved, self._saved_at = step, time.monotonic()


class Evaluate(StepCallback):
    """Rank the query records now and then; to TensorBoard and to `metrics.jsonl`."""

    def __init__(self, first_step, *, every, total_steps, writer, model_dir, figures: Callable):
        """Call `figures()`, a dict of numbers, every so many steps and after the last one."""
        super().__init__(first_step)
        self._every, self._total_steps = every, total_steps
        self._writer, self._figures = writer, figures
        self._model_dir = model_dir

    def on_train_begin(self, logs=None):
        """Rank with the untrained network, or where a run was killed after the checkpoint."""
        self.catch_up()

    def after_step(self, step, logs):
        """Rank when due."""
        if self._is_due(step):
            self._evaluate(step)

    def catch_up(self) -> None:
        """Rank if it was due at the step where the run stands, and was not done."""
        if self._is_due(self.step) and not has_figures(self._model_dir, self.step):
            self._evaluate(self.step)

    def _is_due(self, step: int) -> bool:
        return is_due(step, self._every) or step == self._total_steps

    def _evaluate(self, step: int) -> None:
        figures = self._figures()
        with self._writer.as_default(step=step):
            for name, value in figures.items():
                group = "attention" if name in ATTENTION_FIGURES else "retrieval"
                tf.summary.scalar(f"{group}/{name}", value)
        self._writer.flush()
        append_figures(self._model_dir, step, figures)
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
    """Finish the step, save and stop on Ctrl-C or SIGTERM; a second Ctrl-C stops at once.

    Where there are several workers, a signal to one of them stops all at the same step.
    """

    SIGNALS = (signal.SIGINT, signal.SIGTERM)

    def __init__(self, first_step: int, workers: Workers | None = None):
        """Remember no signal yet."""
        super().__init__(first_step)
        self._workers = workers
        self.stopped = False
        self.received: int | None = None
        self._previous: dict = {}

    def on_train_begin(self, logs=None):
        """Take the signals over."""
        for number in self.SIGNALS:
            self._previous[number] = signal.signal(number, self._receive)

    def after_step(self, step, logs):
        """End the training if a signal has come."""
        received = self.received is not None
        if self._workers.any(received) if self._workers else received:
            self.stopped = self.model.stop_training = True

    def give_back(self) -> None:
        """Restore the signals' former handlers, whatever ended the training."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _receive(self, number, frame):
        if self.received is not None:
            raise KeyboardInterrupt
        self.received = number
        tqdm.tqdm.write("stopping after this step; press Ctrl-C again to stop without saving")
