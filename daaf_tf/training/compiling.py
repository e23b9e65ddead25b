"""The network with what `fit` needs: losses, metrics, optimizer, and the form of its batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import tensorflow as tf

from daaf_tf import schema
from daaf_tf.config import Config
from daaf_tf.losses import (
    ActiveTriplets,
    CentreLoss,
    EmbeddingNorm,
    IdentityLoss,
    KeypointsLoss,
    MaskLoss,
    build_metric_loss,
)
from daaf_tf.model import backbone_model, build_daaf, start_copies
from daaf_tf.model.weight_files import WeightFile
from daaf_tf.model.weights import load_weights
from daaf_tf.training.optimizers import build_optimizer, make_slots


def compile_model(config: Config, weights: WeightFile | None = None) -> tf.keras.Model:
    """Build the model with its losses, metrics and optimizer, all variables made.

    Args:
      config: the run.
      weights: what the backbone starts from; None: random weights.

    Raises:
      UserError: weights that do not fit the backbone.
    """
    loss = config.loss
    model = build_daaf(config)
    if weights is not None:
        # Before the optimizer is built: what it keeps of the weights starts from these.
        print(f"pre-trained weights: {load_weights(backbone_model(model), weights)}")
        start_copies(model)
    triplet = {
        "margin": loss.parsed_margin(),
        "metric": loss.metric,
        "local_mining": loss.local_mining,
    }
    compared = schema.FEATURE if schema.FEATURE in model.output else schema.EMBEDDING
    losses = {
        compared: (build_metric_loss(loss), loss.triplet_weight),
        schema.CENTRE_DISTANCES: (CentreLoss(), loss.centre_weight),
        schema.MASK: (MaskLoss(kind=loss.mask_loss), loss.mask_weight),
        schema.KEYPOINTS: (
            KeypointsLoss(loss.keypoints_foreground, kind=loss.keypoints_loss),
            loss.keypoints_weight,
        ),
        schema.LOGITS: (IdentityLoss(loss.label_smoothing), loss.identity_weight),
    }
    losses = {name: pair for name, pair in losses.items() if name in model.output}
    model.compile(
        optimizer=build_optimizer(
            config.optimizer,
            centre_weight=loss.centre_weight,
            frozen=backbone_model(model).trainable_variables,
        ),
        loss={name: function for name, (function, _) in losses.items()},
        loss_weights={name: weight for name, (_, weight) in losses.items()},
        metrics={compared: [ActiveTriplets(**triplet), EmbeddingNorm()]},
    )
    # Each replica gives the metrics over all of them; with several workers Keras would add them up.
    model.distribute_reduction_method = "first"
    make_slots(model.optimizer, model.trainable_variables)
    return model


def make_to_keras(outputs: Iterable[str]) -> Callable:
    """Return the function that turns a batch into the images, targets and weights of `fit`.

    Args:
      outputs: the names of the model's outputs; Keras wants targets for these and no others.
    """
    targets = {
        schema.EMBEDDING: schema.LABEL,
        schema.FEATURE: schema.LABEL,
        schema.LOGITS: schema.LABEL,
        schema.CENTRE_DISTANCES: schema.LABEL,
        schema.MASK: schema.MASK,
        schema.KEYPOINTS: schema.KEYPOINTS,
    }
    presences = {
        schema.MASK: schema.MASK_PRESENCE,
        schema.KEYPOINTS: schema.KEYPOINTS_PRESENCE,
    }

    def to_keras(batch):
        return (
            batch[schema.IMAGE],
            {name: batch[targets[name]] for name in outputs},
            {name: batch[presences[name]] for name in outputs if name in presences},
        )

    return to_keras
