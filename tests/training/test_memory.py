"""Memory that does not suffice: one line that says what to lower; other shortages pass."""

import numpy as np
import pytest
import tensorflow as tf

from daaf_tf.config import Config
from daaf_tf.errors import UserError
from daaf_tf.training.memory import out_of_memory, training_advice


def test_a_step_that_wants_too_much_names_the_settings():
    class Greedy(tf.keras.layers.Layer):
        def call(self, inputs):
            # 4 EB, which no machine has.
            size = tf.cast(tf.shape(inputs)[0], tf.int64) * 10**9
            return inputs + tf.reduce_mean(tf.zeros([size, 10**9]))

    model = tf.keras.Sequential([tf.keras.Input([1]), Greedy(), tf.keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    config = Config().replace(identities_per_batch=24, image_height=384)
    message = (
        r"out of memory \(.*OOM when allocating.*Lower --identities_per_batch=24, "
        r"--images_per_identity=4, --image_height=384 .*--precision=mixed_bfloat16"
    )
    with pytest.raises(UserError, match=message) as raised, out_of_memory(training_advice(config)):
        model.fit(np.ones([1, 1]), np.ones([1, 1]), verbose=0)
    assert len(str(raised.value).splitlines()) == 1


def test_pythons_own_error_is_one_too():
    message = r"out of memory \(Unable to allocate.*Lower it"
    with pytest.raises(UserError, match=message), out_of_memory("Lower it"):
        np.zeros([10**9, 10**9])


def test_reduced_precision_is_not_advised_twice():
    assert "--precision" not in training_advice(Config().replace(precision="mixed_bfloat16"))


@pytest.mark.parametrize("text", ["No space left on device", "Too many open files"])
def test_other_shortages_pass(text):
    error = tf.errors.ResourceExhaustedError(None, None, f"run/events; {text}")
    with pytest.raises(tf.errors.ResourceExhaustedError), out_of_memory("Lower it"):
        raise error
