"""Where the picture is taken: cameras with colours of their own, and the places they look at.

Each camera sees three places. A place is drawn once and crops are cut from it, so the background
carries the camera, as it does in a real set; its clutter wears the colours of clothes.
"""

from __future__ import annotations

import dataclasses
import functools
import math

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance

from daaf_tf.data.synthetic_brush import shade
from daaf_tf.data.synthetic_person import CLOTHES_COLORS
from daaf_tf.data.synthetic_plan import Kind, Recipe, make_rng

PLACES = 3
SCENE_WIDTH, SCENE_HEIGHT = 1024, 512
WALLS = ("bricks", "windows", "hedge", "stalls", "panels", "shutters")
GROUNDS = ("tiles", "asphalt", "paving", "grass", "planks", "crossing")


@dataclasses.dataclass(frozen=True)
class Camera:
    """What one camera does to every picture."""

    gain: tuple[float, float, float]
    exposure: float
    gamma: float
    saturation: float
    noise: float  # standard deviation in grey levels
    quality: int  # of the JPEG
    resolution: float  # share of the pixels that are real
    pitch: float  # looks down by so many radians
    light: int  # 1: light comes from the right, -1: from the left


@functools.lru_cache(maxsize=64)
def make_camera(recipe: Recipe, camera: int) -> Camera:
    """Return the camera of a number 1.. ; any two of six differ in hue by construction."""
    difficulty, rng = recipe.difficulty, make_rng(recipe.seed, Kind.CAMERA, camera)
    start = make_rng(recipe.seed, Kind.CAMERA).random()
    hue = 2 * math.pi * (start + camera / 6)
    cast = difficulty.camera_cast
    gain = tuple(1 + cast * math.cos(hue + 2 * math.pi * channel / 3) for channel in range(3))
    exposure = 1 + difficulty.camera_exposure * math.cos(2 * math.pi * (start + 5 * camera / 12))
    return Camera(
        gain=gain,
        exposure=exposure,
        gamma=float(rng.uniform(0.85, 1.25)),
        saturation=float(rng.uniform(0.65, 1.1)),
        noise=float(rng.uniform(2, 7)),
        quality=int(rng.integers(60, 93)),
        resolution=float(rng.uniform(difficulty.lowest_resolution, 1)),
        pitch=float(rng.uniform(0.08, 0.35)),
        light=int(rng.choice((-1, 1))),
    )


@functools.lru_cache(maxsize=24)
def make_scene(recipe: Recipe, camera: int, place: int) -> Image.Image:
    """Return one place of a camera as an RGB picture, drawn once per process."""
    rng = make_rng(recipe.seed, Kind.SCENE, camera, place)
    start = int(make_rng(recipe.seed, Kind.SCENE).integers(6))
    scene = Image.new("RGB", (SCENE_WIDTH, SCENE_HEIGHT))
    painter = _Painter(scene, rng)
    horizon = int(rng.uniform(0.34, 0.5) * SCENE_HEIGHT)
    painter.ground(GROUNDS[(start + camera + place) % 6], horizon)
    painter.wall(WALLS[(start + camera + 2 * place) % 6], horizon)
    rows = rng.uniform(horizon + 5, SCENE_HEIGHT - 40, recipe.difficulty.clutter)
    for row in np.sort(rows).tolist():
        painter.thing(row, horizon)
    return _textured(ImageEnhance.Color(scene).enhance(recipe.difficulty.place_saturation), rng)


def paint_occluder(canvas: Image.Image, rng, *, x: float, top: float) -> None:
    """Paint something that stands in front of a person on a transparent canvas.

    Args:
      canvas: RGBA.
      rng: random stream.
      x: column of its middle in pixels.
      top: row of the top of a low thing; a post goes through the whole height.
    """
    painter, bottom = _Painter(canvas, rng), canvas.height
    color = shade(painter.color(), 0.9)
    kind = rng.integers(4)
    if kind == 0:
        half = rng.uniform(7, 17)
        painter.post(x, 0, bottom, half, color)
    elif kind == 1:
        painter.car(x, bottom + 20, rng.uniform(0.5, 0.75) * (bottom - top) * 2, color)
    elif kind == 2:
        painter.bush(x, bottom + 10, bottom - top, color)
    else:
        half = rng.uniform(18, 40)
        painter.box(x - half, top, x + half, bottom + 5, color)


class _Painter:
    """Draws walls, grounds and the things that stand about."""

    def __init__(self, canvas, rng):
        self.draw = ImageDraw.Draw(canvas)
        self.rng = rng
        picks = rng.permutation(len(CLOTHES_COLORS))[:7]
        self.palette = [CLOTHES_COLORS[index] for index in picks]

    def color(self):
        """Return a colour of this place, a little varied."""
        base = self.palette[int(self.rng.integers(len(self.palette)))]
        return shade(base, self.rng.uniform(0.7, 1.2))

    def muted(self, strength=0.3):
        """Return a building's colour: grey with some of the place's palette."""
        grey = self.rng.uniform(90, 190)
        return tuple(round(grey * (1 - strength) + strength * value) for value in self.color())

    # Walls, above the horizon

    def wall(self, kind, horizon):
        """Cover the upper part of the picture."""
        left = 0
        base = self.muted()
        self.draw.rectangle((0, 0, SCENE_WIDTH, horizon), fill=base)
        while left < SCENE_WIDTH:
            right = left + int(self.rng.uniform(60, 240))
            getattr(self, f"_{kind}")(left, right, horizon, shade(base, self.rng.uniform(0.8, 1.2)))
            left = right
        self.draw.line((0, horizon, SCENE_WIDTH, horizon), fill=shade(base, 0.5), width=4)

    def _bricks(self, left, right, bottom, base):
        self.draw.rectangle((left, 0, right, bottom), fill=base)
        for row, y in enumerate(range(0, bottom, 12)):
            self.draw.line((left, y, right, y), fill=shade(base, 0.75), width=2)
            for x in range(left + (row % 2) * 12, right, 24):
                self.draw.line((x, y, x, y + 12), fill=shade(base, 0.75), width=2)
        if self.rng.random() < 0.6:
            self._poster(left + 15, bottom - int(self.rng.uniform(60, 130)))

    def _windows(self, left, right, bottom, base):
        self.draw.rectangle((left, 0, right, bottom), fill=base)
        size = int(self.rng.uniform(28, 60))
        glass = shade(self.color(), 0.8)
        for x in range(left + 8, right - size, size + 10):
            for y in range(6, bottom - size, size + 14):
                tone = shade(glass, self.rng.uniform(0.6, 1.3))
                self.draw.rectangle((x, y, x + size, y + size), tone, shade(base, 0.5), 3)

    def _hedge(self, left, right, bottom, base):
        green = shade((70, 105, 60), self.rng.uniform(0.7, 1.2))
        self.draw.rectangle((left, 0, right, bottom), fill=green)
        for _ in range((right - left) // 2):
            x, y = self.rng.uniform(left, right), self.rng.uniform(0, bottom)
            self._blob(x, y, self.rng.uniform(5, 16), shade(green, self.rng.uniform(0.6, 1.5)))

    def _stalls(self, left, right, bottom, base):
        self.draw.rectangle((left, 0, right, bottom), fill=shade(base, 0.6))
        one, other = self.color(), self.color()
        for index, x in enumerate(range(left, right, 16)):
            self.draw.rectangle((x, 30, x + 16, 80), fill=one if index % 2 else other)
        for y in range(90, bottom, 26):
            for x in range(left, right - 12, 18):
                self.draw.rectangle((x + 2, y + 3, x + 16, y + 24), fill=self.color())

    def _panels(self, left, right, bottom, base):
        step = int(self.rng.uniform(14, 44))
        for x in range(left, right, step):
            tone = shade(base, self.rng.uniform(0.75, 1.2))
            self.draw.rectangle((x, 0, x + step, bottom), tone, shade(base, 0.6))
        self._poster(left + 10, bottom - int(self.rng.uniform(70, 150)))

    def _shutters(self, left, right, bottom, base):
        tone = shade(self.color(), 0.9)
        self.draw.rectangle((left, 0, right, bottom), fill=base)
        self.draw.rectangle((left + 12, 30, right - 12, bottom), fill=tone)
        for y in range(30, bottom, 9):
            self.draw.line((left + 12, y, right - 12, y), fill=shade(tone, 0.72), width=3)

    def _poster(self, x, y):
        w, h = self.rng.uniform(25, 60, 2)
        self.draw.rectangle((x, y, x + w, y + h), self.color(), (40, 40, 40), 2)
        self._blob(x + w / 2, y + h / 2, min(w, h) / 3, self.color())

    # Grounds, below it

    def ground(self, kind, horizon):
        """Cover the lower part of the picture."""
        base = self.muted(0.25)
        if kind == "grass":
            base = shade((96, 124, 72), self.rng.uniform(0.8, 1.2))
        self.draw.rectangle((0, horizon, SCENE_WIDTH, SCENE_HEIGHT), fill=base)
        line = shade(base, self.rng.choice((0.75, 1.25)))
        rows = self._rows(horizon)
        if kind == "asphalt":
            self._patches(horizon, base, 40)
        elif kind == "grass":
            self._patches(horizon, base, 120)
        elif kind == "crossing":
            for x in range(0, SCENE_WIDTH, 70):
                y = rows[2]
                corners = ((x, y), (x + 34, y), (x + 10, SCENE_HEIGHT), (x - 40, SCENE_HEIGHT))
                self.draw.polygon(corners, fill=shade((205, 205, 200), 0.9))
        else:
            for y in rows:
                self.draw.line((0, y, SCENE_WIDTH, y), fill=line, width=2)
            if kind != "planks":
                self._fan(horizon, line, 60 if kind == "tiles" else 110)

    def _rows(self, horizon):
        return [horizon + int(6 * 1.35**step) for step in range(12)]

    def _fan(self, horizon, color, step):
        for x in range(-1200, 2400, step):
            away = SCENE_WIDTH / 2 + 0.4 * (x - SCENE_WIDTH / 2)
            self.draw.line((away, horizon, x, SCENE_HEIGHT), fill=color, width=2)

    def _patches(self, horizon, base, count):
        for _ in range(count):
            x, y = self.rng.uniform(0, SCENE_WIDTH), self.rng.uniform(horizon, SCENE_HEIGHT)
            w, h = self.rng.uniform(6, 50), self.rng.uniform(2, 9)
            tone = shade(base, self.rng.uniform(0.75, 1.25))
            self.draw.ellipse((x - w, y - h, x + w, y + h), fill=tone)

    # Things

    def thing(self, y, horizon):
        """Put one thing on the ground at row `y`, larger the nearer it stands."""
        x, size = self.rng.uniform(0, SCENE_WIDTH), 60 + y - horizon
        kind, color = self.rng.integers(7), self.color()
        if kind == 0:
            self.post(x, y - 1.4 * size, y, 0.035 * size, color)
        elif kind == 1:
            self.car(x, y, 1.3 * size, color)
        elif kind == 2:
            self.bush(x, y, 0.45 * size, shade((60, 110, 60), self.rng.uniform(0.7, 1.3)))
        elif kind == 3:
            self.box(x - 0.18 * size, y - 0.4 * size, x + 0.18 * size, y, color)
        elif kind == 4:
            self.bicycle(x, y, 0.45 * size, color)
        elif kind == 5:
            self.sign(x, y, size, color)
        else:
            self.dummy(x, y, size, color)

    def _blob(self, x, y, radius, color):
        self.draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=color)

    def post(self, x, top, bottom, half, color):
        """Paint a post, a lamp's or a tree's."""
        self.draw.rectangle((x - half, top, x + half, bottom), fill=shade(color, 0.65))
        self.draw.rectangle((x - 0.6 * half, top, x + 0.3 * half, bottom), fill=color)

    def car(self, x, bottom, length, color):
        """Paint a parked car from the side."""
        half, high = length / 2, length * 0.36
        roof = ((-0.6, -0.55), (-0.35, -1), (0.35, -1), (0.65, -0.55))
        roof = [(x + across * half, bottom + up * high) for across, up in roof]
        self.draw.polygon(roof, fill=shade((90, 110, 125), 0.7))
        body = (x - half, bottom - 0.6 * high, x + half, bottom - 0.12 * high)
        self.draw.rounded_rectangle(body, 0.15 * high, color, shade(color, 0.6))
        for wheel in (x - 0.6 * half, x + 0.6 * half):
            self._blob(wheel, bottom - 0.12 * high, 0.16 * high, (32, 32, 34))

    def bush(self, x, bottom, size, color):
        """Paint a plant."""
        for _ in range(14):
            dx, dy = self.rng.normal(0, 0.3, 2) * size
            tone = shade(color, self.rng.uniform(0.6, 1.3))
            self._blob(x + dx, bottom - 0.5 * size + dy, 0.2 * size, tone)

    def box(self, left, top, right, bottom, color):
        """Paint a bin or a pile of boxes."""
        self.draw.rectangle((left, top, right, bottom), color, shade(color, 0.55), 3)
        middle = top + 0.3 * (bottom - top)
        self.draw.rectangle((left + 3, middle, right - 3, middle + 6), fill=shade(color, 1.4))

    def bicycle(self, x, y, size, color):
        """Paint a bicycle."""
        for wheel in (x - 0.55 * size, x + 0.55 * size):
            r = 0.36 * size
            self.draw.ellipse((wheel - r, y - 2 * r, wheel + r, y), outline=(40, 40, 42), width=3)
        top = y - 0.85 * size
        frame = (x - 0.55 * size, y - 0.36 * size, x - 0.15 * size, top, x + 0.4 * size, top)
        self.draw.line((*frame, x + 0.55 * size, y - 0.36 * size), fill=color, width=4)

    def sign(self, x, y, size, color):
        """Paint a board on a pole."""
        self.post(x, y - size, y, 0.02 * size, (120, 120, 122))
        half = 0.16 * size
        self.draw.rectangle((x - half, y - size, x + half, y - 0.65 * size), color, (60, 60, 60), 2)

    def dummy(self, x, y, size, color):
        """Paint a far shape in clothes' colours that only looks like a person."""
        w = 0.09 * size
        self.draw.rectangle((x - 0.7 * w, y - 0.45 * size, x + 0.7 * w, y), fill=self.color())
        self.draw.rectangle((x - w, y - 0.82 * size, x + w, y - 0.42 * size), fill=color)
        self._blob(x, y - 0.9 * size, 0.07 * size, shade((200, 160, 130), 0.9))


def _textured(scene, rng):
    """Return the scene with coarse and fine grain and uneven light."""
    shape = (SCENE_HEIGHT, SCENE_WIDTH)
    coarse = rng.normal(0, 9, (SCENE_HEIGHT // 16, SCENE_WIDTH // 16)).astype(np.float32)
    coarse = np.asarray(Image.fromarray(coarse).resize(shape[::-1], Image.Resampling.BILINEAR))
    grain = coarse + rng.standard_normal(shape, np.float32) * 6
    pixels = np.asarray(scene, np.float32) + grain[..., None]
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
