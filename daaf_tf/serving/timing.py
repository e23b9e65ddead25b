"""Time an exported model against the bare forward pass of the backbone inside it."""

from __future__ import annotations

import dataclasses
import tempfile
import time
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from daaf_tf import schema
from daaf_tf.config import Config
from daaf_tf.model import backbone_model, build_daaf, embedding_model
from daaf_tf.serving.embedder import PIXELS_INPUT, PIXELS_SIGNATURE, load
from daaf_tf.serving.export import write_saved_model


@dataclasses.dataclass(frozen=True)
class Seconds:
    """Seconds a call of one batch, of each round; rounds of the three stand beside each other.

    Attributes:
      bare: the compiled backbone on images that are normalised already.
      daaf: the SavedModel of the same weights, from uint8 pixels of the network's size.
      baseline: a SavedModel of the network without branches.
    """

    bare: list[float]
    daaf: list[float]
    baseline: list[float]


def time_embedding(
    config: Config, batch_sizes: Sequence[int], *, rounds: int, calls: int = 1
) -> dict[int, Seconds]:
    """Time the three in turns, in this process.

    Args:
      config: the network; its branches are trained ones, random weights do.
      batch_sizes: images in a call.
      rounds: how often each is timed; one more round is not counted.
      calls: calls in a timing at batch 64; smaller batches are called so many times more often.

    Returns:
      {batch size: seconds}.
    """
    network = build_daaf(config)
    functions = {
        "bare": _make_bare(network),
        "daaf": _load(network, config),
        "baseline": _load(build_daaf(config.replace(hab=False, pab=False)), config),
    }
    size = (config.data.image_height, config.data.image_width, 3)
    random = np.random.default_rng(config.data.seed)
    times = {}
    for batch in batch_sizes:
        pixels = random.integers(0, 256, (batch, *size)).astype(np.uint8)
        normalized = tf.constant(random.normal(size=pixels.shape).astype(np.float32))
        inputs = {**dict.fromkeys(functions, tf.constant(pixels)), "bare": normalized}
        count = calls * max(1, 64 // batch)
        rows = [_time_round(functions, inputs, count, turn) for turn in range(rounds + 1)][1:]
        times[batch] = Seconds(**{name: [row[name] for row in rows] for name in functions})
    return times


def _time_round(
    functions: dict[str, Callable], inputs: dict[str, tf.Tensor], count: int, turn: int
) -> dict[str, float]:
    # Call by call, so that whatever else the machine does meets all alike; and each is the first
    # in a third of the rounds.
    names = list(functions)
    names = names[turn % len(names) :] + names[: turn % len(names)]
    seconds = dict.fromkeys(names, 0.0)
    for _ in range(count):
        for name in names:
            start = time.perf_counter()
            # A GPU has computed when it is asked for a number.
            float(tf.reduce_sum(functions[name](inputs[name])[:1]))
            seconds[name] += (time.perf_counter() - start) / count
    return seconds


def _make_bare(network: tf.keras.Model) -> Callable:
    backbone = backbone_model(network)
    spec = tf.TensorSpec([None, *network.input_shape[1:]], tf.float32)
    return tf.function(lambda images: backbone(images, training=False), input_signature=[spec])


def _load(network: tf.keras.Model, config: Config) -> Callable:
    with tempfile.TemporaryDirectory(prefix="daaf_tf_benchmark_") as folder:
        write_saved_model(embedding_model(network), config, folder)
        embedder = load(folder)
    signature = embedder.signatures[PIXELS_SIGNATURE]

    def embed(pixels):
        # The loaded model lives as long as this function.
        return embedder and signature(**{PIXELS_INPUT: pixels})[schema.EMBEDDING]

    return embed
