"""What can be wrong with the files of a data set, and how it is told."""

from __future__ import annotations

import dataclasses

# What a problem is with: an image or a line that names one (it was skipped), an annotation (only
# that was left out), or an image that is another person's as well (nothing was).
PROBLEM_KINDS = ("image", "mask", "heatmaps", "duplicate")


@dataclasses.dataclass(frozen=True)
class Problem:
    """A file that could not be used, or not trusted, and why.

    Attributes:
      kind: of PROBLEM_KINDS.
      split: of schema.SPLITS; empty: a line of a list that does not tell.
      file: path below the data root; `FILE, line N` for a line of a list.
      reason: for people.
    """

    kind: str
    split: str
    file: str
    reason: str

    def __str__(self) -> str:
        return f"{self.file}: {self.reason}"
