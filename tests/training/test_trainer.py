"""Every kind of network trains a step on batches as the pipeline makes them."""

import numpy as np
import pytest
import tensorflow as tf

from daaf_tf import schema
from daaf_tf.config import Config
from daaf_tf.training.trainer import compile_model, make_to_keras


def make_config(hab, pab, identity_weight):
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
    config = make_config(hab=True, pab=True, identity_weight=2.0)
    _, history = fit(config, make_batch(config))
    loss = config.loss
    expected = (
        loss.triplet_weight * history["embedding_loss"][0]
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
