"""What the options change: normalisation, averaged views, maps, types; and what they must not."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from tiny_export import CONFIG, make_jpegs, preprocess

from daaf_tf.errors import UserError
from daaf_tf.model import build_daaf, embedding_model
from daaf_tf.model.precision import build_in_precision
from daaf_tf.serving import ExportOptions, load, write_saved_model
from daaf_tf.serving.servable import make_servable


@pytest.fixture(scope="module")
def jpegs():
    return make_jpegs()


def embed(model, config, jpegs, **options):
    servable = make_servable(model, config, ExportOptions(**options))
    return servable.functions["encoded"](tf.constant(jpegs))["embedding"].numpy()


def test_embeddings_are_of_length_1_where_they_are_normalised(plain, jpegs):
    raw, normalized = (embed(plain, CONFIG, jpegs, normalize=each) for each in (False, True))
    lengths = np.linalg.norm(raw, axis=1, keepdims=True)
    assert np.abs(lengths - 1).min() > 0.01
    np.testing.assert_allclose(normalized, raw / lengths, rtol=1e-5, atol=1e-6)


def test_an_embedding_of_zeros_stays_one(jpegs):
    image = tf.keras.Input((64, 32, 3))
    zeros = tf.keras.layers.GlobalAveragePooling2D()(image) * 0.0
    received = embed(tf.keras.Model(image, zeros), CONFIG, jpegs, normalize=True)
    np.testing.assert_array_equal(received, np.zeros((4, 3), np.float32))


def test_flip_averages_the_image_and_its_mirror_image(plain, jpegs):
    images = preprocess(jpegs)
    expected = (plain(images) + plain(images[:, :, ::-1])).numpy() / 2
    received = embed(plain, CONFIG.replace(tta="flip"), jpegs)
    np.testing.assert_allclose(received, expected, atol=1e-5)
    assert np.abs(received - plain(images)).max() > 1e-3
    normalized = embed(plain, CONFIG.replace(tta="flip"), jpegs, normalize=True)
    lengths = np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(normalized, expected / lengths, atol=1e-5)


def test_ten_crops_are_those_of_evaluation(plain, jpegs):
    config = CONFIG.replace(tta="crops")
    images = preprocess(jpegs, (72, 36))
    corners = [(4, 2), (0, 0), (0, 4), (8, 0), (8, 4)]
    views = [images[:, top : top + 64, left : left + 32] for top, left in corners]
    views += [view[:, :, ::-1] for view in views]
    expected = np.mean([plain(view).numpy() for view in views], axis=0)
    np.testing.assert_allclose(embed(plain, config, jpegs), expected, atol=1e-5)


def test_attention_gives_out_the_networks_maps(attentive, network, jpegs):
    expected = network(preprocess(jpegs), training=False)
    received = attentive.attend(jpegs)
    assert {name: values.shape for name, values in received.items()} == {
        "embedding": (4, 8),
        "mask": (4, 32, 16, 1),
        "keypoints": (4, 32, 16, 17),
    }
    for name, values in received.items():
        assert values.dtype == np.float32
        np.testing.assert_allclose(values, expected[name], atol=1e-5)
    pixels = [tf.io.decode_jpeg(each, dct_method="INTEGER_ACCURATE") for each in jpegs]
    for name, values in attentive.attend(pixels).items():
        np.testing.assert_allclose(values, received[name], atol=1e-5)
    np.testing.assert_allclose(attentive.embed(jpegs), received["embedding"], atol=1e-5)


def test_attention_of_no_image(attentive):
    received = attentive.attend([])
    assert received["mask"].shape == (0, 32, 16, 1)
    signature = attentive.signatures["attention_encoded"]
    assert signature(encoded=tf.zeros([0], tf.string))["keypoints"].shape == (0, 32, 16, 17)


def test_maps_are_of_the_image_itself_where_views_are_averaged(network, jpegs):
    servable = make_servable(network, CONFIG.replace(tta="flip"), ExportOptions(attention=True))
    received = servable.functions["attention_encoded"](tf.constant(jpegs))
    expected = network(preprocess(jpegs), training=False)
    np.testing.assert_allclose(received["mask"], expected["mask"], atol=1e-5)
    assert np.abs(received["embedding"] - expected["embedding"]).max() > 1e-3


def test_one_branch_gives_one_map(jpegs):
    config = CONFIG.replace(pab=False)
    servable = make_servable(build_daaf(config), config, ExportOptions(attention=True))
    received = servable.functions["attention_encoded"](tf.constant(jpegs))
    assert sorted(received) == ["embedding", "mask"]


def test_attention_without_branches_is_refused(tmp_path):
    config = CONFIG.replace(hab=False, pab=False, image_height=32)
    with pytest.raises(UserError, match="--attention: expected a network with attention branches"):
        write_saved_model(
            build_daaf(config), config, tmp_path, options=ExportOptions(attention=True)
        )


def test_attention_takes_the_whole_network(plain, tmp_path):
    with pytest.raises(ValueError, match="expected the whole network"):
        write_saved_model(plain, CONFIG, tmp_path, options=ExportOptions(attention=True))


def test_a_model_without_attention_says_how_to_get_it(plain, tmp_path):
    write_saved_model(plain, CONFIG, tmp_path)
    embedder = load(tmp_path)
    assert not embedder.has_attention
    with pytest.raises(UserError, match="no signature attention; export it with .*--attention"):
        embedder.attend([])


@pytest.mark.parametrize(("precision", "tolerance"), [("float16", 1e-2), ("bfloat16", 1e-1)])
def test_reduced_precision_halves_the_file_and_keeps_the_embedding(
    network, plain, jpegs, tmp_path, precision, tolerance
):
    reduced = embedding_model(build_in_precision(network, CONFIG, precision))
    write_saved_model(reduced, CONFIG, tmp_path, options=ExportOptions(precision=precision))
    half = load(tmp_path)
    received, expected = half.embed(jpegs), plain(preprocess(jpegs)).numpy()
    assert received.dtype == np.float32
    assert 1e-6 < np.linalg.norm(received - expected) / np.linalg.norm(expected) < tolerance
    assert half.facts["precision"] == precision
    reader = tf.train.load_checkpoint(str(half.path / "variables" / "variables"))
    weights = [name for name in reader.get_variable_to_shape_map() if "weights" in name]
    assert sum(reader.get_tensor(name).nbytes for name in weights) < 0.55 * 4 * plain.count_params()
    assert tf.keras.mixed_precision.global_policy().name == "float32"


def test_another_precision_than_the_model_has_is_refused(network, tmp_path):
    reduced = embedding_model(build_in_precision(network, CONFIG, "float16"))
    with pytest.raises(ValueError, match="built under the float32 policy, found .*float16"):
        write_saved_model(reduced, CONFIG, tmp_path)


def test_what_a_model_is_can_be_read(plain, tmp_path):
    config = CONFIG.replace(tta="flip")
    write_saved_model(plain, config, tmp_path, options=ExportOptions(normalize=True))
    embedder = load(tmp_path)
    assert embedder.normalized
    assert embedder.facts["tta"] == "flip"
    assert embedder.facts["signatures"]["encoded"] == {
        "input": {"encoded": "string [B]"},
        "outputs": {"embedding": "float32 [B, 8]"},
    }
    (embedder.path / "assets.extra" / "daaf_tf.json").unlink()
    assert not load(tmp_path).normalized
    (embedder.path / "assets.extra" / "daaf_tf.json").write_text("{")
    with pytest.raises(UserError, match=r"daaf_tf.json: unreadable .*export the model again"):
        load(tmp_path)


@pytest.mark.parametrize("count", [0, 1, 5])
def test_pixels_of_the_networks_own_size(plain, count):
    pixels = np.random.default_rng(4).integers(0, 256, (count, 64, 32, 3)).astype(np.uint8)
    servable = make_servable(plain, CONFIG)
    received = servable.functions["serving_default"](tf.constant(pixels))["embedding"].numpy()
    assert received.shape == (count, 8)
    if count:
        pngs = [tf.io.encode_png(image).numpy() for image in pixels]
        np.testing.assert_allclose(received, plain(preprocess(pngs)), atol=1e-5)
