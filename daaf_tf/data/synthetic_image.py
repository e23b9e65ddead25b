"""One image of the synthetic set with its truth: the person in a place, seen by a camera.

Everything is drawn on a canvas of 256 x 128 pixels, the size of the keypoint maps, and reduced to
the image's 128 x 64. Canvas coordinates count pixels; pixel centres are whole numbers.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from daaf_tf import schema
from daaf_tf.data.synthetic_figure import draw_person
from daaf_tf.data.synthetic_person import make_passer_by, make_person
from daaf_tf.data.synthetic_plan import ImageSpec, Kind, Recipe, make_rng
from daaf_tf.data.synthetic_pose import Pose, project
from daaf_tf.data.synthetic_scene import (
    PLACES,
    SCENE_HEIGHT,
    SCENE_WIDTH,
    make_camera,
    make_scene,
    paint_occluder,
)

WIDTH, HEIGHT = 128, 256
# An occluder that leaves less of the person than this makes junk of a picture.
_LEAST_VISIBLE = 0.5


class Rendered(NamedTuple):
    """A drawn image and its truth.

    A joint is visible unless it lies outside the image, behind an occluder, or (nose, eyes, ears)
    on the far side of the head. One that is only covered by the person's own arm or bag counts as
    visible: pose estimators place it, and the maps of the real set hold it.
    """

    image: Image.Image  # RGB, 64 wide, 128 high
    mask: Image.Image  # grey, same size: 255 where the person is visible
    joints: np.ndarray  # float64 [17, 2]: x, y on the canvas, COCO order
    visible: np.ndarray  # bool [17]


class _Walk(NamedTuple):
    """What stays while one person walks past one camera once."""

    place: int
    left: float
    bottom: float
    zoom: float
    yaw: float
    stride: float
    arms: str
    arm_side: int


class _Framing(NamedTuple):
    """Where the person stands on the canvas, and how many occluders a junk image has."""

    x: float
    y: float
    scale: float
    occluders: int = 0


def render(recipe: Recipe, spec: ImageSpec) -> Rendered:
    """Draw one image of the plan; a pure function of its arguments."""
    rng = make_rng(recipe.seed, Kind.IMAGE, spec.number)
    walk = _make_walk(recipe, spec)
    camera = make_camera(recipe, spec.camera)
    framing = _junk_framing(rng) if spec.junk else _good_framing(recipe.difficulty, rng)
    canvas = _background(recipe, spec.camera, walk, rng)
    _draw_bystanders(canvas, recipe, framing, camera.pitch, rng)
    _draw_shadow(canvas, framing, camera.light)
    person = make_person(recipe, spec.person)
    figure = Image.new("RGBA", canvas.size)
    skeleton = _draw(figure, person, _make_pose(walk, rng), framing, camera.pitch)
    silhouette = figure.getchannel("A")
    occluders = _draw_occluders(recipe, spec.junk, framing, camera.pitch, silhouette, rng)
    covered = occluders.getchannel("A")
    canvas.paste(figure, mask=silhouette)
    canvas.paste(occluders, mask=covered)
    silhouette.paste(0, mask=covered)
    joints = np.array([skeleton.points[name][:2] for name in schema.JOINTS])
    mask = silhouette.reduce(2)
    image = _photograph(canvas.reduce(2), mask, recipe.difficulty, camera, rng)
    return Rendered(image, mask, joints, _visible(joints, skeleton.hidden, covered))


def _make_walk(recipe, spec):
    difficulty = recipe.difficulty
    rng = make_rng(recipe.seed, Kind.WALK, spec.person, spec.camera, spec.sequence)
    turn = rng.random()
    if turn < difficulty.front_share:
        yaw = 0.0
    elif turn < difficulty.front_share + difficulty.back_share:
        yaw = math.pi
    else:
        yaw = math.pi / 2 * rng.choice((-1, 1))
    zoom = rng.uniform(0.7, 1.3)
    return _Walk(
        place=int(rng.integers(PLACES)),
        left=rng.uniform(0, SCENE_WIDTH - WIDTH * zoom),
        bottom=rng.uniform(0.72, 1.0) * SCENE_HEIGHT,
        zoom=zoom,
        yaw=yaw + rng.normal(0, 0.22),
        stride=0.0 if rng.random() < 0.15 else rng.uniform(0.25, 0.55),
        arms=str(rng.choice(("swing", "swing", "swing", "phone", "carry", "pockets"))),
        arm_side=int(rng.choice((-1, 1))),
    )


def _make_pose(walk, rng):
    return Pose(
        yaw=walk.yaw + rng.normal(0, 0.15),
        phase=rng.uniform(0, 2 * math.pi),
        stride=walk.stride * rng.uniform(0.8, 1.1),
        arms=walk.arms,
        arm_side=walk.arm_side,
        lean=rng.normal(0, 0.025),
        head_yaw=rng.normal(0, 0.25),
    )


def _good_framing(difficulty, rng):
    error = difficulty.framing
    scale = 0.92 * HEIGHT * (1 + error * rng.normal())
    x = WIDTH / 2 + 0.5 * error * HEIGHT * rng.normal()
    y = 0.5 * (HEIGHT + 0.94 * scale) + 0.8 * error * HEIGHT * rng.normal()
    return _Framing(float(x), float(y), float(scale))


def _junk_framing(rng):
    kind = rng.integers(4)
    if kind == 0:  # a part of a body
        scale = rng.uniform(1.8, 3.0) * HEIGHT
        return _Framing(rng.uniform(20, 108), HEIGHT * 0.5 + scale * rng.uniform(0.1, 0.9), scale)
    if kind == 1:  # half outside
        x = WIDTH / 2 + rng.choice((-1, 1)) * rng.uniform(48, 70)
        return _Framing(float(x), rng.uniform(225, 300), rng.uniform(190, 260))
    if kind == 2:  # far away
        scale = rng.uniform(0.25, 0.45) * HEIGHT
        return _Framing(rng.uniform(20, 108), rng.uniform(scale, HEIGHT), scale)
    x, y, scale = rng.uniform(50, 78), rng.uniform(235, 255), rng.uniform(200, 235)
    return _Framing(x, y, scale, occluders=int(rng.integers(3, 6)))  # behind things


def _background(recipe, camera, walk, rng):
    scene = make_scene(recipe, camera, walk.place)
    width, height = WIDTH * walk.zoom, HEIGHT * walk.zoom
    left = min(max(0.0, walk.left + rng.normal(0, 90)), SCENE_WIDTH - width)
    top = max(0.0, walk.bottom - height + rng.normal(0, 6))
    box = (left, top, left + width, min(SCENE_HEIGHT, top + height))
    return scene.resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR, box=box)


def _draw(canvas, person, pose, framing, pitch):
    skeleton = project(person, pose, x=framing.x, y=framing.y, scale=framing.scale, pitch=pitch)
    draw_person(canvas, person, skeleton)
    return skeleton


def _draw_bystanders(canvas, recipe, framing, pitch, rng):
    """Draw the people behind the person: smaller, and higher up as the ground is."""
    if rng.random() >= recipe.difficulty.bystander_share:
        return
    for _ in range(int(rng.choice((1, 1, 1, 2)))):
        size = rng.uniform(0.5, 0.95)
        x = framing.x + rng.choice((-1, 1)) * rng.uniform(22, 62)
        y = framing.y - (1 - size) * 0.3 * framing.scale
        _draw_passer_by(canvas, recipe, _Framing(x, y, size * framing.scale), pitch, rng)


def _draw_passer_by(canvas, recipe, framing, pitch, rng):
    yaw, phase = rng.uniform(0, 2 * math.pi, 2)
    pose = Pose(yaw, phase, rng.uniform(0, 0.5), arms="swing", arm_side=1, lean=0, head_yaw=0)
    _draw(canvas, make_passer_by(recipe, rng), pose, framing, pitch)


def _draw_shadow(canvas, framing, light):
    w, h = 0.13 * framing.scale, 0.025 * framing.scale
    x, y = framing.x - 0.09 * light * framing.scale, framing.y - 0.02 * framing.scale
    draw = ImageDraw.Draw(canvas, "RGBA")
    draw.ellipse((x - w, y - h, x + w, y + h), fill=(15, 15, 25, 90))


def _draw_occluders(recipe, junk, framing, pitch, silhouette, rng):
    """Return what stands before the person as an RGBA layer; it may be empty."""
    empty = Image.new("RGBA", (WIDTH, HEIGHT))
    layer = empty.copy()
    if junk:
        for _ in range(framing.occluders):
            _draw_occluder(layer, recipe, framing, 60, pitch, rng)
    elif rng.random() < recipe.difficulty.occluder_share:
        _draw_occluder(layer, recipe, framing, 150, pitch, rng)
        if not _leaves_enough(silhouette, layer):
            return empty
    return layer


def _draw_occluder(layer, recipe, framing, highest, pitch, rng):
    side = rng.choice((-1, 1))
    if rng.random() < 0.4:
        x, y = framing.x + side * rng.uniform(24, 46), framing.y + rng.uniform(4, 25)
        nearer = _Framing(x, y, 0.9 * HEIGHT * rng.uniform(1.0, 1.2))
        _draw_passer_by(layer, recipe, nearer, pitch, rng)
    else:
        x, top = framing.x + side * rng.uniform(4, 42), rng.uniform(highest, 215)
        paint_occluder(layer, rng, x=x, top=top)


def _leaves_enough(silhouette, occluders):
    before = np.asarray(silhouette.reduce(4), np.float32)
    free = 255 - np.asarray(occluders.getchannel("A").reduce(4), np.float32)
    return (before * free).sum() >= _LEAST_VISIBLE * 255 * before.sum()


def _visible(joints, hidden, covered):
    columns, rows = np.rint(joints).astype(int).T
    inside = (columns >= 0) & (columns < WIDTH) & (rows >= 0) & (rows < HEIGHT)
    visible = inside & [name not in hidden for name in schema.JOINTS]
    visible[inside] &= np.asarray(covered)[rows[inside], columns[inside]] == 0
    return visible


def _photograph(picture, mask, difficulty, camera, rng):
    """Return the picture as the camera gives it: sharpness, light, colours and noise."""
    picture = _lose_detail(picture, camera.resolution * rng.uniform(0.85, 1.15))
    pixels = np.asarray(picture, np.float32) / 255
    pixels = pixels * (_roundness(mask, camera.light) * _uneven_light(picture.size, rng))[..., None]
    grey = pixels.mean(axis=2, keepdims=True)
    pixels = grey + camera.saturation * (pixels - grey)
    exposure = camera.exposure * math.exp(difficulty.image_exposure * rng.normal())
    gain = exposure * np.asarray(camera.gain, np.float32)
    pixels = np.clip(pixels * gain, 0, None) ** np.float32(camera.gamma)
    noise = rng.standard_normal(pixels.shape, np.float32) * np.float32(camera.noise)
    return Image.fromarray(np.clip(pixels * 255 + noise, 0, 255).astype(np.uint8))


def _lose_detail(picture, resolution):
    if resolution >= 0.97:
        return picture
    width, height = (max(8, round(size * resolution)) for size in picture.size)
    small = picture.resize((width, height), Image.Resampling.BILINEAR)
    return small.resize(picture.size, Image.Resampling.BICUBIC)


def _roundness(mask, light):
    """Return the light [h, w] on a body: bright on the side of the light, dark on the other."""
    soft = np.asarray(mask.filter(ImageFilter.BoxBlur(2)), np.float32) / 255
    slope = np.zeros_like(soft)
    slope[:, 2:-2] = soft[:, :-4] - soft[:, 4:]
    return 1 + 0.28 * light * slope * (np.asarray(mask, np.float32) / 255)


def _uneven_light(size, rng):
    width, height = size
    across, down = rng.normal(0, 0.10), rng.normal(0, 0.08)
    columns = np.linspace(-1, 1, width, dtype=np.float32) * np.float32(across)
    rows = np.linspace(-1, 1, height, dtype=np.float32) * np.float32(down)
    return 1 + rows[:, None] + columns[None, :]
