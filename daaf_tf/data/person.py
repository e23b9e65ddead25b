"""What a COCO file says of the persons on one crop, turned into what a record stores.

Like `daaf_tf.data.annotations` this maps values to bytes or arrays, raises BadFile with the reason
where they are not what they should be, and touches no disk.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from daaf_tf import schema
from daaf_tf.data.annotations import BadFile, encode_mask

_NUMBERS_PER_JOINT = 3  # x, y, and visibility or score

# Drawing a polygon takes memory in proportion to its length, so one is not drawn that leaves the
# image by more than this many times its size.
_REACH = 1.0


@dataclasses.dataclass(frozen=True)
class Person:
    """One annotation of a COCO file; beyond `origin` and the flags nothing is checked yet.

    Attributes:
      origin: where it stands, for messages: "poses.json: annotations[17]".
      keypoints: its `keypoints`, None where there are none.
      segmentation: its `segmentation`, None where there is none.
      box: its `bbox`, None where there is none.
      image_size: width and height that the file gives the image, None where it gives none.
      score: its `score`, 0 where there is none.
      is_result: it is an estimator's: the third number of a joint is a score, not a flag.
      is_crowd: its `iscrowd`.
    """

    origin: str
    keypoints: Any = None
    segmentation: Any = None
    box: Any = None
    image_size: Any = None
    score: float = 0.0
    is_result: bool = False
    is_crowd: bool = False


def choose_person(persons: Sequence[Person], what: str, height: int, width: int) -> Person | None:
    """Return the person whose keypoints or mask belong to a crop, None if there is none.

    It is the person whose box fills the crop best (intersection over union); a crowd comes after
    all others, and of equals the one with the higher score, then the first. Where no annotation
    has both keypoints and mask (they come from two tools), each of the two is chosen for itself;
    else both are of one person.

    Args:
      persons: all that the COCO files say of the crop.
      what: "keypoints" or "segmentation".
      height: of the crop in pixels.
      width: of the crop in pixels.

    Raises:
      BadFile: there are several, and one has a malformed box, or none and malformed contents.
    """

    def rank(person: Person) -> tuple:
        fill = _compute_fill(_find_box(person, height, width), height, width)
        return (not person.is_crowd, fill, person.score)

    other = "segmentation" if what == "keypoints" else "keypoints"
    both = any(_has(person, what) and _has(person, other) for person in persons)
    rivals = [person for person in persons if _has(person, what) or (both and _has(person, other))]
    best = max(rivals, key=rank) if len(rivals) > 1 else next(iter(rivals), None)
    return best if best is not None and _has(best, what) else None


def make_keypoints(person: Person, height: int, width: int) -> np.ndarray | None:
    """Return a person's joints as a record stores them.

    A flag of 2 (visible) becomes visibility 1, 1 (hidden) and 0 (not labelled) become 0. A score
    is cut to 0..1. A joint outside the image counts as hidden: pose estimators often say where an
    arm goes on that the crop has cut off.

    Args:
      person: with keypoints, in pixels of the image; pixel 0 has its centre at 0.
      height: of the image in pixels.
      width: of the image in pixels.

    Returns:
      [17, 3] float32 as `annotations.locate_peaks` has them; None where no joint is labelled.

    Raises:
      BadFile: not 17 joints, something that is no finite number, a flag other than 0, 1 or 2,
        joints more than an image's size outside the image, all outside, or an image of another
        size.
    """
    _check_image_size(person, height, width)
    joints = _parse_keypoints(person)
    places, third = (joints[:, :2] + 0.5) / (width, height), joints[:, 2]
    if not person.is_result:
        for joint in np.flatnonzero(~np.isin(third, (0, 1, 2))):
            raise BadFile(
                f"visibility {third[joint]:g} of {schema.JOINTS[joint]}, expected 0, 1 or 2 (a "
                "score is for a result list, or for an annotation with a score of its own)"
            )
        labelled, third = third > 0, third == 2
    else:
        labelled = third > 0
    if not labelled.any():
        return None
    visibility = np.clip(third, 0, 1)
    shown = visibility > 0
    for joint in np.flatnonzero(shown & ((places < -1) | (places > 2)).any(axis=1)):
        raise BadFile(
            f"{schema.JOINTS[joint]} at ({joints[joint, 0]:g}, {joints[joint, 1]:g}) is far "
            f"outside the image of {width}x{height} (width x height); expected pixels of the crop"
        )
    # Half a pixel more than the border, for tools that count from corners and not from centres.
    slack = np.array([1 / width, 1 / height])
    inside = ((places >= -slack) & (places <= 1 + slack)).all(axis=1)
    if shown.any() and not (shown & inside).any():
        raise BadFile(f"all joints are outside the image of {width}x{height} (width x height)")
    known = inside & (joints != 0).any(axis=1)
    result = np.zeros((schema.NUM_JOINTS, 3), np.float32)
    result[known, :2] = np.clip(places[known], 0, 1)
    result[inside, 2] = visibility[inside]
    return result


def make_person_mask(person: Person, height: int, width: int) -> bytes:
    """Return a person's segmentation as a PNG of the image's size, 0 background and 255 person.

    Args:
      person: with a segmentation: polygons in pixels of the image (0 is its left or upper edge),
        or an RLE, compressed or not.
      height: of the image in pixels.
      width: of the image in pixels.

    Raises:
      BadFile: a broken RLE, or one of another size; a polygon that is no list of points or leaves
        the image by far; a mask without a pixel; or an image of another size.
    """
    _check_image_size(person, height, width)
    mask = _decode(person.segmentation, height, width)
    if not mask.any():
        raise BadFile("segmentation without a pixel in the image")
    return encode_mask(mask)


def _has(person: Person, what: str) -> bool:
    return getattr(person, what) is not None


def _check_image_size(person: Person, height: int, width: int) -> None:
    if person.image_size is not None and tuple(person.image_size) != (width, height):
        given = "x".join(map(str, person.image_size))
        raise BadFile(
            f"made for an image of {given}, this one has {width}x{height} (width x height)"
        )


def _parse_keypoints(person: Person) -> np.ndarray:
    """Return [17, 3] finite float64."""
    if not isinstance(person.keypoints, list):
        raise BadFile(f"keypoints are {type(person.keypoints).__name__}, expected a list")
    expected = _NUMBERS_PER_JOINT * schema.NUM_JOINTS
    if len(person.keypoints) != expected:
        raise BadFile(f"{len(person.keypoints)} numbers in keypoints, expected {expected}")
    for place, value in enumerate(person.keypoints):
        if not is_number(value):
            joint, axis = divmod(place, _NUMBERS_PER_JOINT)
            name = ("x", "y", "visibility")[axis]
            raise BadFile(f"{name} of {schema.JOINTS[joint]} is {value!r}, expected a number")
    return np.array(person.keypoints, np.float64).reshape(-1, _NUMBERS_PER_JOINT)


def is_number(value: Any) -> bool:
    """Return whether a value out of a JSON file is a finite number that a float can hold."""
    if type(value) not in (int, float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _find_box(person: Person, height: int, width: int) -> tuple[float, float, float, float]:
    """Return left, top, right, bottom of a person: its box, else that of its mask or joints."""
    if person.box is not None:
        box = person.box
        if not (isinstance(box, list) and len(box) == 4 and all(map(is_number, box))):
            raise BadFile(f"bbox {box!r:.80}, expected 4 numbers: left, top, width, height")
        left, top, box_width, box_height = map(float, box)
        return left, top, left + box_width, top + box_height
    if person.segmentation is not None:
        ys, xs = np.nonzero(_decode(person.segmentation, height, width))
        reach = 1
    else:
        joints = _parse_keypoints(person)
        xs, ys, _ = joints[joints[:, 2] > 0].T
        reach = 0
    if not len(xs):
        return 0.0, 0.0, 0.0, 0.0
    return float(xs.min()), float(ys.min()), float(xs.max() + reach), float(ys.max() + reach)


def _compute_fill(box: tuple[float, float, float, float], height: int, width: int) -> float:
    """Return intersection over union of a box and the image."""
    left, top, right, bottom = box
    shared = max(0.0, min(right, width) - max(left, 0)) * max(
        0.0, min(bottom, height) - max(top, 0)
    )
    area = max(0.0, right - left) * max(0.0, bottom - top)
    return shared / (area + height * width - shared)


def _decode(segmentation: Any, height: int, width: int) -> np.ndarray:
    """Return a segmentation as [height, width] bool."""
    if isinstance(segmentation, dict):
        return _decode_rle(segmentation, height, width)
    if isinstance(segmentation, list) and segmentation:
        return _draw_polygons(segmentation, height, width)
    raise BadFile(f"segmentation {segmentation!r:.80}, expected an RLE or polygons")


def _decode_rle(rle: dict, height: int, width: int) -> np.ndarray:
    """Decode a run-length encoding: columns one after the other, background first.

    pycocotools would do it too, but takes counts that end early and leaves the rest of the mask to
    what is in memory.
    """
    size, counts = rle.get("size"), rle.get("counts")
    if size != [height, width]:
        raise BadFile(f"RLE of size {size!r:.80}, expected the image's [{height}, {width}]")
    if isinstance(counts, str):
        counts = _decode_counts(counts)
    if not (isinstance(counts, list) and all(type(count) is int for count in counts)):
        raise BadFile(f"RLE counts {counts!r:.80}, expected text or a list of whole numbers")
    if any(count < 0 for count in counts) or sum(counts) != height * width:
        raise BadFile(
            f"broken RLE: its counts should add up to {height * width} pixels, none below 0"
        )
    values = np.arange(len(counts)) % 2 == 1
    return np.repeat(values, counts).reshape((height, width), order="F")


def _decode_counts(text: str) -> list[int]:
    """Decode the counts of a compressed RLE, as `rleFrString` of pycocotools does.

    Each character holds five bits of a number, lowest first, and whether more follow; the highest
    bit of the last is the sign. From the fourth on, a number is the difference to the one two
    before it.
    """
    counts, value, shift = [], 0, 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64 or shift > 60:
            raise BadFile(f"broken RLE: {character!r} in its counts")
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        value, shift = 0, 0
    if shift:
        raise BadFile("broken RLE: its counts are cut off")
    return counts


def _draw_polygons(polygons: list, height: int, width: int) -> np.ndarray:
    from pycocotools import mask as coco_mask  # `coco` makes sure that it is there

    room = _REACH * np.array([width, height])
    for polygon in polygons:
        if not (isinstance(polygon, list) and all(map(is_number, polygon))):
            raise BadFile(f"polygon {polygon!r:.80}, expected a list of finite numbers")
        if len(polygon) < 6 or len(polygon) % 2:
            raise BadFile(f"polygon of {len(polygon)} numbers, expected x, y of 3 points or more")
        points = np.array(polygon, np.float64).reshape(-1, 2)
        if (points < -room).any() or (points > room + (width, height)).any():
            raise BadFile(
                f"polygon far outside the image of {width}x{height} (width x height); expected "
                "pixels of the crop"
            )
    encoded = coco_mask.frPyObjects(polygons, height, width)
    return coco_mask.decode(coco_mask.merge(encoded)).astype(bool)
