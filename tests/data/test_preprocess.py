from __future__ import annotations

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from daaf_tf import schema
from daaf_tf.data.preprocess import (
    decode_image,
    normalize_image,
    preprocess_image,
    preprocess_pixels,
    resize_image,
)

SIZES = [(64, 32), (128, 64), (127, 65), (256, 128), (300, 60), (40, 200), (500, 300)]


def draw(height, width, seed=0):
    """Return soft colours with noise, so that every kind of pixel error would show."""
    random = np.random.RandomState(seed)
    image = Image.fromarray(random.randint(0, 256, (9, 5, 3), np.uint8)).resize((width, height))
    noise = random.randint(-30, 31, (height, width, 3))
    return Image.fromarray(np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8))


def encode(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def in_dataset(function, *values):
    """Return function(*values), computed inside a tf.data pipeline."""
    dataset = tf.data.Dataset.from_tensors(values).map(function)
    return next(iter(dataset))


@pytest.mark.parametrize("options", [{"quality": 95}, {"quality": 40}, {"progressive": True}])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_decodes_a_jpeg_as_pillow_does(options, mode):
    encoded = encode(draw(127, 65).convert(mode), "JPEG", **options)
    expected = np.asarray(Image.open(io.BytesIO(encoded)).convert("RGB"))
    for image in (decode_image(encoded), in_dataset(decode_image, encoded)):
        assert image.dtype == tf.uint8
        np.testing.assert_array_equal(image, expected)


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA"])
def test_decodes_a_png_to_three_channels(mode):
    picture = draw(20, 30).convert(mode)
    expected = np.asarray(picture.convert("RGB"))
    np.testing.assert_array_equal(decode_image(encode(picture, "PNG")), expected)


@pytest.mark.parametrize("content", [b"", b"no image", encode(draw(60, 40), "JPEG")[:900]])
def test_refuses_what_is_no_whole_image(content):
    with pytest.raises(tf.errors.InvalidArgumentError):
        decode_image(content)


@pytest.mark.parametrize("size", SIZES)
def test_resizes_as_pillow_does(size):
    picture = draw(*size)
    expected = np.asarray(picture.resize((128, 256), Image.Resampling.BILINEAR), np.float32)
    pixels = np.asarray(picture)
    for image in (
        resize_image(pixels, 256, 128),
        in_dataset(lambda image: resize_image(image, 256, 128), pixels),
    ):
        assert image.dtype == tf.float32
        assert image.shape == (256, 128, 3)
        assert np.abs(image - expected).max() <= 1


def test_normalises_each_channel():
    image = np.random.RandomState(0).uniform(0, 255, (2, 7, 5, 3)).astype(np.float32)
    expected = (image / 255 - schema.IMAGE_MEAN) / schema.IMAGE_STD
    np.testing.assert_allclose(normalize_image(image), expected, atol=1e-6)
    np.testing.assert_allclose(normalize_image(image[0]), expected[0], atol=1e-6)


@pytest.mark.parametrize("size", SIZES)
def test_a_file_and_its_pixels_give_the_same_input(size):
    encoded = encode(draw(*size), "JPEG")
    image = preprocess_image(encoded, 256, 128)
    pixels = np.asarray(decode_image(encoded))
    batch = preprocess_pixels(np.stack([pixels, pixels[:, ::-1]]), 256, 128)
    np.testing.assert_allclose(batch[0], image, atol=1e-5)
    np.testing.assert_allclose(batch[1], image[:, ::-1], atol=1e-4)
    inside = in_dataset(lambda file: preprocess_image(file, 256, 128), encoded)
    np.testing.assert_allclose(inside, image, atol=1e-5)


def test_shapes_are_known_in_a_graph():
    @tf.function(input_signature=[tf.TensorSpec([], tf.string)])
    def from_file(encoded):
        image = preprocess_image(encoded, 96, 48)
        assert image.shape == (96, 48, 3)
        return image

    @tf.function(input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8)])
    def from_pixels(images):
        batch = preprocess_pixels(images, 96, 48)
        assert batch.shape.as_list() == [None, 96, 48, 3]
        return batch

    picture = draw(100, 40)
    assert from_file(encode(picture, "PNG")).shape == (96, 48, 3)
    assert from_pixels(np.asarray(picture)[None]).shape == (1, 96, 48, 3)
    assert from_pixels(np.zeros((0, 100, 40, 3), np.uint8)).shape == (0, 96, 48, 3)


@pytest.mark.parametrize(
    "size", [(64, 32), (128, 64), (20, 90), (1, 1), (63, 33), (300, 20), (5, 400), (65, 31)]
)
def test_pixels_are_resized_as_files_are(size):
    pixels = np.random.default_rng(5).integers(0, 256, (2, *size, 3)).astype(np.uint8)
    received = preprocess_pixels(tf.constant(pixels), 64, 32)
    expected = normalize_image(resize_image(tf.constant(pixels), 64, 32))
    np.testing.assert_allclose(received, expected, atol=2e-5)
    if size == (64, 32):
        np.testing.assert_array_equal(received, expected)
