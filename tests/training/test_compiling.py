"""Every kind of network trains a step on batches as the pipeline makes them."""

import numpy as np
import pytest
import tensorflow as tf

from daaf_tf import schema
from daaf_tf.config import Config
from daaf_tf.losses import batch_hard
from daaf_tf.training.checkpoints import Checkpoints
from daaf_tf.training.compiling import compile_model, make_to_keras


def make_config(hab, pab, identity_weight, **values):
    return Config().replace(
        backbone="resnet18",
        backbone_width=4,
        head_units=8,
        embedding_size=4,
        decoder_channels=2,
        image_height=32,
        image_width=32,
        identities_per_batch=2,
        images_per_identity=2,
        hab=hab,
        pab=pab,
        identity_weight=identity_weight,
        num_identities=3,
        **values,
    )


def make_batch(config, presence=1.0):
    """Make a batch with everything that any of the networks wants."""
    rng = np.random.default_rng(0)
    size = (config.batch_size, *config.target_size)
    return {
        schema.IMAGE: rng.normal(size=(config.batch_size, 32, 32, 3)).astype(np.float32),
        schema.PERSON_ID: np.array([7, 7, 9, 9]),
        schema.LABEL: np.array([0, 0, 2, 2]),
        schema.CAMERA_ID: np.array([1, 2, 1, 2]),
        schema.MASK: rng.random((*size, 1)).astype(np.float32),
        schema.KEYPOINTS: rng.random((*size, 17)).astype(np.float32),
        schema.MASK_PRESENCE: np.full(config.batch_size, presence, np.float32),
        schema.KEYPOINTS_PRESENCE: np.full(config.batch_size, presence, np.float32),
    }


def fit(config, batch):
    model = compile_model(config)
    batches = tf.data.Dataset.from_tensors(batch).repeat().map(make_to_keras(model.output))
    return model, model.fit(batches, steps_per_epoch=1, verbose=0).history


@pytest.mark.parametrize(
    ("hab", "pab", "identity_weight"),
    [(False, False, 0.0), (True, True, 0.0), (True, False, 1.0), (False, True, 1.0)],
)
def test_branches_and_losses_train_in_any_combination(hab, pab, identity_weight):
    config = make_config(hab, pab, identity_weight)
    model, history = fit(config, make_batch(config))
    assert np.isfinite(history["loss"]).all()
    assert ("mask_loss" in history) == hab
    assert ("keypoints_loss" in history) == pab
    assert ("logits_loss" in history) == (identity_weight > 0)


def test_the_loss_is_the_weighted_sum_of_its_terms():
    config = make_config(hab=True, pab=True, identity_weight=2.0, centre_weight=0.01)
    _, history = fit(config, make_batch(config))
    loss = config.loss
    expected = (
        loss.triplet_weight * history["embedding_loss"][0]
        + loss.centre_weight * history["centre_distances_loss"][0]
        + loss.mask_weight * history["mask_loss"][0]
        + loss.keypoints_weight * history["keypoints_loss"][0]
        + loss.identity_weight * history["logits_loss"][0]
    )
    assert history["loss"][0] == pytest.approx(expected, rel=1e-5)


def test_absent_annotations_teach_the_branches_nothing():
    config = make_config(hab=True, pab=True, identity_weight=0.0)
    tf.keras.utils.set_random_seed(0)
    before = [layer.get_weights() for layer in compile_model(config).layers]
    tf.keras.utils.set_random_seed(0)
    model, history = fit(config, make_batch(config, presence=0.0))
    assert history["mask_loss"] == [0.0]
    assert history["keypoints_loss"] == [0.0]
    changed = [
        layer.name
        for layer, old in zip(model.layers, before)
        if any(
            np.any(new != was)
            for new, was, variable in zip(layer.get_weights(), old, layer.weights)
            if variable.trainable
        )
    ]
    assert changed
    assert not [name for name in changed if name.startswith(("hab", "pab", "mask", "keypoints"))]


def fit_from_known_start(config, batch):
    """Fit a step; also return the features that its losses see, and the model before it."""
    tf.keras.utils.set_random_seed(0)
    before = compile_model(config)
    features = before(batch[schema.IMAGE], training=True)[schema.FEATURE].numpy()
    tf.keras.utils.set_random_seed(0)
    return *fit(config, batch), features, before


def test_with_a_bnneck_triplets_are_mined_before_the_batch_norm():
    config = make_config(False, False, 1.0, head="bnneck", margin="0.3")
    batch = make_batch(config)
    _, history, features, _ = fit_from_known_start(config, batch)
    expected = batch_hard(features, tf.constant(batch[schema.LABEL]), margin=0.3)
    assert np.mean(expected) > 0
    np.testing.assert_allclose(history["feature_loss"], np.mean(expected), rtol=1e-4)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_centres_move_as_bag_of_tricks_moves_them(optimizer):
    """Follow their loop over the batch: SGD at 0.5 on the mean squared distance, unweighted."""
    config = make_config(
        False, False, 1.0, head="bnneck", centre_weight=5e-4, weight_decay=0.1, optimizer=optimizer
    )
    batch = make_batch(config)
    model, history, features, start = fit_from_known_start(config, batch)
    before = start.get_layer("centre_distances").centres.numpy()
    expected, loss = before.astype(np.float64), 0.0
    for feature, label in zip(features, batch[schema.LABEL]):
        loss += np.sum((feature - before[label]) ** 2) / len(features)
        expected[label] -= 0.5 * 2 * (before[label] - feature) / len(features)
    np.testing.assert_allclose(history["centre_distances_loss"], loss, rtol=1e-5)
    np.testing.assert_allclose(
        model.get_layer("centre_distances").centres, expected, rtol=1e-4, atol=1e-5
    )
    assert np.abs(expected[[0, 2]] - before[[0, 2]]).min() > 1e-3


def test_the_centre_loss_pulls_features_by_its_weight():
    config = make_config(False, False, 1.0, head="bnneck", triplet_weight=0, centre_weight=1e-3)
    model = compile_model(config)
    batch = make_batch(config)
    rows = tf.range(config.batch_size)
    own = tf.stack([rows, tf.constant(batch[schema.LABEL], tf.int32)], axis=1)
    with tf.GradientTape() as tape:
        outputs = model(batch[schema.IMAGE], training=True)
        loss = tf.reduce_mean(tf.gather_nd(outputs[schema.CENTRE_DISTANCES], own))
    gradient = tape.gradient(loss, outputs[schema.FEATURE])
    centres = model.get_layer("centre_distances").centres.numpy()[batch[schema.LABEL]]
    expected = 2 * (outputs[schema.FEATURE].numpy() - centres) / config.batch_size
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-6)


def test_a_checkpoint_holds_the_centres(tmp_path):
    config = make_config(False, False, 1.0, head="bnneck", centre_weight=5e-4)
    model, _ = fit(config, make_batch(config))
    Checkpoints(str(tmp_path), model=model, optimizer=model.optimizer).save(1)
    tf.keras.utils.set_random_seed(5)
    other = compile_model(config)
    centres = "centre_distances/centres:0"
    before = {weight.name: weight.numpy() for weight in other.weights}
    assert Checkpoints(str(tmp_path), model=other, optimizer=other.optimizer).restore() == (1, [])
    after = {weight.name: weight.numpy() for weight in other.weights}
    assert not np.array_equal(after[centres], before[centres])
    for weight in model.weights:
        np.testing.assert_array_equal(after[weight.name], weight)
