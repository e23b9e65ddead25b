"""Settings of a run: length, place and rhythm, and how it is evaluated."""

from __future__ import annotations

import dataclasses

from daaf_tf.settings import Section, setting

# Values of --tta.
NO_TTA = "none"
FLIP = "flip"
CROPS = "crops"


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
    cross_device_ops: str = setting(
        "auto",
        "How replicas exchange gradients and embeddings, by TensorFlow's names; auto: its choice.",
        choices=("auto", "nccl", "ring", "hierarchical", "reduction_to_one_device"),
    )
    cluster_timeout: float = setting(
        600.0, "Seconds that the workers in TF_CONFIG wait for each other at the start.", minimum=1
    )
    log_every: int = setting(50, "Steps between scalars for TensorBoard.", minimum=1)
    checkpoint_every: int = setting(1000, "Steps between checkpoints.", minimum=1)
    checkpoint_minutes: float = setting(
        0.0, "Minutes after which a checkpoint is due in any case; 0: steps alone count.", minimum=0
    )
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
    tta: str = setting(
        NO_TTA,
        "Test-time augmentation, views of an image whose embeddings are averaged: none; flip, the "
        "image and its mirror image; crops, centre and corners of the image at training's resized "
        "size (where that is no larger than the input: at 9/8 of the input), and their mirror "
        "images. An exported model averages what its own --tta names.",
        choices=(NO_TTA, FLIP, CROPS),
    )
