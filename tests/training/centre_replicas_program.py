"""Train features and their centres on two logical CPUs and on one; print what differs, as JSON.

A program of its own, because a process can hold one MirroredStrategy only.
"""

from __future__ import annotations

import json

# isort: off
from daaf_tf.losses import CentreLoss
from daaf_tf.model.centres import centre_distances
from daaf_tf.sections.optimizer import OptimizerConfig
from daaf_tf.training.optimizers import build_optimizer

import numpy as np
import tensorflow as tf  # after daaf_tf, which chooses the Keras

STEPS, IMAGES, SIZE, WEIGHT = 5, 8, 6, 5e-4
START = np.random.default_rng(2).normal(size=(4, 3)).astype(np.float32)  # centres of 4 identities


def fit(strategy: tf.distribute.Strategy, vectors, labels) -> dict[str, np.ndarray]:
    """Train one dense layer under the centre loss; return all weights by name."""
    with strategy.scope():
        inputs = tf.keras.Input([SIZE])
        kernel = tf.keras.initializers.RandomNormal(seed=1)
        feature = tf.keras.layers.Dense(3, name="dense", kernel_initializer=kernel)(inputs)
        model = tf.keras.Model(inputs, centre_distances(feature, num_identities=len(START)))
        model.get_layer("centre_distances").centres.assign(START)
        config = OptimizerConfig(learning_rate=0.1, schedule="constant", weight_decay=0.01)
        optimizer = build_optimizer(config, centre_weight=WEIGHT)
        model.compile(optimizer, loss=CentreLoss(), loss_weights=[WEIGHT])
    batches = tf.data.Dataset.from_tensor_slices((vectors, labels))
    model.fit(batches, epochs=1, verbose=0, shuffle=False)
    return {weight.name: weight.numpy() for weight in model.weights}


def main() -> None:
    """Print the largest difference between two replicas and one, and the largest movement."""
    device = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(device, [tf.config.LogicalDeviceConfiguration()] * 2)
    random = np.random.default_rng(1)
    vectors = random.normal(size=(STEPS, IMAGES, SIZE)).astype(np.float32)
    # The second replica has an identity that the first has not.
    labels = np.tile([0, 0, 1, 1, 1, 1, 3, 3], (STEPS, 1))
    two = fit(tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]), vectors, labels)
    one = fit(tf.distribute.get_strategy(), vectors, labels)
    name = next(name for name in one if "centres" in name)
    report = {
        "difference": {each: float(np.abs(two[each] - one[each]).max()) for each in one},
        "moved": np.abs(one[name] - START).max(axis=1).tolist(),
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
