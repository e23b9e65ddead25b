"""What can be wrong with the files of a data set, and how it is told."""

from __future__ import annotations

import dataclasses

# What a problem is with: an image or a line that names one (it was skipped), a mask, maps or
# keypoints (only that annotation was left out), a COCO file's entry that belongs to no image, or an
# image that is another person's as well (nothing was left out). In the order of counting.
PROBLEM_KINDS = ("image", "mask", "heatmaps", "keypoints", "annotations", "duplicate")


@dataclasses.dataclass(frozen=True)
class Problem:
    """A file that could not be used, or not trusted, and why.

    Attributes:
      kind: of PROBLEM_KINDS.
      split: of schema.SPLITS; empty: a line or entry that does not tell.
      file: path below the data root; `FILE, line N` for a line of a list; for COCO the path of the
        file, and where in it.
      reason: for people.
    """

    kind: str
    split: str
    file: str
    reason: str

    def __str__(self) -> str:
        return f"{self.file}: {self.reason}"
