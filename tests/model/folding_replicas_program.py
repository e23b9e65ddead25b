"""Train a folded prediction on two logical CPUs and on one; print what differs, as JSON.

A program of its own, because a process can hold one MirroredStrategy only.
"""

from __future__ import annotations

import json

# isort: off
from daaf_tf.model.folding import FoldedPrediction

import numpy as np
import tensorflow as tf  # after daaf_tf, which chooses the Keras


def train(strategy: tf.distribute.Strategy, synchronized: bool) -> list[np.ndarray]:
    """Train two steps on the same global batches; return all weights."""
    random = np.random.default_rng(1)
    images = random.normal(0.3, 1, (8, 5, 4, 6)).clip(0).astype(np.float32)
    targets = random.normal(size=(8, 10, 8, 2)).astype(np.float32)
    with strategy.scope():
        tf.keras.utils.set_random_seed(1)
        inputs = tf.keras.Input(images.shape[1:])
        layer = FoldedPrediction(
            2,
            channels=8,
            kernel_size=3,
            kernel_initializer="glorot_uniform",
            bias_initializer="zeros",
            synchronized=synchronized,
        )
        model = tf.keras.Model(inputs, layer(inputs))
        model.compile(tf.keras.optimizers.SGD(0.1), "mse")
    batches = tf.data.Dataset.from_tensor_slices((images, targets)).batch(4)
    model.fit(batches, verbose=0)
    return model.get_weights()


def main() -> None:
    """Print the largest differences between two replicas and one."""
    device = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(device, [tf.config.LogicalDeviceConfiguration()] * 2)
    one = train(tf.distribute.get_strategy(), synchronized=True)
    two = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    report = {
        name: max(
            float(np.abs(left - right).max()) for left, right in zip(train(two, synchronized), one)
        )
        for name, synchronized in (("synchronized", True), ("local", False))
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
