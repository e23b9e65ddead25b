"""What the workers of a run tell each other, besides gradients."""

from __future__ import annotations

import concurrent.futures
import contextlib
import re
import zlib
from collections.abc import Callable, Iterator

import numpy as np
import tensorflow as tf

from daaf_tf.config import Config, flat
from daaf_tf.errors import UserError, brief
from daaf_tf.training.cluster import VARIABLE, read_cluster

# Settings that may differ between hosts: where each finds its records.
_OWN = frozenset(("data_dir",))

# What TensorFlow raises in a collective whose other side is gone.
_LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
)
# Where it says why, among traces.
_CAUSE = re.compile(r"Collective ops is aborted by: (.*)")


class Workers:
    """This process among the workers of a run; mostly it is the only one.

    Every worker must make the same calls in the same order: each waits for all others.
    """

    def __init__(self, strategy: tf.distribute.Strategy):
        """Know the workers of a strategy that `make_strategy` has returned."""
        cluster = read_cluster() if strategy.cluster_resolver else None
        self.count = len(cluster.addresses) if cluster else 1
        self.index = cluster.index if cluster else 0
        self._strategy = strategy
        self._sum = tf.function(self._sum_over_replicas)

    @property
    def is_chief(self) -> bool:
        """Whether this is the worker that writes, evaluates and talks."""
        return self.index == 0

    def describe(self) -> str:
        """Return which worker this is, for a line of text; nothing where it is the only one."""
        return f" of {self.count} workers, here worker {self.index}" if self.count > 1 else ""

    def alone(self, function: Callable) -> Callable:
        """Return a function that does the same outside of the strategy, for the chief's own work.

        A variable that is made in the scope of a strategy (each Keras model makes some, to count)
        is a message to all workers, and the others are elsewhere. The scope is that of a thread.
        """
        if self.count == 1:
            return function

        def call():
            with concurrent.futures.ThreadPoolExecutor(1) as thread:
                return thread.submit(function).result()

        return call

    def gather(self, *values: int) -> np.ndarray:
        """Return the whole numbers that each worker gives, [workers, values] int64."""
        table = np.zeros((self.count, len(values)), np.int64)
        table[self.index] = values
        if self.count == 1:
            return table
        replicas_here = self._strategy.num_replicas_in_sync // self.count
        return self._sum(tf.constant(table)).numpy() // replicas_here

    def any(self, value: bool) -> bool:
        """Return whether at least one worker says yes."""
        return bool(self.gather(value).any())

    def wait(self) -> None:
        """Wait until all workers are here."""
        self.gather(0)

    def check_same_run(self, config: Config, step: int) -> None:
        """Raise a UserError unless all workers have the same settings and stand at the same step.

        Args:
          config: this worker's settings; data_dir may be its own.
          step: the step of the checkpoint that this worker has found.
        """
        settings = {name: value for name, value in flat(config).items() if name not in _OWN}
        table = self.gather(
            step, *(zlib.crc32(repr(value).encode()) for value in settings.values())
        )
        steps, hashes = table[:, 0], table[:, 1:]
        differing = [
            f"--{name}" for name, column in zip(settings, hashes.T) if len(set(column)) > 1
        ]
        if differing:
            raise UserError(
                f"the workers of {VARIABLE} were started with different {', '.join(differing)}; "
                "give all of them the same flags"
            )
        if len(set(steps)) > 1:
            found = ", ".join(f"worker {i}: step {s}" for i, s in enumerate(steps))
            raise UserError(
                f"the workers of {VARIABLE} find different checkpoints ({found}); --model_dir must "
                "be one folder that all of them see"
            )

    @contextlib.contextmanager
    def named_when_lost(self, model_dir: str) -> Iterator[None]:
        """Turn TensorFlow's errors about a lost worker into a UserError."""
        try:
            yield
        except _LOST as error:
            if self.count == 1:
                raise
            found = _CAUSE.search(error.message or "")
            cause = found[1] if found else brief(error)
            raise UserError(
                f"worker {self.index} has lost another worker of {VARIABLE} ({cause}). The "
                f"newest checkpoint in {model_dir} is whole: see what ended the other one, and run "
                "the same command again on every host"
            ) from error

    def _sum_over_replicas(self, values: tf.Tensor) -> tf.Tensor:
        each = self._strategy.run(tf.identity, args=(values,))
        return self._strategy.reduce(tf.distribute.ReduceOp.SUM, each, axis=None)
