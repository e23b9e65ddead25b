"""The centre loss against a loop over the batch."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from daaf_tf.losses import CentreLoss, centre_loss


def random_batch():
    random = np.random.default_rng(0)
    return random.integers(0, 5, size=7), random.uniform(size=(7, 5)).astype(np.float32)


def test_each_sample_has_the_distance_to_its_own_centre():
    labels, distances = random_batch()
    expected = [row[label] for label, row in zip(labels, distances)]
    np.testing.assert_array_equal(centre_loss(tf.constant(labels), distances), expected)


def test_other_centres_get_no_gradient():
    labels, distances = random_batch()
    with tf.GradientTape() as tape:
        variable = tf.Variable(distances)
        loss = tf.reduce_sum(centre_loss(tf.constant(labels), variable))
    np.testing.assert_array_equal(
        tf.convert_to_tensor(tape.gradient(loss, variable)), np.eye(5)[labels]
    )


def test_the_class_takes_columns_of_labels_and_small_float_types():
    labels, distances = random_batch()
    small = tf.constant(distances, tf.bfloat16)
    expected = centre_loss(tf.constant(labels), tf.cast(small, tf.float32))
    loss = CentreLoss()
    np.testing.assert_array_equal(loss.call(tf.constant(labels)[:, None], small), expected)
    np.testing.assert_allclose(loss(labels, small), np.mean(expected), rtol=1e-6)
    assert CentreLoss.from_config(loss.get_config()).name == "centre_loss"
