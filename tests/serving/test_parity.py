"""The comparison of a written model with the trained network: what it lets pass and what not."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from daaf_tf.errors import UserError
from daaf_tf.retrieval import Features, rank_features
from daaf_tf.serving.card import make_model_card
from daaf_tf.serving.parity import (
    Embedded,
    compare,
    compute_relative_distances,
    normalize_features,
)


def make_features(count, seed):
    """Return images of 5 persons in 2 cameras, one person's near each other."""
    generator = np.random.default_rng(seed)
    ids = np.arange(count) % 5
    centres = np.random.default_rng(0).normal(size=(5, 6))
    return Features(
        (centres[ids] + 0.8 * generator.normal(size=(count, 6))).astype(np.float32),
        ids + 1,
        np.full(count, seed),
        np.array([f"{seed}-{number}.jpg" for number in range(count)]),
    )


@pytest.fixture
def trained():
    return {"query": make_features(10, 1), "gallery": make_features(40, 2)}


def written_as(trained, change=lambda features: features):
    features = {split: change(each.features) for split, each in trained.items()}
    return Embedded(features, features["query"][:3], {"encoded": 2}, num_records=60)


def compare_plainly(trained, written, **options):
    options = {"metric": "euclidean", "normalize": False, "precision": "float32", **options}
    return compare(trained, written, **options)


def test_the_same_embeddings_pass_and_the_figures_say_so(trained):
    figures = compare_plainly(trained, written_as(trained))
    assert figures["largest_difference"] == 0
    mean_ap = rank_features(trained["query"], trained["gallery"], metric="euclidean").mean_ap
    assert figures["mAP_trained"] == figures["mAP_written"] == round(100 * mean_ap, 4)
    assert 20 < figures["mAP_trained"] < 99
    assert (figures["queries"], figures["gallery"], figures["images_as_pixels"]) == (10, 40, 3)


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-4), ("bfloat16", 0.1)])
def test_an_embedding_that_moves_too_far_is_refused(trained, precision, tolerance):
    def lengthen(by):
        # Cosine ranking does not see lengths: it is the embeddings that fail.
        return written_as(trained, lambda features: features * np.float32(1 + by))

    options = {"metric": "cosine", "precision": precision}
    figures = compare_plainly(trained, lengthen(0.9 * tolerance), **options)
    assert figures["largest_difference"] == pytest.approx(0.9 * tolerance, rel=0.01)
    with pytest.raises(UserError, match=f"embeddings differ .*allowed are {tolerance:g} in"):
        compare_plainly(trained, lengthen(1.1 * tolerance), **options)


def test_a_ranking_that_moves_is_refused_though_every_embedding_is_near(trained):
    def swap(features):
        noise = np.random.default_rng(3).normal(size=features.shape)
        length = np.linalg.norm(features, axis=1, keepdims=True)
        step = 0.09 * length * noise / np.linalg.norm(noise, axis=1, keepdims=True)
        return (features + step).astype(np.float32)

    with pytest.raises(UserError, match=r"mAP is .* allowed are 0.05 points; .*precision=float32"):
        compare_plainly(trained, written_as(trained, swap), precision="bfloat16")


def test_pixels_that_give_something_else_are_refused(trained):
    written = written_as(trained)
    pixels = written.pixels.copy()
    pixels[2] += 0.1
    with pytest.raises(UserError, match="embeddings differ"):
        compare_plainly(trained, dataclasses.replace(written, pixels=pixels))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_no_number_is_refused(trained, bad):
    def spoil(features):
        spoilt = features.copy()
        spoilt[1, 2] = bad
        return spoilt

    with pytest.raises(UserError):
        compare_plainly(trained, written_as(trained, spoil))


def test_normalised_embeddings_are_compared_with_normalised_ones(trained):
    def normalize(features):
        return features / np.linalg.norm(features, axis=1, keepdims=True)

    written = written_as(trained, normalize)
    figures = compare_plainly(trained, written, normalize=True)
    assert figures["largest_difference"] < 1e-6
    with pytest.raises(UserError, match="embeddings differ"):
        compare_plainly(trained, written)


def test_distances_are_relative_to_the_expected_length():
    expected = np.array([[3, 4], [0, 0], [0, 0]], np.float32)
    received = np.array([[3, 4.5], [0, 0], [0, 2]], np.float32)
    found = compute_relative_distances(expected, received)
    np.testing.assert_allclose(found, [0.1, 0, 2])


def test_an_embedding_of_zeros_is_not_scaled():
    features = make_features(2, 1)
    features.features[1] = 0
    scaled = normalize_features(features).features
    np.testing.assert_allclose(np.linalg.norm(scaled, axis=1), [1, 0], rtol=1e-6)


def test_the_card_shows_what_was_found(trained, attentive):
    figures = compare_plainly(trained, written_as(trained))
    facts = {
        **attentive.facts,
        "metrics": {"mAP": 51.234, "rank1": 60, "mask_iou": 0.71},
        "metrics_tta": "flip",
        "data": "a line on the data",
        "license": "free for all",
        "parity": figures,
    }
    card = make_model_card(facts)
    for text in (
        f"{figures['mAP_trained']:.4f} %",
        "10 queries and 40 gallery images (a sample of the records)",
        "| mAP, rectangle (fast-reid, torchreid, BoT) | 51.23 % |",
        "| rank-1 | 60.00 % |",
        "| mask IoU of held-out people, 0..1 | 0.710 |",
        "test-time augmentation flip",
        "a line on the data",
        "free for all",
        "| `attention` | `images` uint8 [B, any, any, 3] |",
        "`keypoints` float32 [B, 32, 16, 17]",
        "resized to 64x32",
    ):
        assert text in card


def test_the_card_says_that_nothing_was_checked(attentive):
    card = (attentive.path / "assets.extra" / "model_card.md").read_text(encoding="utf-8")
    assert card == make_model_card(attentive.facts)
    assert "the written model was not compared" in card
    assert "No evaluation of this step was logged" in card
