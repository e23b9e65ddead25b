"""Settings of the optimizer and its schedule."""

from __future__ import annotations

import dataclasses

from daaf_tf.errors import UserError
from daaf_tf.settings import Section, setting

# Values of --optimizer that tensorflow-addons provides.
LAMB = "lamb"
RADAM_LOOKAHEAD = "radam_lookahead"
FROM_ADDONS = (LAMB, RADAM_LOOKAHEAD)


@dataclasses.dataclass(frozen=True)
class OptimizerConfig(Section):
    """Optimizer and learning-rate schedule."""

    optimizer: str = setting(
        "adam",
        "Optimizer; lamb and radam_lookahead (RectifiedAdam with Lookahead) are those of "
        "tensorflow-addons (Python 3.9 to 3.11).",
        choices=("adam", "sgd", *FROM_ADDONS),
    )
    learning_rate: float = setting(3e-4, "Learning rate at its height.", minimum=0)
    weight_decay: float = setting(
        0.0,
        "L2 decay coupled to the gradient, as the recipes use it; lamb and radam_lookahead have "
        "their own, decoupled one.",
        minimum=0,
    )
    clip_norm: float = setting(
        0.0,
        "Longest gradient, as the norm over all weights and replicas; a longer one is scaled down "
        "to it; 0: no clipping.",
        minimum=0,
    )
    ema_momentum: float = setting(
        0.0,
        "Keep moving averages of the weights with this momentum, e.g. 0.999; evaluation and export "
        "use the averages; 0: none.",
        minimum=0,
        maximum=0.99999,
    )
    freeze_backbone_steps: int = setting(
        0,
        "First steps in which the backbone stays as it is, its batch-norm statistics included.",
        minimum=0,
    )
    centre_learning_rate: float = setting(
        0.5,
        "Rate of the centre loss's centres: plain SGD on the unweighted loss, without schedule.",
        minimum=0,
    )
    warmup_steps: int = setting(0, "Steps of linear warm-up.", minimum=0)
    warmup_factor: float = setting(
        0.01, "Share of the learning rate at step 0 of the warm-up.", minimum=0, maximum=1
    )
    schedule: str = setting(
        "exponential", "What follows the warm-up.", choices=("constant", "exponential", "multistep")
    )
    decay_start_step: int = setting(15000, "exponential: step at which decay begins.", minimum=0)
    decay_steps: int = setting(
        10000, "exponential: steps in which the rate falls by decay_factor.", minimum=1
    )
    decay_factor: float = setting(
        0.001,
        "exponential: the fall over decay_steps; multistep: the fall at each milestone.",
        minimum=0,
        maximum=1,
    )
    milestones: tuple[int, ...] = setting(
        (), "multistep: steps at which the rate falls, comma-separated."
    )

    def check(self) -> None:
        """Check the milestones, and what the optimizers of tensorflow-addons cannot do."""
        if self.schedule == "multistep" and not self.milestones:
            raise UserError("--schedule=multistep needs --milestones, e.g. --milestones=8000,14000")
        if self.milestones != tuple(sorted({step for step in self.milestones if step > 0})):
            shown = ",".join(map(str, self.milestones))
            raise UserError(f"--milestones={shown}: expected growing steps above 0")
        for name in ("ema_momentum", "freeze_backbone_steps"):
            if getattr(self, name) and self.optimizer in FROM_ADDONS:
                raise UserError(
                    f"--{name}={getattr(self, name)} does not go with --optimizer={self.optimizer}:"
                    " expected --optimizer=adam or sgd"
                )
