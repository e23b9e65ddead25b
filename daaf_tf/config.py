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
from daaf_tf.settings import Section, setting

SOFT_MARGIN = "soft"


@dataclasses.dataclass(frozen=True)
class DataConfig(Section):
    """Where batches come from and what is done to each image."""

    data_dir: str = setting("", "Folder of TFRecords that tools/make_tfrecords.py wrote.")
    image_height: int = setting(
        256, "Height of the network's input in pixels.", minimum=32, maximum=4096
    )
    image_width: int = setting(
        128, "Width of the network's input in pixels.", minimum=32, maximum=4096
    )
    resize_height: int = setting(
        0,
        "Height to which a training image is resized before the random crop; 0: image_height.",
        minimum=0,
        maximum=8192,
    )
    resize_width: int = setting(
        0,
        "Width to which a training image is resized before the random crop; 0: image_width.",
        minimum=0,
        maximum=8192,
    )
    padding: int = setting(
        0, "Black pixels added on each side before the random crop.", minimum=0, maximum=1024
    )
    flip_probability: float = setting(
        0.5, "Probability of a left-right flip.", minimum=0, maximum=1
    )
    erasing_probability: float = setting(
        0.0, "Probability of random erasing.", minimum=0, maximum=1
    )
    erasing_min_area: float = setting(
        0.02, "Smallest erased share of the image.", minimum=0, maximum=1
    )
    erasing_max_area: float = setting(
        0.4, "Largest erased share of the image.", minimum=0, maximum=1
    )
    erasing_min_aspect: float = setting(
        0.3,
        "Smallest height over width of the erased box; the largest is its inverse.",
        minimum=0.01,
        maximum=1,
    )
    identities_per_batch: int = setting(
        18, "P: distinct identities in a (global) batch.", minimum=2
    )
    images_per_identity: int = setting(4, "K: images of each identity in a batch.", minimum=1)
    seed: int = setting(
        1, "Seed of weights, sampling and augmentation.", minimum=0, maximum=2**32 - 1
    )
    train_digest: str = setting(
        "", "Digest of the training records; empty: of those in data_dir (set by training)."
    )

    def check(self) -> None:
        """Check the erased area and the room for a crop."""
        if self.erasing_min_area > self.erasing_max_area:
            raise UserError(
                f"--erasing_min_area={self.erasing_min_area} is larger than "
                f"--erasing_max_area={self.erasing_max_area}"
            )
        for axis in ("height", "width"):
            image, resized = getattr(self, f"image_{axis}"), getattr(self, f"resize_{axis}")
            if resized and resized + 2 * self.padding < image:
                raise UserError(
                    f"--resize_{axis}={resized} with --padding={self.padding} leaves no room for "
                    f"a crop of --image_{axis}={image}; make it {image - 2 * self.padding} or more"
                )


@dataclasses.dataclass(frozen=True)
class ModelConfig(Section):
    """Backbone, head and the two attention branches."""

    backbone: str = setting(
        "resnet50", "Backbone network.", choices=("resnet18", "resnet34", "resnet50", "resnet101")
    )
    backbone_width: int = setting(
        64,
        "Width of the backbone's first stage; 64 is the standard.",
        minimum=1,
    )
    last_stride: int = setting(2, "Stride of the backbone's last stage.", choices=(1, 2))
    head_units: int = setting(1024, "Units of the TriNet head's hidden layer.", minimum=1)
    embedding_size: int = setting(128, "Floats in an embedding.", minimum=1)
    hab: bool = setting(True, "Train the holistic attention branch (HAB), which predicts the mask.")
    pab: bool = setting(
        True, "Train the partial attention branch (PAB), which predicts the keypoint maps."
    )
    decoder_channels: int = setting(
        64, "Channels of each deconvolution in the branches.", minimum=1
    )
    decoder_kernel_size: int = setting(3, "Kernel size of each deconvolution.", choices=(2, 3))
    decoder_norm: bool = setting(
        True, "Batch normalisation after each deconvolution, ReLU after all but the last."
    )
    num_identities: int = setting(
        0,
        "Classes of the id loss; 0: as many as the training records hold (set by training).",
        minimum=0,
    )


@dataclasses.dataclass(frozen=True)
class LossConfig(Section):
    """Terms of the loss and their weights."""

    margin: str = setting(SOFT_MARGIN, "Triplet margin: 'soft' (softplus) or a number.")
    metric: str = setting(
        "euclidean",
        "Distance of the triplet loss.",
        choices=("euclidean", "squared_euclidean", "cosine"),
    )
    triplet_weight: float = setting(1.0, "Weight of the batch-hard triplet loss.", minimum=0)
    identity_weight: float = setting(
        0.0, "Weight of the id cross-entropy; 0: no logits output.", minimum=0
    )
    label_smoothing: float = setting(
        0.1, "Label smoothing of the id cross-entropy.", minimum=0, maximum=0.99
    )
    mask_weight: float = setting(20.0, "Weight of the mask loss.", minimum=0)
    mask_loss: str = setting(
        "mse",
        "Mask loss on 0..1 targets: mean squared error or cross-entropy.",
        choices=("mse", "bce"),
    )
    keypoints_weight: float = setting(65.0, "Weight of the keypoint loss.", minimum=0)
    keypoints_foreground: float = setting(
        0.0,
        "F: a pixel of a map counts 1 + F x target, so that empty background cannot win.",
        minimum=0,
    )
    local_mining: bool = setting(
        False, "Mine triplets inside each replica's share instead of the global batch."
    )

    def check(self) -> None:
        """Check the margin, and that something teaches the embedding."""
        if self.margin != SOFT_MARGIN:
            try:
                number = float(self.margin)
            except ValueError:
                number = math.nan
            if not (math.isfinite(number) and number >= 0):
                raise UserError(f"--margin={self.margin}: expected 'soft' or a number of 0 or more")
        if not (self.triplet_weight or self.identity_weight):
            raise UserError(
                "--triplet_weight=0 and --identity_weight=0: nothing would teach the embedding"
            )

    def parsed_margin(self) -> str | float:
        """Return SOFT_MARGIN or the margin as a number."""
        return SOFT_MARGIN if self.margin == SOFT_MARGIN else float(self.margin)


@dataclasses.dataclass(frozen=True)
class OptimizerConfig(Section):
    """Optimizer and learning-rate schedule."""

    optimizer: str = setting("adam", "Optimizer.", choices=("adam", "sgd"))
    learning_rate: float = setting(3e-4, "Learning rate at its height.", minimum=0)
    weight_decay: float = setting(
        0.0, "L2 decay coupled to the gradient, as the recipes use it.", minimum=0
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


@dataclasses.dataclass(frozen=True)
class TrainConfig(Section):
    """Length, place and rhythm of a run."""

    total_steps: int = setting(25000, "Steps to train.", minimum=1)
    precision: str = setting(
        "float32",
        "Compute dtype; weights, heads and losses stay float32.",
        choices=("float32", "mixed_bfloat16", "mixed_float16"),
    )
    deterministic: bool = setting(
        False, "Deterministic TensorFlow ops (slower): the same bits in every run."
    )
    num_cpu_replicas: int = setting(
        0,
        "Train on this many logical CPUs instead of all GPUs; 0: all GPUs, or one CPU.",
        minimum=0,
    )
    log_every: int = setting(50, "Steps between scalars for TensorBoard.", minimum=1)
    checkpoint_every: int = setting(1000, "Steps between checkpoints.", minimum=1)
    keep_checkpoints: int = setting(3, "Newest checkpoints that are kept.", minimum=1)
    eval_every: int = setting(
        0, "Steps between evaluations during training; 0: only at the end.", minimum=0
    )
    pictures_every: int = setting(
        1000, "Steps between attention pictures for TensorBoard; 0: none.", minimum=0
    )


@dataclasses.dataclass(frozen=True)
class EvalConfig(Section):
    """How embeddings are computed and compared at test time."""

    eval_batch_size: int = setting(64, "Images embedded at a time.", minimum=1)
    eval_metric: str = setting(
        "euclidean", "Distance of the ranking.", choices=("euclidean", "cosine")
    )


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

    @property
    def batch_size(self) -> int:
        """Images in a global training batch, P x K."""
        return self.data.identities_per_batch * self.data.images_per_identity

    @property
    def target_size(self) -> tuple[int, int]:
        """Height and width of mask and keypoint maps: four doublings of the last feature map.

        The last feature map has 1/32 of the image (1/16 with last stride 1), rounded up.
        """
        reduction = 16 * self.model.last_stride
        return tuple(
            16 * math.ceil(size / reduction)
            for size in (self.data.image_height, self.data.image_width)
        )

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
# each step does.
CHANGEABLE_ON_RESUME = frozenset(
    (
        "data_dir",
        "total_steps",
        "num_cpu_replicas",
        "log_every",
        "checkpoint_every",
        "keep_checkpoints",
        "eval_every",
        "pictures_every",
        "eval_batch_size",
        "eval_metric",
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
