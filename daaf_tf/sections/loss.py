"""Settings of the loss: its terms and their weights."""

from __future__ import annotations

import dataclasses
import math

from daaf_tf.errors import UserError
from daaf_tf.settings import Section, setting

SOFT_MARGIN = "soft"

# Values of --metric_loss.
BATCH_HARD = "batch_hard"
SEMI_HARD = "semi_hard"
LIFTED = "lifted"


@dataclasses.dataclass(frozen=True)
class LossConfig(Section):
    """Terms of the loss and their weights."""

    metric_loss: str = setting(
        BATCH_HARD,
        "Loss on the embeddings; semi_hard and lifted, for comparison, are those of "
        "tensorflow-addons (Python 3.9 to 3.11).",
        choices=(BATCH_HARD, SEMI_HARD, LIFTED),
    )
    margin: str = setting(SOFT_MARGIN, "Triplet margin: 'soft' (softplus) or a number.")
    metric: str = setting(
        "euclidean",
        "Distance of the triplet loss.",
        choices=("euclidean", "squared_euclidean", "cosine"),
    )
    triplet_weight: float = setting(1.0, "Weight of the loss on the embeddings.", minimum=0)
    identity_weight: float = setting(
        0.0, "Weight of the id cross-entropy; 0: no logits output.", minimum=0
    )
    label_smoothing: float = setting(
        0.1, "Label smoothing of the id cross-entropy.", minimum=0, maximum=0.99
    )
    centre_weight: float = setting(
        0.0, "Weight of the centre loss; 0: no centres, and none in the checkpoint.", minimum=0
    )
    mask_weight: float = setting(20.0, "Weight of the mask loss.", minimum=0)
    mask_loss: str = setting(
        "mse",
        "Mask loss on 0..1 targets: mean squared error, cross-entropy, or half the sum of squares.",
        choices=("mse", "bce", "half_sum_squares"),
    )
    keypoints_weight: float = setting(65.0, "Weight of the keypoint loss.", minimum=0)
    keypoints_loss: str = setting(
        "mse",
        "Keypoint loss on 0..1 targets: mean squared error, cross-entropy, or half the sum of "
        "squares.",
        choices=("mse", "bce", "half_sum_squares"),
    )
    keypoints_foreground: float = setting(
        0.0,
        "F: a pixel of a map counts 1 + F x target, so that empty background cannot win.",
        minimum=0,
    )
    local_mining: bool = setting(
        False, "Mine triplets inside each replica's share instead of the global batch."
    )

    def check(self) -> None:
        """Check margin and metric, and that something teaches the embedding."""
        if self.margin != SOFT_MARGIN:
            try:
                number = float(self.margin)
            except ValueError:
                number = math.nan
            if not (math.isfinite(number) and number >= 0):
                raise UserError(f"--margin={self.margin}: expected 'soft' or a number of 0 or more")
        elif self.metric_loss != BATCH_HARD:
            raise UserError(
                f"--metric_loss={self.metric_loss} has no soft margin: expected a number, e.g. "
                "--margin=1"
            )
        if self.metric_loss == LIFTED and self.metric != "euclidean":
            raise UserError(
                f"--metric={self.metric}: --metric_loss={LIFTED} knows --metric=euclidean only"
            )
        if not (self.triplet_weight or self.identity_weight):
            raise UserError(
                "--triplet_weight=0 and --identity_weight=0: nothing would teach the embedding"
            )

    def parsed_margin(self) -> str | float:
        """Return SOFT_MARGIN or the margin as a number."""
        return SOFT_MARGIN if self.margin == SOFT_MARGIN else float(self.margin)
