"""Drawing a synthetic person: body, clothes, hair, bag and shoes, painted from far to near."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image, ImageDraw

from daaf_tf.data.synthetic_brush import Brush, shade
from daaf_tf.data.synthetic_person import Person
from daaf_tf.data.synthetic_pose import SIDES, Skeleton

_HEM = {"waist": 1.02, "hip": 1.25, "coat": 1.95}
_EYES = (58, 40, 36)
_FAR = 0.85  # the leg or arm on the far side lies in the shade of the body


def draw_person(canvas: Image.Image, person: Person, skeleton: Skeleton) -> None:
    """Paint a person on an RGB or RGBA canvas; on RGBA its alpha becomes the silhouette."""
    brush = Brush(ImageDraw.Draw(canvas), skeleton, person.breadth)
    parts = sorted(_list_parts(brush, person), key=lambda part: part[0])
    for _, paint, *side in parts:
        paint(brush, person, *side)


def _list_parts(brush, person) -> Iterator[tuple[float, Callable]]:
    """Return (depth, painter) of every part, with the side for arms, legs and hands."""
    for side, _ in SIDES:
        yield -2 + brush.depth(f"{side}_knee", f"{side}_ankle"), _paint_leg, side
        depth = brush.depth(f"{side}_elbow", f"{side}_wrist")
        # Only an arm well behind the trunk is covered by it; beside the trunk it is in front.
        yield (depth if depth < -0.045 else 0.1 + depth), _paint_arm, side
    if person.lower_kind == "skirt":
        yield -0.9, _paint_skirt
    yield 0.0, _paint_trunk
    yield 0.05, _paint_neck
    yield 2.0, _paint_head
    yield (-0.6 if brush.face > -0.1 else 3.0), _paint_hanging_hair
    yield from _list_bag(brush, person)


def _list_bag(brush, person):
    if person.bag_kind == "backpack":
        yield (-0.5 if brush.front > -0.25 else 1.0), _paint_backpack
        yield 0.01, _paint_backpack_straps
    elif person.bag_kind == "shoulder":
        behind = person.bag_side * brush.right > 0.3
        yield 0.02, _paint_strap
        yield (-0.02 if behind else 0.03), _paint_shoulder_bag
    elif person.bag_kind == "hand":
        side = "left" if person.bag_side > 0 else "right"
        yield brush.depth(f"{side}_hand"), _paint_hand_bag, side


# Body


def _paint_leg(brush, person, side):
    hip, knee, ankle, heel, toe = (
        brush.points[f"{side}_{joint}"] for joint in ("hip", "knee", "ankle", "heel", "toe")
    )
    light = _FAR if brush.depth(f"{side}_knee", f"{side}_ankle") < -0.02 else 1.0
    cloth, skin = shade(person.lower_color, light), shade(person.skin, light)
    width = person.leg_width
    if person.lower_kind != "trousers":
        brush.limb(knee, ankle, 0.034, 0.022, skin)
    brush.limb(heel, toe, 0.025, 0.024, shade(person.shoe_color, light))
    if person.lower_kind == "trousers":
        brush.limb(hip, knee, 0.058 * width, 0.042 * width, cloth)
        brush.limb(knee, ankle, 0.042 * width, 0.032 * width, cloth)
    elif person.lower_kind == "shorts":
        brush.limb(hip, knee, 0.061 * width, 0.050 * width, cloth)
    else:
        brush.limb(hip, knee, 0.048, 0.034, skin)


def _paint_skirt(brush, person):
    (left, top), (right, _) = brush.on_trunk(0.8, -1), brush.on_trunk(0.8, 1)
    knees = [brush.points[f"{side}_knee"] for side, _ in SIDES]
    low = 0.25 * brush.on_trunk(1)[1] + 0.75 * max(knee.y for knee in knees)
    widen, flare, inset = 0.03 * brush.px, 0.07 * brush.px, 0.02 * brush.px
    low_left = min(left - widen, min(knee.x for knee in knees) - flare)
    low_right = max(right + widen, max(knee.x for knee in knees) + flare)
    edge = ((left, top), (right, top), (low_right, low), (low_left, low))
    brush.draw.polygon(edge, fill=shade(person.lower_color, 0.74))
    low -= inset / 2
    inner = (brush.on_trunk(0.8, -0.8), brush.on_trunk(0.8, 0.8))
    inner += ((low_right - inset, low), (low_left + inset, low))
    brush.draw.polygon(inner, fill=person.lower_color)


def _paint_arm(brush, person, side):
    shoulder, elbow, wrist, hand = (
        brush.points[f"{side}_{joint}"] for joint in ("shoulder", "elbow", "wrist", "hand")
    )
    light = _FAR if brush.depth(f"{side}_elbow", f"{side}_wrist") < -0.06 else 1.0
    color = person.upper_color if person.sleeve_color == "upper" else person.accent_color
    cloth, skin = shade(color, 0.94 * light), shade(person.skin, light)
    wide = 0.5 + 0.5 * person.breadth
    brush.oval(hand, 0.021 * brush.px, 0.024 * brush.px, skin)
    brush.limb(elbow, wrist, 0.026 * wide, 0.019 * wide, skin)
    if person.sleeves == "none":
        brush.limb(shoulder, elbow, 0.032 * wide, 0.027 * wide, skin)
    elif person.sleeves == "short":
        brush.limb(shoulder, elbow, 0.030 * wide, 0.026 * wide, skin)
        middle = tuple(0.3 * a + 0.7 * b for a, b in zip(shoulder, elbow))
        brush.limb(shoulder, middle, 0.038 * wide, 0.037 * wide, cloth)
    else:
        brush.limb(elbow, wrist, 0.034 * wide, 0.027 * wide, cloth)
        brush.limb(shoulder, elbow, 0.039 * wide, 0.034 * wide, cloth)


def _paint_trunk(brush, person):
    hem = _HEM[person.length]
    if person.lower_kind != "skirt":
        brush.trunk_piece(0.9, 1.2, -0.98, 0.98, person.lower_color)
    brush.trunk_piece(-0.07, hem, -1, 1, person.upper_color)
    _paint_pattern(brush, person, hem)
    brush.trunk_piece(hem - 0.05, hem, -1, 1, shade(person.upper_color, 0.7))


def _paint_pattern(brush, person, hem):
    color, pattern = person.accent_color, person.pattern
    if pattern in ("stripes", "checks"):
        step, thickness = (0.22, 0.11) if pattern == "stripes" else (0.2, 0.04)
        for down in np.arange(0.06, hem - thickness, step).tolist():
            brush.trunk_piece(down, down + thickness, -1, 1, color)
    if pattern in ("pinstripes", "checks"):
        for across in (-0.72, -0.36, 0.0, 0.36, 0.72):
            brush.trunk_piece(0.0, hem, across - 0.06, across + 0.06, color)
    elif pattern == "half":
        brush.trunk_piece(0.5, hem, -1, 1, color)
    elif pattern == "band":
        brush.trunk_piece(0.22, 0.46, -1, 1, color)
    elif pattern == "open":
        _paint_on_one_side(brush, 1, (0.0, hem), 0.34, color)
    elif pattern == "print":
        _paint_on_one_side(brush, 1, (0.2, 0.55), 0.5, color)
    elif pattern == "back_print":
        _paint_on_one_side(brush, -1, (0.12, 0.6), 0.62, color)


def _paint_on_one_side(brush, sign, heights, half_width, color):
    """Paint something on the chest (sign 1) or the back (sign -1), if the camera sees that side."""
    front, right = sign * brush.front, sign * brush.right
    if front < -0.15:
        return
    middle, half = 0.85 * right, half_width * max(0.2, front)
    brush.trunk_piece(*heights, max(-1.0, middle - half), min(1.0, middle + half), color)


def _paint_neck(brush, person):
    color = shade(person.skin, 0.85)
    brush.stadium(
        brush.on_trunk(-0.02), brush.points["head"], 0.034 * brush.px, 0.03 * brush.px, color
    )


# Head


def _head_size(brush, person):
    """Return the half axes of the head in pixels."""
    return 0.055 * person.head * brush.px, 0.070 * person.head * brush.px


def _paint_head(brush, person):
    head, (wide, high) = brush.points["head"], _head_size(brush, person)
    if person.hair_style == "hood":
        place = (head.x, head.y + 0.1 * high)
        brush.oval(place, 1.22 * wide, 1.18 * high, shade(person.upper_color, 0.72))
    hair = {"bald": person.skin, "hood": shade(person.upper_color, 0.9)}
    brush.oval(head, wide, high, hair.get(person.hair_style, person.hair_color))
    if brush.face > -0.6:
        _paint_face(brush, person)
    if person.hair_style == "cap":
        _paint_cap(brush, person)


def _paint_face(brush, person):
    head, (wide, high) = brush.points["head"], _head_size(brush, person)
    if person.hair_style in ("short", "bald", "cap"):
        for ear in sorted({"left_ear", "right_ear"} - brush.hidden):
            brush.oval(brush.points[ear], 0.16 * wide, 0.2 * high, shade(person.skin, 0.85))
    half = wide * (0.44 + 0.44 * brush.face)
    middle = (head.x + brush.face_right * (wide - 0.9 * half), head.y + 0.16 * high)
    brush.oval(middle, half, 0.84 * high, person.skin)
    for eye in sorted({"left_eye", "right_eye"} - brush.hidden):
        brush.oval(brush.points[eye], 0.15 * wide, 0.09 * high, _EYES)
    if "nose" not in brush.hidden:
        nose = brush.points["nose"]
        brush.oval(nose, 0.12 * wide, 0.14 * high, shade(person.skin, 0.78))
        mouth = (nose.x - 0.05 * wide * brush.face_right, nose.y + 0.36 * high)
        half = 0.26 * wide * max(0.3, brush.face)
        brush.oval(mouth, half, 0.06 * high, shade(person.skin, 0.55))


def _paint_hanging_hair(brush, person):
    head, (wide, high) = brush.points["head"], _head_size(brush, person)
    if person.hair_style == "long":
        x = head.x - 0.35 * brush.face_right * high
        end = (x, brush.on_trunk(0.22)[1])
        brush.stadium((x, head.y), end, 0.84 * high, 0.7 * high, shade(person.hair_color, 0.9))
    elif person.hair_style == "tail":
        start = (head.x - 0.95 * brush.face_right * wide, head.y - 0.1 * high)
        end = (head.x - 1.3 * brush.face_right * wide, head.y + 1.5 * high)
        brush.stadium(start, end, 0.34 * wide, 0.26 * wide, shade(person.hair_color, 0.8))


def _paint_cap(brush, person):
    head, (wide, high) = brush.points["head"], _head_size(brush, person)
    w, h = 1.06 * wide, 1.06 * high
    dome = (head.x - w, head.y - h, head.x + w, head.y + 0.75 * h)
    brush.draw.pieslice(dome, 180, 360, fill=person.hat_color)
    if brush.face > -0.4:
        peak = (head.x + brush.face_right * 0.95 * wide, head.y - 0.12 * high)
        half = wide * (0.5 + 0.45 * abs(brush.face))
        brush.oval(peak, half, 0.13 * high, shade(person.hat_color, 0.6))


# Bags


def _paint_backpack(brush, person):
    x, y = brush.on_trunk(0.44)
    place = (x - 0.11 * brush.right * brush.px, y)
    brush.bag(place, 0.05 + 0.045 * abs(brush.front), 0.15, person.bag_color)


def _paint_backpack_straps(brush, person):
    if brush.front < -0.25:
        return
    color = shade(person.bag_color, 0.8)
    for sign in (-1, 1):
        across = 0.5 * brush.right + sign * 0.55 * brush.front
        brush.line(brush.on_trunk(-0.02, 0.85 * across), brush.on_trunk(0.6, across), 0.02, color)


def _find_hip_bag(brush, person):
    x, y = brush.on_trunk(1.12)
    return x + person.bag_side * brush.front * 0.115 * person.breadth * brush.px, y


def _paint_strap(brush, person):
    start = brush.on_trunk(-0.02, -0.6 * person.bag_side * brush.front)
    brush.line(start, _find_hip_bag(brush, person), 0.016, shade(person.bag_color, 0.7))


def _paint_shoulder_bag(brush, person):
    width = 0.045 + 0.03 * abs(brush.right)
    brush.bag(_find_hip_bag(brush, person), width, 0.07, person.bag_color)


def _paint_hand_bag(brush, person, side):
    hand = brush.points[f"{side}_hand"]
    handle = (hand.x, hand.y + 0.05 * brush.px)
    brush.line(hand, handle, 0.014, shade(person.bag_color, 0.6))
    place = (hand.x, hand.y + 0.12 * brush.px)
    brush.bag(place, 0.05 + 0.03 * abs(brush.right), 0.075, person.bag_color)
