from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from daaf_tf.data.photometric import make_photometric
from daaf_tf.sections.data import COLOR_JITTER, NO_PHOTOMETRIC, RANDAUGMENT

KINDS = (COLOR_JITTER, RANDAUGMENT)
AUTO_CONTRAST, EQUALIZE, SOLARIZE, DEGENERATE, CONTRAST, BRIGHTNESS, NOTHING = range(7)


@pytest.fixture(scope="module", params=KINDS)
def photometric(request):
    return make_photometric(request.param)


@pytest.fixture(scope="module")
def rand_augment():
    return make_photometric(RANDAUGMENT)


def make_image(seed=0, low=0, high=256):
    coarse = np.random.RandomState(seed).randint(low, high, (8, 4, 3))
    return np.kron(coarse, np.ones((4, 4, 1))).astype(np.uint8)


def operate(rand_augment, operation, image, first=0.5, second=0.5, amount=0.0):
    """Do one operation on an image, and nothing twice."""
    values = [operation, first, second, amount] + 2 * [NOTHING, 0.5, 0.5, 0.5]
    return rand_augment.apply(tf.constant(image), tf.constant(values, tf.float32)).numpy()


def test_none_returns_the_image_itself():
    none = make_photometric(NO_PHOTOMETRIC)
    image = tf.constant(make_image())
    assert none.apply(image, tf.constant(none.draw(1, 0, 5)[0])) is image


def test_what_is_drawn_is_a_function_of_seed_and_step(photometric):
    drawn = photometric.draw(1, 7, 64)
    assert drawn.shape == (64, photometric.num_values)
    assert drawn.dtype == np.float32
    photometric.draw(1, 8, 64)
    np.testing.assert_array_equal(photometric.draw(1, 7, 64), drawn)
    assert not np.array_equal(photometric.draw(2, 7, 64), drawn)
    assert not np.array_equal(photometric.draw(1, 8, 64), drawn)
    assert len(np.unique(drawn, axis=0)) == 64


def test_colours_change_and_stay_in_range(photometric):
    changed = 0
    for number, values in enumerate(photometric.draw(1, 0, 60)):
        image = make_image(number)
        result = photometric.apply(tf.constant(image), tf.constant(values)).numpy()
        assert result.shape == image.shape
        assert result.dtype == np.float32
        assert np.isfinite(result).all()
        assert result.min() >= 0
        assert result.max() <= 255
        changed += np.abs(result - image).max() > 1
    assert changed >= 57  # an image escapes RandAugment once in 1,331 times


def test_images_of_one_colour_stay_finite(photometric):
    for value in (0, 128, 255):
        image = tf.fill([8, 4, 3], tf.constant(value, tf.uint8))
        for values in photometric.draw(3, 0, 40):
            result = photometric.apply(image, tf.constant(values)).numpy()
            assert np.isfinite(result).all()
            assert result.min() >= 0
            assert result.max() <= 255


def test_tf_data_does_what_is_done_eagerly_whatever_went_before(photometric):
    images = np.stack([make_image(number) for number in range(30)])
    values = photometric.draw(5, 0, 30)
    expected = [photometric.apply(*map(tf.constant, pair)).numpy() for pair in zip(images, values)]
    for order in (np.arange(30), np.random.RandomState(0).permutation(30)):
        dataset = tf.data.Dataset.from_tensor_slices((images[order], values[order]))
        dataset = dataset.map(photometric.apply, num_parallel_calls=4)
        assert dataset.element_spec == tf.TensorSpec([32, 16, 3], tf.float32)
        for index, result in zip(order, dataset):
            np.testing.assert_allclose(result, expected[index], atol=1e-3)


def test_images_of_unknown_size(photometric):
    values = photometric.draw(1, 0, 1)[0]
    apply = tf.function(photometric.apply, input_signature=[
        tf.TensorSpec([None, None, 3], tf.uint8), tf.TensorSpec([len(values)], tf.float32)
    ])  # fmt: skip
    for height in (5, 9):
        assert apply(tf.zeros([height, 3, 3], tf.uint8), values).shape == (height, 3, 3)


def test_jitter_of_nothing_changes_nothing():
    image = make_image()
    values = tf.constant([0, 1, 0.5, 0], tf.float32)
    result = make_photometric(COLOR_JITTER).apply(tf.constant(image), values)
    np.testing.assert_allclose(result, image, atol=1e-3)


def test_each_number_of_the_jitter_does_its_own():
    jitter = make_photometric(COLOR_JITTER)
    image = make_image(low=100, high=150)

    def apply(*values):
        return jitter.apply(tf.constant(image), tf.constant(values, tf.float32)).numpy()

    np.testing.assert_allclose(apply(20, 1, 0.5, 0), image + 20.0, atol=1e-3)
    mean = image.mean(axis=(0, 1))
    np.testing.assert_allclose(apply(0, 1.1, 0.5, 0), mean + 1.1 * (image - mean), atol=1e-3)
    grey = apply(0, 1, 0, 0)
    np.testing.assert_allclose(grey, np.repeat(image.max(-1, keepdims=True), 3, -1), atol=1e-3)
    # A third of the circle turns red into green, green into blue, blue into red.
    np.testing.assert_allclose(apply(0, 1, 0.5, 1 / 3), np.roll(image, 1, -1), atol=1e-2)


def test_jitter_is_drawn_from_the_whole_range():
    drawn = make_photometric(COLOR_JITTER).draw(1, 0, 4000)
    edges = [(-38.25, 38.25), (0.85, 1.15), (0.9 / 1.9, 1.1 / 2.1), (-0.1, 0.1)]
    for column, (low, high) in zip(drawn.T, edges):
        assert column.min() >= np.float32(low)
        assert column.max() <= np.float32(high)
        parts = np.histogram(column, 8, (low, high))[0]
        assert ((parts - 500) ** 2 / 500).sum() < 24.4  # 7 degrees of freedom: once in 1,000 times


def test_rand_augment_draws_keras_cvs_distribution(rand_augment):
    operations, *magnitudes, amounts = rand_augment.draw(1, 0, 4000).reshape(-1, 4).T
    counts = np.bincount(operations.astype(int), minlength=7)
    expected = 12000 * np.array([10 / 66] * 6 + [1 / 11])
    assert ((counts - expected) ** 2 / expected).sum() < 22.5  # 6 degrees: once in 1,000 times
    for magnitude in magnitudes:
        assert magnitude.min() >= 0
        assert magnitude.max() <= 1
        assert abs(magnitude.mean() - 0.5) < 0.006
        assert abs(magnitude.std() - 0.15) < 0.006
    assert amounts.min() >= -0.5
    assert amounts.max() <= 0.5
    assert abs(amounts.std() - 1 / 12**0.5) < 0.006


def test_operations_of_rand_augment(rand_augment):
    image = make_image(low=50, high=200)
    mean, low, high = (f(image, axis=(0, 1)) for f in (np.mean, np.min, np.max))
    grey = (image @ [0.2989, 0.587, 0.114])[..., None]
    added = np.minimum(image + 0.3 * 110, 255)
    expected = {
        AUTO_CONTRAST: (image - 1.0 * low) / (high - 1.0 * low) * 255,
        SOLARIZE: np.where(added < 255 * 0.4, added, 255 - added),
        DEGENERATE: image + 0.3 * (grey - image),
        CONTRAST: mean + 1.2 * (image - mean),
        BRIGHTNESS: np.minimum(image + 0.2 * 255, 255),
        NOTHING: image,
    }
    for operation, pixels in expected.items():
        result = operate(rand_augment, operation, image, 0.3, 0.6, 0.2)
        np.testing.assert_allclose(result, np.clip(pixels, 0, 255), atol=1e-2)


def test_equalizing_spreads_the_levels_in_order(rand_augment):
    ramp = np.repeat(np.arange(64, 128, dtype=np.uint8)[:, None], 16, axis=1)
    image = np.repeat(ramp[..., None], 3, axis=-1)
    result = operate(rand_augment, EQUALIZE, image)
    levels = result[:, 0, 0]
    assert (np.diff(levels) >= 0).all()
    assert levels[0] == 0
    assert levels[-1] > 245


ALONE = """
import daaf_tf
import sys
import tensorflow as tf
from daaf_tf.config import Config
from daaf_tf.data import photometric
tf.config.experimental.enable_op_determinism()
tf.random.set_seed(1)
tf.keras.mixed_precision.set_global_policy("mixed_bfloat16")
photometric.make_photometric("none")
print("keras_cv" in sys.modules)
image = tf.cast(tf.reshape(tf.range(8 * 4 * 3), [8, 4, 3]), tf.uint8)
for name in ("color_jitter", "randaugment"):
    made = photometric.make_photometric(name)
    values = made.draw(1, 0, 20)
    images = tf.data.Dataset.from_tensors(image).repeat(20)
    pairs = tf.data.Dataset.zip((images, tf.data.Dataset.from_tensor_slices(values)))
    print(sum(bool(tf.reduce_max(result) <= 255) for result in pairs.map(made.apply)))
"""


def test_lazy_quiet_and_fit_for_deterministic_and_mixed_precision_runs():
    command = [sys.executable, "-c", ALONE]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["False", "20", "20"]
    assert "Using TensorFlow backend" not in done.stderr
    assert "Warning" not in done.stderr
