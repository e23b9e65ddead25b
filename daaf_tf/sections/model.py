"""Settings of the network: backbone, head and branches."""

from __future__ import annotations

import dataclasses

from daaf_tf.errors import UserError
from daaf_tf.settings import Section, setting

# Values of --head.
TRINET = "trinet"
BNNECK = "bnneck"
# Value of --backbone for a network of keras-cv.
KERAS_CV = "keras_cv"

# Values of --hab_input, --pab_group_channels and --decoder_output.
LAST_STAGE, OWN_COPY = "last_stage", "copy"
SIXTH, ALL_CHANNELS = "sixth", "all"
SIGMOID, LINEAR = "sigmoid", "linear"


@dataclasses.dataclass(frozen=True)
class ModelConfig(Section):
    """Backbone, head and the two attention branches; docs/variants.md has the authors' choices."""

    backbone: str = setting(
        "resnet50",
        "Backbone network: a ResNet as torchvision builds it, or what --backbone_config describes.",
        choices=("resnet18", "resnet34", "resnet50", "resnet101", KERAS_CV),
    )
    backbone_width: int = setting(
        64,
        "Width of a ResNet's first stage; 64 is the standard.",
        minimum=1,
    )
    pretrained: str = setting(
        "",
        "File of weights that the backbone starts from, see docs/weights.md (a keras-cv preset "
        "folder or the folder of another run, too); empty: random weights.",
    )
    pretrained_digest: str = setting(
        "", "Digest of that file; empty: whatever the file holds (set by training)."
    )
    last_stride: int = setting(
        2,
        "Stride of a ResNet's last stage; a keras-cv backbone has its strides in its arguments.",
        choices=(1, 2),
    )
    backbone_config: str = setting(
        "",
        "keras_cv: JSON file with class and arguments, a preset folder, or the JSON itself (which "
        "is what training stores).",
    )
    feature_map: tuple[int, ...] = setting(
        (), "keras_cv: height and width of its last feature map (set by training)."
    )
    head: str = setting(
        TRINET,
        "Head: trinet, two fully connected layers; or bnneck, the pooled feature (for the triplet "
        "loss) and its batch norm (for the id loss and retrieval).",
        choices=(TRINET, BNNECK),
    )
    head_units: int = setting(1024, "trinet: units of the hidden layer.", minimum=1)
    embedding_size: int = setting(
        128,
        "trinet: floats in an embedding. (bnneck: as many as the backbone has channels.)",
        minimum=1,
    )
    hab: bool = setting(True, "Train the holistic attention branch (HAB), which predicts the mask.")
    hab_input: str = setting(
        LAST_STAGE,
        "What HAB reads: the last feature map, or that of its own copy of a ResNet's stages 2 to "
        "4, so that the mask teaches the retrieval network's stage 1 alone.",
        choices=(LAST_STAGE, OWN_COPY),
    )
    hab_channels: tuple[int, ...] = setting(
        (), "First and last channel that HAB reads, e.g. 1020,2047; empty: all."
    )
    pab: bool = setting(
        True, "Train the partial attention branch (PAB), which predicts the keypoint maps."
    )
    pab_group_channels: str = setting(
        SIXTH,
        "Channels that each of PAB's six groups reads: 'sixth' (of the last feature map, rounded "
        "down), a number of its own, e.g. 340, or 'all' (every group reads all channels).",
    )
    pab_shared_decoder: bool = setting(
        False, "One stack of deconvolutions for PAB's six groups instead of one for each."
    )
    decoder_deconvs: int = setting(
        4,
        "Deconvolutions in each branch, each of which doubles the maps: 4 are published, 3 cost a "
        "quarter.",
        choices=(3, 4),
    )
    decoder_channels: int = setting(
        64, "Channels of each deconvolution in the branches.", minimum=1
    )
    decoder_kernel_size: int = setting(3, "Kernel size of each deconvolution.", choices=(2, 3))
    decoder_norm: bool = setting(
        True, "Batch normalisation after each deconvolution, ReLU after all but the last."
    )
    decoder_output: str = setting(
        SIGMOID, "Activation of the predicted maps.", choices=(SIGMOID, LINEAR)
    )
    sync_batch_norm: bool = setting(
        False,
        "Batch norm takes its statistics over the global batch, not over each replica's share: N "
        "replicas compute what one would, at the price of communication in every such layer.",
    )
    num_identities: int = setting(
        0,
        "Classes of the id loss; 0: as many as the training records hold (set by training).",
        minimum=0,
    )

    def check(self) -> None:
        """Check the backbone's description and the branches' inputs."""
        if self.backbone == KERAS_CV:
            if not self.backbone_config:
                raise UserError(
                    f"--backbone={KERAS_CV} needs --backbone_config: a JSON file with class and "
                    "arguments, or a preset folder"
                )
            if self.hab_input == OWN_COPY:
                raise UserError(
                    f"--hab_input={OWN_COPY} copies stages of our ResNets; with "
                    f"--backbone={KERAS_CV} use --hab_input={LAST_STAGE}"
                )
        if self.feature_map and (len(self.feature_map) != 2 or min(self.feature_map) < 1):
            raise UserError(
                f"--feature_map={_shown(self.feature_map)}: expected height and width, e.g. 8,4"
            )
        if self.hab_channels and not (
            len(self.hab_channels) == 2 and 0 <= self.hab_channels[0] <= self.hab_channels[1]
        ):
            raise UserError(
                f"--hab_channels={_shown(self.hab_channels)}: expected the first and the last "
                "channel, counted from 0, e.g. 1020,2047"
            )
        if self.pab_group_channels not in (SIXTH, ALL_CHANNELS) and not (
            self.pab_group_channels.isdecimal() and int(self.pab_group_channels)
        ):
            raise UserError(
                f"--pab_group_channels={self.pab_group_channels}: expected '{SIXTH}', "
                f"'{ALL_CHANNELS}' or a number of 1 or more"
            )


def _shown(values: tuple[int, ...]) -> str:
    return ",".join(map(str, values))
