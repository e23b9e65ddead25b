"""Settings of the input: records, geometry, augmentation and sampling."""

from __future__ import annotations

import dataclasses

from daaf_tf.errors import UserError
from daaf_tf.settings import Section, setting

# Values of --photometric.
NO_PHOTOMETRIC = "none"
COLOR_JITTER = "color_jitter"
RANDAUGMENT = "randaugment"


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
    keypoint_sigma: float = setting(
        6.0,
        "Sigma of a joint drawn from coordinates, in pixels of a 256x128 map of the whole image.",
        minimum=0.5,
        maximum=64,
    )
    photometric: str = setting(
        NO_PHOTOMETRIC,
        "Change of colours by keras-cv: none, colour jitter, or RandAugment's photometric part; of "
        "the image alone, and the same for the same seed and step.",
        choices=(NO_PHOTOMETRIC, COLOR_JITTER, RANDAUGMENT),
    )
    identities_per_batch: int = setting(
        18, "P: distinct identities in a (global) batch.", minimum=2
    )
    images_per_identity: int = setting(4, "K: images of each identity in a batch.", minimum=1)
    held_out_identities: int = setting(
        0,
        "Training identities, the last ones, that are not trained on: how well masks and joints "
        "are predicted is measured on them.",
        minimum=0,
    )
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
