"""Settings of the network: backbone, head and branches."""

from __future__ import annotations

import dataclasses

from daaf_tf.settings import Section, setting

# Values of --head.
TRINET = "trinet"
BNNECK = "bnneck"


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
    pretrained: str = setting(
        "",
        "File of weights that the backbone starts from, see docs/weights.md (a keras-cv preset "
        "folder or the folder of another run, too); empty: random weights.",
    )
    pretrained_digest: str = setting(
        "", "Digest of that file; empty: whatever the file holds (set by training)."
    )
    last_stride: int = setting(2, "Stride of the backbone's last stage.", choices=(1, 2))
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
    pab: bool = setting(
        True, "Train the partial attention branch (PAB), which predicts the keypoint maps."
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
