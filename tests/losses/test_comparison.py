"""Semi-hard and lifted loss: naive twins, and where theirs would be NaN."""

import importlib.util
import sys

import numpy as np
import pytest
import tensorflow as tf

from daaf_tf.errors import UserError
from daaf_tf.losses import (
    AddonsLoss,
    BatchHardTriplet,
    build_metric_loss,
    compute_addons_loss,
)
from daaf_tf.sections.loss import LossConfig

exists = pytest.mark.skipif(
    importlib.util.find_spec("tensorflow_addons") is None,
    reason="tensorflow-addons does not exist for this Python",
)
KINDS = ("semi_hard", "lifted")
IDS = np.array([3, 3, 3, 5, 5, 9, 9, 9])
VECTORS = np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)


def distance(a, b, metric):
    if metric == "cosine":
        return 1 - a @ b / (np.linalg.norm(a) * np.linalg.norm(b))
    squared = np.sum((a - b) ** 2)
    return squared if metric == "squared_euclidean" else np.sqrt(squared)


def positive_pairs():
    return [(i, j) for i in range(len(IDS)) for j in range(len(IDS)) if i != j and IDS[i] == IDS[j]]


def semi_hard_twin(margin, metric):
    losses = []
    for anchor, positive in positive_pairs():
        to_positive = distance(VECTORS[anchor], VECTORS[positive], metric)
        negatives = [
            distance(VECTORS[anchor], VECTORS[k], metric)
            for k in range(len(IDS))
            if IDS[k] != IDS[anchor]
        ]
        outside = [each for each in negatives if each > to_positive]
        chosen = min(outside) if outside else max(negatives)
        losses.append(max(margin + to_positive - chosen, 0))
    return np.mean(losses)


def lifted_twin(margin, metric):
    losses = []
    for i, j in positive_pairs():
        terms = [
            np.exp(margin - distance(VECTORS[anchor], VECTORS[k], metric))
            for anchor in (i, j)
            for k in range(len(IDS))
            if IDS[k] != IDS[i]
        ]
        inner = np.log(sum(terms)) + distance(VECTORS[i], VECTORS[j], metric)
        losses.append(max(inner, 0) ** 2 / 2)
    return np.mean(losses)


@exists
@pytest.mark.parametrize(
    ("kind", "metric", "twin"),
    [
        ("semi_hard", "euclidean", semi_hard_twin),
        ("semi_hard", "squared_euclidean", semi_hard_twin),
        ("semi_hard", "cosine", semi_hard_twin),
        ("lifted", "euclidean", lifted_twin),
    ],
)
def test_equals_the_published_formula(kind, metric, twin):
    found = compute_addons_loss(VECTORS, IDS, kind=kind, margin=0.7, metric=metric)
    assert float(found) == pytest.approx(twin(0.7, metric), rel=1e-4)


@exists
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "ids", [range(8), [4] * 8], ids=["no two images of a person", "one person"]
)
def test_a_batch_without_a_triplet_costs_nothing(kind, ids):
    vectors = tf.Variable(VECTORS)
    with tf.GradientTape() as tape:
        loss = compute_addons_loss(vectors, tf.constant(list(ids)), kind=kind, margin=1.0)
    assert float(loss) == 0
    np.testing.assert_array_equal(tape.gradient(loss, vectors), 0)


@exists
@pytest.mark.parametrize("kind", KINDS)
def test_duplicates_have_a_finite_gradient(kind):
    vectors = tf.Variable(np.repeat(VECTORS[:4], 2, axis=0))
    with tf.GradientTape() as tape:
        loss = compute_addons_loss(
            vectors, tf.constant([0, 0, 0, 0, 1, 1, 1, 1]), kind=kind, margin=1
        )
    assert np.isfinite(loss)
    assert np.isfinite(tape.gradient(loss, vectors)).all()


@exists
@pytest.mark.parametrize("kind", KINDS)
def test_each_anchor_gets_the_batchs_loss_also_in_bfloat16(kind):
    loss = AddonsLoss(kind, margin=1.0)
    values = loss.call(tf.constant(IDS[:, None]), tf.cast(VECTORS, tf.bfloat16))
    assert values.dtype == tf.float32
    rounded = tf.cast(tf.cast(VECTORS, tf.bfloat16), tf.float32)
    expected = float(compute_addons_loss(rounded, IDS, kind=kind, margin=1.0))
    np.testing.assert_allclose(values, [expected] * 8, rtol=1e-6)
    assert AddonsLoss.from_config(loss.get_config()).get_config() == loss.get_config()


def test_the_settings_choose():
    assert isinstance(build_metric_loss(LossConfig()), BatchHardTriplet)
    config = LossConfig(metric_loss="semi_hard", margin="0.5", metric="cosine", local_mining=True)
    chosen = build_metric_loss(config).get_config()
    assert chosen["kind"] == "semi_hard"
    assert (chosen["margin"], chosen["metric"]) == (0.5, "cosine")
    assert chosen["local_mining"] is True


@pytest.mark.parametrize("kind", KINDS)
def test_where_it_does_not_exist_the_way_out_is_named(monkeypatch, kind):
    # None in sys.modules makes the import fail, as on Python 3.12.
    monkeypatch.setitem(sys.modules, "tensorflow_addons", None)
    message = rf"--metric_loss={kind} needs tensorflow-addons.*use --metric_loss=batch_hard"
    with pytest.raises(UserError, match=message):
        compute_addons_loss(VECTORS, IDS, kind=kind, margin=1.0)
