"""The same image under two persons: a mistake in a data set that no loss can learn from."""

from __future__ import annotations

import hashlib

from daaf_tf.data.example import ImageRecord
from daaf_tf.data.listing import ImageFile
from daaf_tf.data.problems import Problem


class DuplicateFinder:
    """Finds images with the same bytes and different person ids, in whichever splits they are."""

    def __init__(self):
        self._first: dict[bytes, ImageFile] = {}

    def check(self, file: ImageFile, record: ImageRecord | None) -> list[Problem]:
        """Compare an image with all before it; report it if it shows another person than the first.

        Args:
          file: the image.
          record: its record; None: it was skipped.

        Returns:
          A problem, or none.
        """
        if record is None:
            return []
        first = self._first.setdefault(hashlib.sha256(record.encoded).digest(), file)
        if first.person_id == file.person_id:
            return []
        reason = (
            f"the same image is person {first.person_id} in {first.split} ({first.path}) and "
            f"person {file.person_id} here; it was kept"
        )
        return [Problem("duplicate", file.split, file.path, reason)]
