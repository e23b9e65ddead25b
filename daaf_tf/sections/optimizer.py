"""Settings of the optimizer and its schedule."""

from __future__ import annotations

import dataclasses

from daaf_tf.errors import UserError
from daaf_tf.settings import Section, setting


@dataclasses.dataclass(frozen=True)
class OptimizerConfig(Section):
    """Optimizer and learning-rate schedule."""

    optimizer: str = setting("adam", "Optimizer.", choices=("adam", "sgd"))
    learning_rate: float = setting(3e-4, "Learning rate at its height.", minimum=0)
    weight_decay: float = setting(
        0.0, "L2 decay coupled to the gradient, as the recipes use it.", minimum=0
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
        """Check the milestones."""
        if self.schedule == "multistep" and not self.milestones:
            raise UserError("--schedule=multistep needs --milestones, e.g. --milestones=8000,14000")
        if self.milestones != tuple(sorted({step for step in self.milestones if step > 0})):
            shown = ",".join(map(str, self.milestones))
            raise UserError(f"--milestones={shown}: expected growing steps above 0")
