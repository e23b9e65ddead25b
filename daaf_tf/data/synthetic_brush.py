"""A brush that paints limbs, pieces of clothing and bags over a projected skeleton.

Lengths are in body heights unless a name ends in `px`; places are canvas pixels.
"""

from __future__ import annotations

import math

import numpy as np
from PIL import ImageDraw

from daaf_tf.data.synthetic_pose import Skeleton

# Outline of the trunk: place between shoulder line (0) and hip line (1), half width, half depth.
_TRUNK = np.array(
    [
        (-0.07, 0.042, 0.040),
        (0.00, 0.100, 0.055),
        (0.10, 0.114, 0.064),
        (0.40, 0.104, 0.072),
        (0.72, 0.086, 0.064),
        (1.00, 0.096, 0.072),
        (1.25, 0.104, 0.078),
        (2.00, 0.125, 0.105),
    ]
)
_RIM = 0.74


def shade(color: tuple, factor: float) -> tuple:
    """Return a colour made darker (factor below 1) or lighter."""
    return tuple(min(255, max(0, round(value * factor))) for value in color)


class Brush:
    """Paints shapes on one canvas and knows the places of one body.

    Attributes:
      points: the skeleton's points.
      px: pixels per body height.
      front, right: where the body faces: towards the camera (1) or away (-1), to the image's right.
      face, face_right: the same of the head.
      hidden: joints of the face that cannot be seen.
    """

    def __init__(self, draw: ImageDraw.ImageDraw, skeleton: Skeleton, breadth: float):
        """Make a brush for a body of the given relative breadth."""
        self.draw = draw
        self.points = skeleton.points
        self.px = skeleton.scale
        self.front, self.right = math.cos(skeleton.yaw), math.sin(skeleton.yaw)
        self.face, self.face_right = math.cos(skeleton.head_yaw), math.sin(skeleton.head_yaw)
        self.hidden = skeleton.hidden
        self._shoulders, self._hips = self._middle("shoulder"), self._middle("hip")
        half = np.hypot(_TRUNK[:, 1] * self.front, _TRUNK[:, 2] * self.right)
        self._half_px = half * breadth * self.px

    def depth(self, *names: str) -> float:
        """Return how much nearer than the trunk some points are on average."""
        return sum(self.points[name].depth for name in names) / len(names)

    def on_trunk(self, down: float, across: float = 0.0) -> tuple[float, float]:
        """Return a place: `down` 0 shoulders .. 1 hips, `across` -1 image left .. 1 right edge."""
        half = float(np.interp(down, _TRUNK[:, 0], self._half_px))
        (sx, sy), (hx, hy) = self._shoulders, self._hips
        return sx + down * (hx - sx) + across * half, sy + down * (hy - sy)

    def trunk_piece(self, top, bottom, left, right, color) -> None:
        """Paint the part of the trunk between two heights and two places across."""
        inner = [down for down in _TRUNK[:, 0].tolist() if top < down < bottom]
        levels = [top, *inner, bottom]
        edge = [self.on_trunk(down, left) for down in levels]
        edge += [self.on_trunk(down, right) for down in reversed(levels)]
        self.draw.polygon(edge, fill=color)

    def limb(self, start, end, start_radius, end_radius, color) -> None:
        """Paint a rounded, tapering limb with a darker rim, so that limbs stay apart."""
        for share, tone in ((1.0, shade(color, _RIM)), (0.72, color)):
            radii = share * start_radius * self.px, share * end_radius * self.px
            self.stadium(start, end, *radii, tone)

    def stadium(self, start, end, start_px, end_px, color) -> None:
        """Paint two discs and what lies between them."""
        (ax, ay), (bx, by) = start[:2], end[:2]
        length = math.hypot(bx - ax, by - ay)
        if length > 0.5:
            nx, ny = (ay - by) / length, (bx - ax) / length
            corners = (
                (ax + nx * start_px, ay + ny * start_px),
                (bx + nx * end_px, by + ny * end_px),
                (bx - nx * end_px, by - ny * end_px),
                (ax - nx * start_px, ay - ny * start_px),
            )
            self.draw.polygon(corners, fill=color)
        self.oval(start, start_px, start_px, color)
        self.oval(end, end_px, end_px, color)

    def oval(self, center, width_px, height_px, color) -> None:
        """Paint an ellipse by its half axes."""
        x, y = center[:2]
        self.draw.ellipse((x - width_px, y - height_px, x + width_px, y + height_px), fill=color)

    def bag(self, center, width, height, color) -> None:
        """Paint a rounded box by its half sides, with a darker rim and a flap."""
        (x, y), w, h = center, width * self.px, height * self.px
        rim = shade(color, 0.6)
        self.draw.rounded_rectangle((x - w, y - h, x + w, y + h), 0.3 * min(w, h), rim)
        w, h = max(0.6, w - 1.5), max(0.6, h - 1.5)
        self.draw.rounded_rectangle((x - w, y - h, x + w, y + h), 0.3 * min(w, h), color)
        self.draw.line((x - w, y - 0.25 * h, x + w, y - 0.25 * h), fill=rim, width=2)

    def line(self, start, end, thickness, color) -> None:
        """Paint a strap."""
        width = max(1, round(thickness * self.px))
        self.draw.line((*start[:2], *end[:2]), fill=color, width=width)

    def _middle(self, joint):
        left, right = self.points[f"left_{joint}"], self.points[f"right_{joint}"]
        return (left.x + right.x) / 2, (left.y + right.y) / 2
