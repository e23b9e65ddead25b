"""The loader: every way to hand over an image, every way to get it wrong."""

from __future__ import annotations

import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from daaf_tf.config import Config
from daaf_tf.errors import UserError
from daaf_tf.model import build_daaf, embedding_model
from daaf_tf.serving import load, write_saved_model

CONFIG = Config().replace(
    image_height=64,
    image_width=32,
    backbone="resnet18",
    backbone_width=8,
    head_units=16,
    embedding_size=8,
    hab=False,
    pab=False,
)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A folder of versions with version 1 in it."""
    tf.keras.utils.set_random_seed(1)
    folder = tmp_path_factory.mktemp("exported")
    write_saved_model(embedding_model(build_daaf(CONFIG)), CONFIG, folder)
    return folder


@pytest.fixture(scope="module")
def embedder(exported):
    return load(exported)


@pytest.fixture(scope="module")
def pixels():
    generator = np.random.default_rng(2)
    sizes = ((64, 32), (50, 20), (64, 32), (1, 1), (50, 20))
    return [generator.integers(0, 256, (*size, 3)).astype(np.uint8) for size in sizes]


@pytest.fixture(scope="module")
def files(pixels, tmp_path_factory):
    """The same images as PNG files, so that the same pixels come out."""
    folder = tmp_path_factory.mktemp("images")
    paths = [folder / f"{number}.png" for number in range(len(pixels))]
    for path, image in zip(paths, pixels):
        path.write_bytes(tf.io.encode_png(image).numpy())
    return paths


@pytest.fixture(scope="module")
def expected(embedder, pixels):
    signature = embedder._model.signatures["serving_default"]
    return np.concatenate([signature(images=image[None])["embedding"] for image in pixels])


def assert_same(received, expected):
    assert received.dtype == np.float32
    assert received.shape == expected.shape
    np.testing.assert_allclose(received, expected, atol=1e-5)


def test_images_differ(expected):
    distances = np.abs(expected[:, None] - expected[None]).max(axis=-1)
    assert distances[~np.eye(len(expected), dtype=bool)].min() > 1e-3


@pytest.mark.parametrize("batch_size", [1, 2, 3, 64])
def test_pixels_of_different_sizes_keep_their_order(embedder, pixels, expected, batch_size):
    assert_same(embedder.embed(pixels, batch_size=batch_size), expected)


@pytest.mark.parametrize("batch_size", [1, 2, 64])
def test_paths(embedder, files, expected, batch_size):
    assert_same(embedder.embed(files, batch_size=batch_size), expected)


def test_paths_as_strings_and_iterators(embedder, files, expected):
    assert_same(embedder.embed(map(str, files)), expected)
    assert_same(embedder.embed(np.array(list(map(str, files)))), expected)


def test_kinds_may_be_mixed(embedder, files, pixels, expected):
    images = [files[0], pixels[1], str(files[2]), files[3].read_bytes(), tf.constant(pixels[4])]
    assert_same(embedder.embed(images), expected)


def test_one_image_alone(embedder, files, pixels, expected):
    ways = [files[1], str(files[1]), files[1].read_bytes(), pixels[1], tf.constant(pixels[1])]
    for image in ways:
        assert_same(embedder.embed(image), expected[1:2])


def test_one_array_of_many_images(embedder, pixels, expected):
    assert_same(embedder.embed(np.stack([pixels[0], pixels[2]])), expected[[0, 2]])


def test_a_pillow_image(embedder, files, expected):
    image_module = pytest.importorskip("PIL.Image")
    with image_module.open(files[0]) as image:
        assert_same(embedder.embed(image), expected[:1])
        assert_same(embedder.embed([image, image]), expected[[0, 0]])


@pytest.mark.parametrize("none", [[], iter(()), np.zeros((0, 5, 5, 3), np.uint8)])
def test_no_image_gives_no_embedding(embedder, none):
    assert_same(embedder.embed(none), np.zeros((0, embedder.embedding_size), np.float32))


def test_bytes_after_the_end_of_a_file_do_no_harm(embedder, files, expected):
    assert_same(embedder.embed(files[0].read_bytes() + b"\0" * 100), expected[:1])


def test_an_iterator_is_read_batch_by_batch(embedder, pixels):
    taken = []

    def images():
        for number in range(100):
            taken.append(number)
            yield pixels[0]
        raise AssertionError("read to its end")

    def stop_at_the_first_call(pair, contents):
        raise InterruptedError

    reader = type(embedder)(embedder.path, embedder._model, {})
    reader._call = stop_at_the_first_call
    with pytest.raises(InterruptedError):
        reader.embed(images(), batch_size=10)
    assert taken == list(range(10))


def jpeg(**options):
    image = np.random.default_rng(3).integers(0, 256, (40, 20, 3)).astype(np.uint8)
    return tf.io.encode_jpeg(image, **options).numpy()


# What is wrong, in TensorFlow's words.
NO_IMAGE = "Unknown image file format"
BAD_FILES = {
    "empty.jpg": (b"", "Input is empty"),
    "text.jpg": (b"no image at all", NO_IMAGE),
    "truncated.jpg": (jpeg()[:-20], "Invalid JPEG data"),
    "half.jpg": (jpeg()[:300], "Invalid JPEG data"),
    "head.jpg": (jpeg()[:3], "Invalid JPEG data"),
    "truncated.png": (
        tf.io.encode_png(np.zeros((40, 20, 3), np.uint8)).numpy()[:60],
        "Invalid PNG data",
    ),
    "image.bmp": (b"BM" + bytes(100), "decode BMP format"),
    "image.tiff": (b"II*\0" + bytes(100), NO_IMAGE),
}


@pytest.mark.parametrize("name", sorted(BAD_FILES))
def test_a_bad_file_is_named_and_the_next_call_works(embedder, files, expected, tmp_path, name):
    content, reason = BAD_FILES[name]
    bad = tmp_path / name
    bad.write_bytes(content)
    with pytest.raises(UserError, match=f"{name}: expected a whole JPEG.* says: .*{reason}") as e:
        embedder.embed([*files, bad, files[0]])
    assert "\n" not in str(e.value)
    assert "node" not in str(e.value)
    assert_same(embedder.embed(files), expected)


def test_bad_bytes_are_named_by_their_place(embedder, files):
    images = [path.read_bytes() for path in files]
    with pytest.raises(UserError, match="^image 3: expected a whole JPEG"):
        embedder.embed([*images[:3], b"bad", *images[3:]], batch_size=2)


def test_a_path_that_is_no_file(embedder, files, tmp_path):
    with pytest.raises(UserError, match=r"missing.jpg: expected an image file.*No such file"):
        embedder.embed([files[0], tmp_path / "missing.jpg"])
    with pytest.raises(UserError, match="expected an image file.*directory"):
        embedder.embed(tmp_path)
    with pytest.raises(UserError, match="expected an image file.*null"):
        embedder.embed("a\0b.jpg")


@pytest.mark.parametrize(
    ("pixels", "received"),
    [
        (np.zeros((9, 9, 3), np.float32), r"float32 \[9, 9, 3\]"),
        (np.zeros((9, 9), np.uint8), r"uint8 \[9, 9\]"),
        (np.zeros((9, 9, 4), np.uint8), r"uint8 \[9, 9, 4\]"),
        (np.zeros((0, 9, 3), np.uint8), r"uint8 \[0, 9, 3\]"),
        (np.zeros((2, 9, 9, 1), np.uint8), r"uint8 \[9, 9, 1\]"),
    ],
)
def test_pixels_that_are_none(embedder, pixels, received):
    message = rf"image 0: expected uint8 RGB pixels \[H, W, 3\], received {received}"
    with pytest.raises(UserError, match=message):
        embedder.embed(pixels)


def test_what_is_no_image(embedder, files):
    with pytest.raises(UserError, match="expected images or paths, received int"):
        embedder.embed(7)
    with pytest.raises(UserError, match="image 1: expected a path, bytes or pixels, received None"):
        embedder.embed([files[0], None])


@pytest.mark.parametrize("batch_size", [0, -1, 2.5, True])
def test_batch_size(embedder, files, batch_size):
    with pytest.raises(UserError, match="batch_size=.*expected a whole number of 1 or more"):
        embedder.embed(files, batch_size=batch_size)


def test_the_highest_version_is_taken(exported, tmp_path):
    for version in ("1", "9", "10"):
        shutil.copytree(exported / "1", tmp_path / version)
    (tmp_path / "11").mkdir()
    (tmp_path / "latest").mkdir()
    assert load(tmp_path).path == tmp_path / "10"
    assert load(tmp_path / "9").path == tmp_path / "9"
    assert load(str(tmp_path)).embedding_size == 8


def test_a_path_without_a_model(tmp_path):
    with pytest.raises(UserError, match="nowhere: expected the folder of .*found nothing"):
        load(tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="file: expected the folder of .*found a file"):
        load(tmp_path / "file")
    with pytest.raises(UserError, match="daaf_tf.export"):
        load(tmp_path)


def test_a_model_of_somebody_else(tmp_path):
    tf.saved_model.save(tf.Module(), str(tmp_path / "bare"))
    with pytest.raises(UserError, match=r"signature serving_default\(images\).*found.*: none"):
        load(tmp_path / "bare")

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def double(x):
        return {"embedding": 2 * x}

    module = tf.Module()
    module.double = double
    tf.saved_model.save(module, str(tmp_path / "other"), signatures=double)
    with pytest.raises(UserError, match=r"expected the signature.*found.*: serving_default"):
        load(tmp_path / "other")


def remove_variables(version):
    shutil.rmtree(version / "variables")


def cut_variables(version):
    path = version / "variables" / "variables.data-00000-of-00001"
    path.write_bytes(path.read_bytes()[:1000])


def change_variables(version):
    path = version / "variables" / "variables.data-00000-of-00001"
    data = bytearray(path.read_bytes())
    data[500] ^= 255
    path.write_bytes(data)


def cut_graph(version):
    path = version / "saved_model.pb"
    path.write_bytes(path.read_bytes()[:1000])


def empty_graph(version):
    (version / "saved_model.pb").write_bytes(b"")


@pytest.mark.parametrize(
    "damage", [remove_variables, cut_variables, change_variables, cut_graph, empty_graph]
)
def test_a_damaged_model(exported, tmp_path, damage):
    version = pathlib.Path(shutil.copytree(exported / "1", tmp_path / "1"))
    damage(version)
    with pytest.raises(UserError, match=r"1: the SavedModel is damaged \(.+\); export it again"):
        load(tmp_path)


def test_loading_needs_tensorflow_and_numpy_alone():
    code = """
import sys
import daaf_tf.serving
mine = {name for name in sys.modules if name.startswith("daaf_tf")}
assert not mine & {"daaf_tf.data", "daaf_tf.model", "daaf_tf.training"}, mine
foreign = {"google_crc32c", "tqdm", "matplotlib", "keras_cv", "scipy"} & set(sys.modules)
assert not foreign, foreign
"""
    subprocess.run([sys.executable, "-c", code], check=True)
