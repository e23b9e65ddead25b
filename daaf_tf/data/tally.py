"""What a split holds, counted as its records go by: when they are written, and when inspected."""

from __future__ import annotations

import collections

from daaf_tf import schema
from daaf_tf.data.example import ImageRecord


class Tally:
    """Counts of one split, as they stand in the manifest."""

    def __init__(self, split: str, *, zero_is_distractor: bool = True):
        """Begin with nothing.

        Args:
          split: one of schema.SPLITS.
          zero_is_distractor: count schema.DISTRACTOR_ID as a distractor, not as a person.
        """
        self._split = split
        self._zero_is_distractor = zero_is_distractor
        self._persons: collections.Counter[int] = collections.Counter()
        self._cameras: set[int] = set()
        self._masks = 0
        self._keypoint_maps = 0
        self._keypoints = 0

    def add(self, record: ImageRecord) -> int:
        """Count a record, and return its class label.

        Records of the training split come sorted by person and are labelled 0, 1, .. in that order.
        """
        self._persons[record.person_id] += 1
        self._cameras.add(record.camera_id)
        self._masks += record.mask is not None
        self._keypoint_maps += record.heatmaps is not None
        self._keypoints += record.keypoints is not None
        # Sorted by person, so the person seen last has the highest label.
        return len(self._persons) - 1 if self._split == schema.TRAIN else schema.NO_LABEL

    def summary(self) -> dict:
        """Return the counts as the manifest has them."""
        persons = dict(self._persons)
        junk = persons.pop(schema.JUNK_ID, 0)
        distractors = persons.pop(schema.DISTRACTOR_ID, 0) if self._zero_is_distractor else 0
        summary = {
            "images": sum(self._persons.values()),
            "identities": len(persons),
            "cameras": sorted(self._cameras),
            "junk": junk,
            "distractors": distractors,
            "masks": self._masks,
            "keypoint_maps": self._keypoint_maps,
            "keypoints": self._keypoints,
        }
        if self._split == schema.TRAIN:
            summary["person_ids"] = list(persons)
            summary["images_per_label"] = list(persons.values())
        return summary
