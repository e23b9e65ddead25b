"""Every setting of a run as frozen dataclasses, checked once, stored as JSON beside the model.

A field is the one place where a setting's name, default, help and allowed values are written down:
`daaf_tf.flags` makes the command-line flag of the same name from it.
"""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

from daaf_tf.errors import UserError
from daaf_tf.sections.data import DataConfig
from daaf_tf.sections.loss import LossConfig
from daaf_tf.sections.model import BNNECK, KERAS_CV, LINEAR, ModelConfig
from daaf_tf.sections.optimizer import FROM_ADDONS, OptimizerConfig
from daaf_tf.sections.train import EvalConfig, TrainConfig


@dataclasses.dataclass(frozen=True)
class Config:
    """One run, whole.

    Raises:
      UserError: when made with settings that do not go together.
    """

    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    loss: LossConfig = LossConfig()
    optimizer: OptimizerConfig = OptimizerConfig()
    train: TrainConfig = TrainConfig()
    eval: EvalConfig = EvalConfig()

    def __post_init__(self):
        if self.loss.triplet_weight and self.data.images_per_identity < 2:
            raise UserError(
                "--images_per_identity=1: the triplet loss needs 2 or more images of a person in "
                "a batch"
            )
        if self.model.head == BNNECK and not self.loss.identity_weight:
            raise UserError(
                f"--head={BNNECK} with --identity_weight=0: nothing would teach the batch norm "
                "that gives the embedding; give the id loss a weight, say --identity_weight=1"
            )
        if self.loss.centre_weight and self.optimizer.optimizer in FROM_ADDONS:
            raise UserError(
                f"--centre_weight={self.loss.centre_weight} does not go with "
                f"--optimizer={self.optimizer.optimizer}, which has no rate of their own for the "
                "centres: expected --optimizer=adam or sgd"
            )
        for branch, name in (("hab", "mask_loss"), ("pab", "keypoints_loss")):
            used = getattr(self.model, branch) and getattr(self.loss, name) == "bce"
            if used and self.model.decoder_output == LINEAR:
                raise UserError(
                    f"--{name}=bce needs predictions in 0..1; --decoder_output={LINEAR} gives any "
                    f"number. Use --{name}=mse, or --decoder_output=sigmoid"
                )

    @property
    def batch_size(self) -> int:
        """Images in a global training batch, P x K."""
        return self.data.identities_per_batch * self.data.images_per_identity

    @property
    def target_size(self) -> tuple[int, int]:
        """Height and width of mask and keypoint maps: the last feature map, so many times doubled.

        A ResNet's last feature map has 1/32 of the image (1/16 with last stride 1), rounded up;
        that of a keras-cv backbone is measured when training begins.

        Raises:
          UserError: a keras-cv backbone whose feature map has not been measured.
        """
        size = self.model.feature_map
        if not size:
            if self.model.backbone == KERAS_CV:
                raise UserError(
                    "--feature_map is not known yet: pass the config through "
                    "daaf_tf.model.resolve_backbone, as training does"
                )
            reduction = 16 * self.model.last_stride
            image = (self.data.image_height, self.data.image_width)
            size = tuple(math.ceil(length / reduction) for length in image)
        doubled = 2**self.model.decoder_deconvs
        return (doubled * size[0], doubled * size[1])

    def replace(self, **values: Any) -> Config:
        """Return a copy with settings replaced by their flat names, e.g. `replace(seed=2)`.

        Raises:
          UserError: a name or a value that is not allowed.
        """
        known = settings()
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise UserError(f"unknown setting {', '.join(unknown)}; known are {', '.join(known)}")
        sections = {}
        for section in dataclasses.fields(self):
            old = getattr(self, section.name)
            changes = {
                name: value for name, value in values.items() if known[name][0] == section.name
            }
            sections[section.name] = dataclasses.replace(old, **changes)
        return Config(**sections)


# Settings that may change when a run is resumed: where, how often and how long; the rest says what
# each step does. Records and pre-trained weights may have moved: their digests tell that they are
# the same.
CHANGEABLE_ON_RESUME = frozenset(
    (
        "data_dir",
        "pretrained",
        "total_steps",
        "num_cpu_replicas",
        "cross_device_ops",
        "cluster_timeout",
        "log_every",
        "checkpoint_every",
        "checkpoint_minutes",
        "keep_checkpoints",
        "eval_every",
        "pictures_every",
        "eval_batch_size",
        "eval_metric",
        "tta",
    )
)


def settings() -> dict[str, tuple[str, dataclasses.Field]]:
    """Return every setting as {flat name: (section name, dataclass field)}, in order."""
    return {
        field.name: (section.name, field)
        for section in dataclasses.fields(Config)
        for field in dataclasses.fields(section.default)
    }


def flat(config: Config) -> dict[str, Any]:
    """Return {flat name: value} of every setting, in order."""
    return {
        name: getattr(getattr(config, section), name) for name, (section, _) in settings().items()
    }


def to_json(config: Config) -> str:
    """Return the config as indented JSON, section by section."""
    return json.dumps(dataclasses.asdict(config), indent=2) + "\n"


def from_json(text: str | bytes, origin: str = "config") -> Config:
    """Return the config that `to_json` wrote.

    Args:
      text: the JSON.
      origin: where the text came from, for messages.

    Raises:
      UserError: no JSON, an unknown or missing setting, or a value that is not allowed.
    """
    try:
        sections = json.loads(text)
    except ValueError as error:
        raise UserError(f"{origin}: not JSON ({error})") from error
    names = [section.name for section in dataclasses.fields(Config)]
    if not isinstance(sections, dict) or sorted(sections) != sorted(names):
        raise UserError(f"{origin}: expected the sections {', '.join(names)}")
    values = {}
    for name, (section, _) in settings().items():
        if not isinstance(sections[section], dict) or name not in sections[section]:
            raise UserError(f"{origin}: {section}.{name} is missing; another version wrote it")
        value = sections[section].pop(name)
        values[name] = tuple(value) if isinstance(value, list) else value
    unknown = [f"{section}.{name}" for section, left in sections.items() for name in left]
    if unknown:
        raise UserError(
            f"{origin}: unknown settings {', '.join(unknown)}; another version wrote it"
        )
    try:
        return Config().replace(**values)
    except UserError as error:
        raise UserError(f"{origin}: {error}") from error


def differences(old: Config, new: Config) -> list[str]:
    """Return one line for each setting that a resumed run may not change, `name: old -> new`."""
    before, after = flat(old), flat(new)
    return [
        f"{name}: {before[name]} -> {after[name]}"
        for name in before
        if before[name] != after[name] and name not in CHANGEABLE_ON_RESUME
    ]
