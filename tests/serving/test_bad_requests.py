"""Whatever is sent to an exported model: an error for that request, and the next one is served."""

from __future__ import annotations

import io

import fuzz_requests
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tiny_export import make_jpegs

from daaf_tf.data.preprocess import decode_image
from daaf_tf.errors import UserError

FRAMES = [Image.new("RGB", (20, 40), (shade, 0, 0)) for shade in (0, 90, 200)]


def encode(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def pixels_of(encoded):
    return np.asarray(Image.open(io.BytesIO(encoded)).convert("RGB"))


@pytest.fixture
def served(attentive):
    """The embedder; after the test it must still serve."""
    jpeg = make_jpegs()[0]
    expected = attentive.embed(jpeg)
    yield attentive
    np.testing.assert_array_equal(attentive.embed(jpeg), expected)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "Input is empty"),
        (bytes(1000), "Unknown image file format"),
        (make_jpegs()[0][:-40], "Invalid JPEG data"),
        (encode(FRAMES[0], "PNG")[:50], "Invalid PNG data"),
        (encode(FRAMES[0], "GIF", save_all=True, append_images=FRAMES[1:]), "animated gif|frames"),
        (encode(FRAMES[0], "WEBP"), "Unknown image file format"),
    ],
    ids=["empty", "zeros", "truncated", "half png", "animated gif", "webp"],
)
def test_a_file_that_is_no_image(served, content, reason):
    with pytest.raises(UserError, match=f"image 0: expected a whole JPEG.*(?i:{reason})"):
        served.embed(content)
    with pytest.raises(tf.errors.InvalidArgumentError):
        served.signatures["attention_encoded"](encoded=tf.constant([content]))


def test_a_hundred_megabytes(served):
    with pytest.raises(UserError, match="image 0: expected a whole JPEG"):
        served.embed(b"\xff\xd8" + bytes(100 * 2**20))
    # Bytes behind the image's end are no harm, however many.
    jpeg = make_jpegs()[0]
    np.testing.assert_allclose(served.embed(jpeg + bytes(100 * 2**20)), served.embed(jpeg))


def test_a_bomb_is_refused_before_it_is_unpacked(served):
    head = bytearray(encode(FRAMES[0], "PNG"))
    head[16:24] = (100_000).to_bytes(4, "big") * 2
    with pytest.raises(UserError, match="image 0: expected a whole JPEG"):
        served.embed(bytes(head))


def test_cmyk_becomes_rgb(served):
    cmyk = encode(FRAMES[2].convert("CMYK"), "JPEG", quality=100)
    pixels = decode_image(cmyk).numpy()
    assert np.abs(pixels.astype(int) - (200, 0, 0)).max() < 8
    np.testing.assert_allclose(served.embed(cmyk), served.embed(pixels), atol=1e-5)


def test_the_first_frame_of_an_animated_png_counts(served):
    animated = encode(FRAMES[1], "PNG", save_all=True, append_images=FRAMES[2:])
    np.testing.assert_allclose(
        served.embed(animated), served.embed(pixels_of(encode(FRAMES[1], "PNG"))), atol=1e-5
    )


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "LA", "1", "I;16"])
def test_colours_of_every_kind(served, mode):
    image = FRAMES[2].convert("L" if mode == "I;16" else mode)
    received = served.embed(encode(image.convert(mode), "PNG"))
    assert np.isfinite(received).all()


def test_one_pixel(served):
    assert np.isfinite(served.embed(encode(Image.new("RGB", (1, 1)), "PNG"))).all()
    assert np.isfinite(served.embed(np.zeros((1, 1, 3), np.uint8))).all()


@pytest.mark.parametrize("name", ["serving_default", "attention"])
@pytest.mark.parametrize(
    "images",
    [
        np.zeros((2, 9, 9, 3), np.float32),
        np.zeros((2, 9, 9, 3), np.int64),
        np.zeros((9, 9, 3), np.uint8),
        np.zeros((2, 9, 9, 1), np.uint8),
        np.zeros((2, 9, 9, 4), np.uint8),
    ],
    ids=["float32", "int64", "no batch", "grey", "alpha"],
)
def test_pixels_of_a_wrong_kind(served, name, images):
    with pytest.raises((TypeError, ValueError, tf.errors.InvalidArgumentError)):
        served.signatures[name](images=tf.constant(images))


@pytest.mark.parametrize("size", [(0, 9), (9, 0), (0, 0)])
def test_images_without_pixels(served, size):
    with pytest.raises(tf.errors.InvalidArgumentError):
        served.signatures["serving_default"](images=tf.zeros((1, *size, 3), tf.uint8))


@pytest.mark.parametrize("shape", [[], [2, 2]])
def test_files_in_a_wrong_shape(served, shape):
    with pytest.raises((TypeError, ValueError, tf.errors.InvalidArgumentError)):
        served.signatures["encoded"](encoded=tf.fill(shape, make_jpegs()[0]))


def test_one_bad_file_of_a_batch_fails_the_batch_and_is_named(served):
    jpegs = make_jpegs()
    with pytest.raises(UserError, match="^image 2: expected a whole JPEG"):
        served.embed([*jpegs[:2], b"bad", *jpegs[2:]])


def test_mutated_files(served):
    result = fuzz_requests.fuzz(served, 150, seed=2)
    assert result.failures == []
    assert result.refused > 20
    assert result.taken > 20


def test_fuzzing_finds_a_model_that_fails(served):
    class Failing:
        def embed(self, data):
            if data == fuzz_requests.make_corpus()[0]:
                return np.zeros((1, 8), np.float32)
            raise ZeroDivisionError("crash")

    result = fuzz_requests.fuzz(Failing(), 3, seed=7)
    assert result.failures[0] == "7/0: ZeroDivisionError: crash"
