"""Losses: pure functions that return one value per anchor or sample, and thin Keras classes."""

from __future__ import annotations

from daaf_tf.losses.attention import KeypointsLoss, MaskLoss, keypoints_loss, mask_loss
from daaf_tf.losses.centre import CentreLoss, centre_loss
from daaf_tf.losses.comparison import AddonsLoss, build_metric_loss, compute_addons_loss
from daaf_tf.losses.distances import compute_pairwise_distances, compute_row_distances
from daaf_tf.losses.identity import IdentityLoss, identity_loss
from daaf_tf.losses.triplet import (
    ActiveTriplets,
    BatchHardTriplet,
    EmbeddingNorm,
    active_share,
    batch_hard,
    gather_over_replicas,
)

__all__ = [
    "ActiveTriplets",
    "AddonsLoss",
    "BatchHardTriplet",
    "CentreLoss",
    "EmbeddingNorm",
    "IdentityLoss",
    "KeypointsLoss",
    "MaskLoss",
    "batch_hard",
    "active_share",
    "build_metric_loss",
    "centre_loss",
    "compute_addons_loss",
    "compute_pairwise_distances",
    "compute_row_distances",
    "gather_over_replicas",
    "identity_loss",
    "keypoints_loss",
    "mask_loss",
]
