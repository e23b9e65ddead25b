"""Train with averages, clipping and each loss on two logical CPUs and on one; print differences.

A program of its own, because a process can hold one MirroredStrategy only.
"""

from __future__ import annotations

import json
import sys

# isort: off
from daaf_tf.losses import build_metric_loss
from daaf_tf.sections.loss import LossConfig
from daaf_tf.sections.optimizer import OptimizerConfig
from daaf_tf.training.averages import averaged_weights
from daaf_tf.training.optimizers import build_optimizer, make_slots

import numpy as np
import tensorflow as tf  # after daaf_tf, which chooses the Keras

STEPS, PERSONS, IMAGES, DIMENSION = 2, 4, 4, 6
PLAIN = {"optimizer": "sgd", "schedule": "constant", "learning_rate": 0.1}


def make_batches():
    """Return the batches of a run, ordered by identity as the pipeline's are."""
    random = np.random.default_rng(1)
    person_ids = np.repeat(np.arange(PERSONS), IMAGES)
    vectors = random.normal(size=(STEPS, len(person_ids), DIMENSION)).astype(np.float32)
    return tf.data.Dataset.from_tensor_slices(
        (vectors.reshape(-1, DIMENSION), np.tile(person_ids, STEPS))
    ).batch(len(person_ids))


def fit(strategy, optimizer, loss):
    """Train one dense layer; return its weights and their averages, flat."""
    with strategy.scope():
        inputs = tf.keras.Input([DIMENSION])
        layer = tf.keras.layers.Dense(
            3, use_bias=False, kernel_initializer=tf.keras.initializers.RandomNormal(seed=1)
        )
        model = tf.keras.Model(inputs, layer(inputs))
        model.compile(build_optimizer(OptimizerConfig(**optimizer)), build_metric_loss(loss))
        make_slots(model.optimizer, model.trainable_variables)
    model.fit(make_batches(), epochs=1, verbose=0, shuffle=False)
    weights = layer.kernel.numpy()
    with averaged_weights(model):
        return weights, layer.kernel.numpy()


def main() -> None:
    """Print the largest differences between two replicas and one."""
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    two = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    one = tf.distribute.get_strategy()
    batch_hard = LossConfig()
    runs = {
        "averages": ({**PLAIN, "ema_momentum": 0.5}, batch_hard),
        "clipped": ({**PLAIN, "clip_norm": 0.05}, batch_hard),
    }
    if "addons" in sys.argv:
        for name, kind in (("lamb", "semi_hard"), ("radam_lookahead", "lifted")):
            optimizer = {**PLAIN, "optimizer": name, "clip_norm": 0.05}
            runs[name] = (optimizer, LossConfig(metric_loss=kind, margin="1"))
    _, plain = fit(one, PLAIN, batch_hard)
    report = {}
    for name, (optimizer, loss) in runs.items():
        (weights, averages), (both, both_averages) = (
            fit(strategy, optimizer, loss) for strategy in (one, two)
        )
        report[name] = {
            "weights": float(np.abs(weights - both).max()),
            "averages": float(np.abs(averages - both_averages).max()),
            "effect": float(np.abs(averages - plain).max()),
        }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
