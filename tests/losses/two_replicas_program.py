"""Run the triplet loss on two logical CPUs and on one; print what differs, as JSON.

A program of its own, because a process can hold one MirroredStrategy only.
"""

from __future__ import annotations

import json

# isort: off
from daaf_tf.losses import ActiveTriplets, BatchHardTriplet, EmbeddingNorm, batch_hard

import numpy as np
import tensorflow as tf  # after daaf_tf, which chooses the Keras

NUM_PERSONS, IMAGES_PER_PERSON, DIMENSION = 4, 4, 6


def make_batches(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return [count, B, D] vectors and [count, B] ids, ordered by identity as batches are."""
    random = np.random.default_rng(1)
    person_ids = np.tile(np.repeat(np.arange(NUM_PERSONS), IMAGES_PER_PERSON), (count, 1))
    vectors = random.normal(size=(*person_ids.shape, DIMENSION)).astype(np.float32)
    return vectors, person_ids


def run_step(strategy: tf.distribute.Strategy, loss, vectors, person_ids):
    """Return losses and gradients of the global batch, each replica holding its half."""
    share = len(person_ids) // strategy.num_replicas_in_sync

    def make_value(values):
        def value(context):
            start = context.replica_id_in_sync_group * share
            return tf.constant(values[start : start + share])

        return strategy.experimental_distribute_values_from_function(value)

    def step(vectors, person_ids):
        with tf.GradientTape() as tape:
            tape.watch(vectors)
            losses = loss.call(person_ids, vectors)
        return losses, tape.gradient(losses, vectors)

    run = tf.function(lambda *values: strategy.run(step, args=values))
    outputs = run(make_value(vectors), make_value(person_ids))
    return [
        np.concatenate([part.numpy() for part in strategy.experimental_local_results(output)])
        for output in outputs
    ]


def fit(strategy: tf.distribute.Strategy, vectors, person_ids, local_mining: bool):
    """Train one dense layer; return its weights and the logged values."""
    with strategy.scope():
        inputs = tf.keras.Input([DIMENSION])
        layer = tf.keras.layers.Dense(
            3, use_bias=False, kernel_initializer=tf.keras.initializers.RandomNormal(seed=1)
        )
        model = tf.keras.Model(inputs, {"embedding": layer(inputs)})
        model.compile(
            tf.keras.optimizers.SGD(0.1),
            loss={"embedding": BatchHardTriplet(local_mining=local_mining)},
            metrics={
                "embedding": [ActiveTriplets(0.5, local_mining=local_mining), EmbeddingNorm()]
            },
        )
    batches = tf.data.Dataset.from_tensor_slices((vectors, {"embedding": person_ids}))
    logs = model.fit(batches, epochs=1, verbose=0, shuffle=False).history
    return layer.kernel.numpy(), {name: values[0] for name, values in logs.items()}


def main() -> None:
    """Print the largest differences between two replicas and one."""
    device = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(device, [tf.config.LogicalDeviceConfiguration()] * 2)
    two = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    one = tf.distribute.get_strategy()
    vectors, person_ids = make_batches(5)

    with tf.GradientTape() as tape:
        variable = tf.Variable(vectors[0])
        losses = batch_hard(variable, tf.constant(person_ids[0]))
    gradients = tape.gradient(losses, variable)
    gathered = run_step(two, BatchHardTriplet(), vectors[0], person_ids[0])
    local = run_step(two, BatchHardTriplet(local_mining=True), vectors[0], person_ids[0])
    with two.scope():
        in_scope = BatchHardTriplet().call(tf.constant(person_ids[0]), tf.constant(vectors[0]))

    one_weights, one_logs = fit(one, vectors, person_ids, local_mining=False)
    two_weights, two_logs = fit(two, vectors, person_ids, local_mining=False)
    local_weights, _ = fit(two, vectors, person_ids, local_mining=True)

    def largest(a, b):
        return float(np.max(np.abs(np.asarray(a) - np.asarray(b))))

    report = {
        "losses": largest(gathered[0], losses),
        "gradients": largest(gathered[1], gradients),
        "losses_in_scope": largest(in_scope, losses),
        "local_losses": largest(local[0], losses),
        "weights": largest(two_weights, one_weights),
        "local_weights": largest(local_weights, one_weights),
        "logs": {name: largest(two_logs[name], value) for name, value in one_logs.items()},
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
