"""The batch-hard loss: a slow twin, tensorflow-addons, degenerate batches, Keras."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from daaf_tf.errors import UserError
from daaf_tf.losses import ActiveTriplets, BatchHardTriplet, EmbeddingNorm, active_share, batch_hard
from daaf_tf.losses.distances import METRICS
from daaf_tf.losses.triplet import mine_batch_hard

MARGINS = ("soft", 0.0, 0.3, 1.2)


def slow_distance(a, b, metric):
    if metric == "cosine":
        return 1.0 - a @ b / (np.linalg.norm(a) * np.linalg.norm(b))
    squared = sum((x - y) ** 2 for x, y in zip(a, b))
    return squared if metric == "squared_euclidean" else math.sqrt(squared)


def slow_batch_hard(embeddings, person_ids, margin, metric):
    embeddings = embeddings.astype(np.float64)
    losses = []
    for i, (anchor, person) in enumerate(zip(embeddings, person_ids)):
        positives, negatives = [], []
        for j, (other, other_person) in enumerate(zip(embeddings, person_ids)):
            if j != i:
                found = positives if other_person == person else negatives
                found.append(slow_distance(anchor, other, metric))
        if not positives or not negatives:
            losses.append(0.0)
            continue
        violation = max(positives) - min(negatives)
        soft = max(violation, 0.0) + math.log1p(math.exp(-abs(violation)))
        losses.append(soft if margin == "soft" else max(0.0, margin + violation))
    return np.array(losses)


def loss_and_gradient(embeddings, person_ids, **settings):
    embeddings = tf.constant(embeddings, tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(embeddings)
        losses = batch_hard(embeddings, tf.constant(person_ids, tf.int64), **settings)
    return losses.numpy(), tape.gradient(losses, embeddings).numpy()


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("margin", MARGINS)
def test_equals_a_slow_twin(margin, metric):
    random = np.random.default_rng(5)
    compiled = tf.function(batch_hard, reduce_retracing=True)
    for case in range(40):
        size = int(random.integers(1, 14))
        embeddings = random.normal(size=(size, 6)) * 10.0 ** random.integers(-2, 1)
        embeddings = embeddings.astype(np.float32)
        if case % 4 == 0:
            embeddings[random.integers(size)] = embeddings[random.integers(size)]
        person_ids = random.integers(0, 4, size=size)
        expected = slow_batch_hard(embeddings, person_ids, margin, metric)
        losses = compiled(
            tf.constant(embeddings), tf.constant(person_ids), margin=margin, metric=metric
        )
        assert losses.shape == (size,)
        np.testing.assert_allclose(losses, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("margin", MARGINS)
def test_equals_tensorflow_addons_where_both_are_defined(margin, metric):
    addons = pytest.importorskip("tensorflow_addons")
    theirs = {"euclidean": "L2", "squared_euclidean": "squared-L2", "cosine": "angular"}[metric]
    soft = {"soft": True} if margin == "soft" else {"soft": False, "margin": margin}
    oracle = addons.losses.TripletHardLoss(distance_metric=theirs, **soft)
    random = np.random.default_rng(6)
    for _ in range(5):
        # Every person twice or more and two persons or more: both losses are defined.
        person_ids = tf.constant(random.permutation(np.repeat(np.arange(4), 3)))
        embeddings = tf.constant(random.normal(size=(12, 16)), tf.float32)
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(embeddings)
            expected = oracle(person_ids, embeddings)
            loss = tf.reduce_mean(batch_hard(embeddings, person_ids, margin=margin, metric=metric))
        np.testing.assert_allclose(loss, expected, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(
            tape.gradient(loss, embeddings),
            tape.gradient(expected, embeddings),
            atol=1e-5,
        )


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("margin", MARGINS)
@pytest.mark.parametrize(
    ("name", "person_ids"),
    [
        ("duplicates", [1, 1, 2, 2]),
        ("one identity", [7, 7, 7, 7]),
        ("no positive", [1, 2, 3, 4]),
        ("one image", [1]),
        ("zeros", [1, 1, 2, 2]),
    ],
)
def test_degenerate_batches_have_finite_loss_and_gradient(name, person_ids, margin, metric):
    embeddings = np.random.default_rng(7).normal(size=(len(person_ids), 8))
    if name == "duplicates":
        embeddings[:] = embeddings[0]
    if name == "zeros":
        embeddings[:] = 0.0
    losses, gradient = loss_and_gradient(embeddings, person_ids, margin=margin, metric=metric)
    assert np.all(np.isfinite(losses))
    assert np.all(np.isfinite(gradient))
    assert np.all(gradient == 0.0)
    if name in ("duplicates", "zeros"):
        value = math.log(2.0) if margin == "soft" else margin
        np.testing.assert_allclose(losses, value, rtol=1e-6)
    else:
        assert np.all(losses == 0.0)


def test_an_anchor_without_triplet_leaves_the_others_alone():
    embeddings = np.array([[0.0], [1.0], [1.5], [9.0]])
    losses, gradient = loss_and_gradient(embeddings, [1, 1, 2, 3], margin=1.0)
    # Anchor 0: 1 - 1.5 + 1; anchor 1: 1 - 0.5 + 1; persons 2 and 3 have one image each.
    np.testing.assert_allclose(losses, [0.5, 1.5, 0.0, 0.0], atol=1e-6)
    np.testing.assert_allclose(gradient[:, 0], [-1.0, 3.0, -2.0, 0.0], atol=1e-6)


def test_huge_distances_do_not_overflow_the_soft_margin():
    losses, gradient = loss_and_gradient([[0.0], [1e6], [1.0], [2e6]], [1, 1, 2, 2], margin="soft")
    assert np.all(np.isfinite(losses))
    assert np.all(np.isfinite(gradient))
    assert losses[0] == pytest.approx(1e6 - 1.0)


def test_a_diverged_embedding_shows():
    losses, _ = loss_and_gradient([[math.nan], [1.0], [2.0], [3.0]], [1, 1, 2, 2])
    assert math.isnan(losses[0])


def test_mined_pairs_share_and_do_not_share_the_person():
    random = np.random.default_rng(8)
    for _ in range(30):
        embeddings = tf.constant(random.normal(size=(16, 4)), tf.float32)
        person_ids = tf.constant(random.integers(0, 6, size=16))
        triplets = mine_batch_hard(
            embeddings, person_ids, embeddings, person_ids, metric="euclidean"
        )
        exists = triplets.exists.numpy()
        ids = person_ids.numpy()
        assert np.all(ids[triplets.positive.numpy()][exists] == ids[exists])
        assert np.all(triplets.positive.numpy()[exists] != np.arange(16)[exists])
        assert np.all(ids[triplets.negative.numpy()][exists] != ids[exists])
        assert np.array_equal(exists, np.bincount(ids, minlength=6)[ids] >= 2)


def test_the_order_of_the_batch_changes_nothing():
    random = np.random.default_rng(9)
    embeddings, person_ids = random.normal(size=(12, 5)), random.integers(0, 4, size=12)
    order = random.permutation(12)
    losses, gradient = loss_and_gradient(embeddings, person_ids)
    shuffled_losses, shuffled_gradient = loss_and_gradient(embeddings[order], person_ids[order])
    np.testing.assert_allclose(shuffled_losses, losses[order], rtol=1e-6)
    np.testing.assert_allclose(shuffled_gradient, gradient[order], atol=1e-6)


def test_candidates_are_mined_and_receive_gradient():
    random = np.random.default_rng(10)
    embeddings = tf.constant(random.normal(size=(12, 5)), tf.float32)
    person_ids = tf.constant(np.repeat(np.arange(3), 4)[random.permutation(12)])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(embeddings)
        whole = batch_hard(embeddings, person_ids)
        halves = [
            batch_hard(
                embeddings[part],
                person_ids[part],
                candidate_embeddings=embeddings,
                candidate_ids=person_ids,
            )
            for part in (slice(0, 6), slice(6, 12))
        ]
        joined = tf.concat(halves, axis=0)
    np.testing.assert_allclose(joined, whole, rtol=1e-6)
    np.testing.assert_allclose(
        tape.gradient(joined, embeddings),
        tape.gradient(whole, embeddings),
        atol=1e-6,
    )


def test_bfloat16_embeddings_are_computed_in_float32():
    embeddings = tf.constant(np.random.default_rng(11).normal(size=(8, 4)), tf.bfloat16)
    person_ids = tf.constant([1, 1, 2, 2, 3, 3, 4, 4])
    losses = BatchHardTriplet().call(person_ids, embeddings)
    assert losses.dtype == tf.float32
    np.testing.assert_array_equal(losses, batch_hard(tf.cast(embeddings, tf.float32), person_ids))


def test_bad_settings_are_named():
    embeddings, person_ids = tf.ones([2, 2]), tf.constant([1, 2])
    with pytest.raises(UserError, match="margin 'hard': expected 'soft' or a number"):
        batch_hard(embeddings, person_ids, margin="hard")
    with pytest.raises(UserError, match="metric 'L2'"):
        batch_hard(embeddings, person_ids, metric="L2")
    with pytest.raises(UserError, match="expected both or neither"):
        batch_hard(embeddings, person_ids, candidate_ids=person_ids)


def test_active_share_counts_the_violated_margins():
    assert active_share(tf.constant([0.0, 1e-6, 1e-4, 2.0]), margin=0.3).numpy() == 0.5
    # Softplus of -1, 0 + a bit, 1: a positive farther than the negative is above ln 2.
    losses = tf.math.softplus(tf.constant([-1.0, 0.01, 1.0, -3.0]))
    assert active_share(losses, margin="soft").numpy() == 0.5


def test_the_class_returns_one_value_per_anchor_and_keras_takes_the_mean():
    random = np.random.default_rng(12)
    embeddings = tf.constant(random.normal(size=(8, 4)), tf.float32)
    person_ids = tf.constant(np.repeat(np.arange(4), 2))
    expected = batch_hard(embeddings, person_ids, margin=0.3, metric="cosine")
    for local_mining in (False, True):
        loss = BatchHardTriplet(0.3, "cosine", local_mining=local_mining)
        column = person_ids[:, None]  # as Keras hands it over
        np.testing.assert_allclose(loss.call(column, embeddings), expected, rtol=1e-6)
        np.testing.assert_allclose(
            loss(person_ids, embeddings), tf.reduce_mean(expected), rtol=1e-6
        )


def test_classes_keep_their_settings_through_a_config():
    for made in (BatchHardTriplet(0.3, "cosine", True), ActiveTriplets(0.3, "cosine", True)):
        config = type(made).from_config(made.get_config()).get_config()
        assert config == made.get_config()
        assert (config["margin"], config["metric"], config["local_mining"]) == (0.3, "cosine", True)


def test_metrics_average_over_batches():
    random = np.random.default_rng(13)
    person_ids = tf.constant([1, 1, 2, 2])
    active, norm = ActiveTriplets(margin=0.5), EmbeddingNorm()
    shares, norms = [], []
    for _ in range(3):
        embeddings = tf.constant(random.normal(size=(4, 3)), tf.float32)
        active.update_state(person_ids, embeddings)
        norm.update_state(person_ids, embeddings)
        shares.append(np.mean(batch_hard(embeddings, person_ids, margin=0.5).numpy() > 1e-5))
        norms.append(np.linalg.norm(embeddings, axis=1))
    assert active.result().numpy() == pytest.approx(np.mean(shares))
    assert norm.result().numpy() == pytest.approx(np.mean(norms), rel=1e-6)
