"""What the built-in synthetic set holds: presets, difficulty, and every image by name.

The plan is a pure function of preset and seed. It draws nothing, so counts and protocol can be
checked in a second at the size of the real Market-1501.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np

TRAIN_FOLDER = "bounding_box_train"
TEST_FOLDER = "bounding_box_test"
QUERY_FOLDER = "query"
FOLDERS = (TRAIN_FOLDER, TEST_FOLDER, QUERY_FOLDER)


@dataclasses.dataclass(frozen=True)
class Difficulty:
    """How hard it is to tell the people apart; every other number only shapes the drawing."""

    # People come in families that share one description; a member differs from the family's first
    # in a few attributes (pattern, sleeves, bag, hair, shoes, ...): the hard negatives.
    family_size: int = 4
    fewest_changes: int = 3
    most_changes: int = 5
    # Distance of a camera's colours from neutral: gain per channel, and exposure.
    camera_cast: float = 0.08
    camera_exposure: float = 0.15
    # Change of brightness from image to image of one camera.
    image_exposure: float = 0.08
    # Shares of people who walk towards the camera and away from it; the rest is seen from the side.
    front_share: float = 0.38
    back_share: float = 0.34
    # Error of the box around the person, as a share of the person's height.
    framing: float = 0.04
    # Share of images with somebody else behind the person, and with something in front.
    bystander_share: float = 0.3
    occluder_share: float = 0.15
    # Objects that stand about in one place of a camera, and how colourful places are: 0 grey, 1 as
    # people's clothes.
    clutter: int = 40
    place_saturation: float = 0.4
    # Worst camera's share of 128x64 real pixels.
    lowest_resolution: float = 0.6


@dataclasses.dataclass(frozen=True)
class Preset:
    """The size of a set: ids, images and cameras of each part."""

    name: str
    train_ids: int
    train_images: int
    # The first `few_ids` training ids have between `few_least` and 3 images, the others 4 or more.
    few_ids: int
    few_least: int
    most_images: int
    test_ids: int
    query_images: int
    good_images: int
    distractor_images: int
    junk_images: int
    cameras: int = 6


_SIZES = (
    Preset(
        name="small",
        train_ids=200,
        train_images=2600,
        few_ids=4,
        few_least=1,
        most_images=24,
        test_ids=50,
        query_images=180,
        good_images=520,
        distractor_images=120,
        junk_images=100,
    ),
    Preset(
        name="market1501",
        train_ids=751,
        train_images=12936,
        few_ids=15,
        few_least=2,
        most_images=72,
        test_ids=750,
        query_images=3368,
        good_images=13115,
        distractor_images=2798,
        junk_images=3819,
    ),
)
PRESETS = {preset.name: preset for preset in _SIZES}


class Recipe(NamedTuple):
    """All that a set follows from."""

    preset: Preset
    seed: int
    difficulty: Difficulty = Difficulty()


class ImageSpec(NamedTuple):
    """One image to draw. Everything in it follows from this and the seed."""

    folder: str
    name: str
    number: int  # position in the plan: the seed of what belongs to this image alone
    person: int  # index of the description, see `synthetic_person.make_person`
    camera: int  # 1..cameras
    sequence: int  # 1.. : one walk of one person past one camera
    junk: bool


class Kind:
    """First word of each random stream, so that no two streams of one seed are the same."""

    PLAN, FAMILY, CAMERA, SCENE, WALK, IMAGE = range(6)


def make_rng(seed: int, kind: int, *numbers: int) -> np.random.Generator:
    """Return the random stream of one thing: a plan, a family, a camera, a walk, an image."""
    return np.random.default_rng((seed, kind, *numbers))


def family_of(recipe: Recipe, person: int) -> tuple[int, int]:
    """Return the family and the place in it of a person.

    People 0..train_ids-1 are trained on, the next test_ids are searched for, the rest are the
    distractors: they join the families of the searched, so that they are hard negatives. No family
    has members in both training and test.
    """
    preset, size = recipe.preset, recipe.difficulty.family_size
    train_families = -(-preset.train_ids // size)
    test_families = -(-preset.test_ids // size)
    if person < preset.train_ids:
        return divmod(person, size)
    person -= preset.train_ids
    if person < preset.test_ids:
        return train_families + person // size, person % size
    rank, family = divmod(person - preset.test_ids, test_families)
    return train_families + family, size + rank


def make_plan(recipe: Recipe) -> tuple[ImageSpec, ...]:
    """Return every image of the set, in the order train, query, good, distractors, junk.

    Guaranteed: the counts of the preset; ids of training and test disjoint; one query per test id
    and camera that sees it, each with a good gallery image of the same id from another camera;
    names unique within a folder.

    The difficulty has no part in it.
    """
    preset = recipe.preset
    rng = make_rng(recipe.seed, Kind.PLAN)
    ids = rng.permutation(preset.train_ids + preset.test_ids) + 1
    plan = _Planner(rng)
    _plan_train(plan, preset, ids[: preset.train_ids])
    views = _cameras_of_test_ids(preset, rng)
    for index, cameras in enumerate(views):
        for camera in cameras:
            plan.add(QUERY_FOLDER, ids[preset.train_ids + index], preset.train_ids + index, camera)
    _plan_gallery(plan, preset, ids[preset.train_ids :], views)
    return tuple(plan.images)


class _Planner:
    """Collects images and gives each a name of its own."""

    def __init__(self, rng):
        self.rng = rng
        self.images = []
        self._sequences = {}

    def add(self, folder, person_id, person, camera, *, junk=False):
        """Add one image of a person; every fourth or so of one camera begins another walk."""
        walker = (person, int(camera))
        sequence = self._sequences.get(walker, 0)
        if sequence == 0 or self.rng.random() < 0.25:
            sequence = min(sequence + 1, 6)
        self._sequences[walker] = sequence
        number = len(self.images)
        shown = "-1" if junk else f"{person_id:04d}"
        # The running number as the frame makes every name unique, whoever is in the picture.
        box = 0 if folder == QUERY_FOLDER else 1
        name = f"{shown}_c{camera}s{sequence}_{number:06d}_{box:02d}.jpg"
        self.images.append(ImageSpec(folder, name, number, *walker, sequence, junk))


def _plan_train(plan, preset, ids):
    few = plan.rng.integers(preset.few_least, 4, preset.few_ids)
    many = spread(
        plan.rng,
        preset.train_images - int(few.sum()),
        np.full(preset.train_ids - preset.few_ids, 4),
        preset.most_images,
    )
    for index, count in enumerate([*few.tolist(), *many.tolist()]):
        cameras = _pick_cameras(plan.rng, preset, min(count, int(plan.rng.integers(2, 7))))
        for camera in _share_out(plan.rng, count, cameras):
            plan.add(TRAIN_FOLDER, ids[index], index, camera)


def _cameras_of_test_ids(preset, rng):
    counts = spread(rng, preset.query_images, np.full(preset.test_ids, 2), preset.cameras)
    return [_pick_cameras(rng, preset, count) for count in counts.tolist()]


def _plan_gallery(plan, preset, ids, views):
    least = np.array([len(cameras) for cameras in views])
    good = spread(plan.rng, preset.good_images, least, preset.most_images)
    for index, (count, cameras) in enumerate(zip(good.tolist(), views)):
        for camera in _share_out(plan.rng, count, cameras):
            plan.add(TEST_FOLDER, ids[index], preset.train_ids + index, camera)
    first = preset.train_ids + preset.test_ids
    for index in range(preset.distractor_images):
        camera = plan.rng.integers(1, preset.cameras + 1)
        plan.add(TEST_FOLDER, 0, first + index // 3, camera)
    for _ in range(preset.junk_images):
        person = preset.train_ids + int(plan.rng.integers(preset.test_ids))
        camera = plan.rng.integers(1, preset.cameras + 1)
        plan.add(TEST_FOLDER, -1, person, camera, junk=True)


def spread(rng, total, least, most) -> np.ndarray:
    """Return unequal whole numbers that add up to `total`, each within `least`[i]..`most`.

    The shares follow a gamma distribution, as the images per person of a real set do.

    Args:
      rng: random stream.
      total: the sum.
      least: int [N], smallest value of each.
      most: largest value of any.

    Raises:
      ValueError: no such numbers exist.
    """
    if not least.sum() <= total <= most * len(least):
        raise ValueError(f"cannot spread {total} over {len(least)} within {least.sum()}..{most}")
    weights = rng.gamma(2.0, size=len(least))
    counts = least.copy()
    while counts.sum() < total:
        weights[counts >= most] = 0
        free = total - counts.sum()
        share = np.floor(weights / weights.sum() * free).astype(int)
        if share.sum() == 0:
            share[rng.choice(np.flatnonzero(weights))] = 1
        counts = np.minimum(counts + share, most)
    return counts


def _pick_cameras(rng, preset, count):
    return rng.permutation(preset.cameras)[:count] + 1


def _share_out(rng, count, cameras):
    """Return `count` cameras, each of `cameras` at least once, sorted."""
    rest = rng.choice(cameras, count - len(cameras))
    return sorted([*cameras.tolist(), *rest.tolist()])
