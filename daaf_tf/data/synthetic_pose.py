"""How a synthetic person stands: a walking skeleton in three dimensions, seen by a camera.

Facing the camera, from behind and from the side are one skeleton turned about its upright axis, so
left and right swap sides as they do on people, and what is nearer is known.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from daaf_tf import schema

SIDES = (("left", 1), ("right", -1))
HEAD_JOINTS = schema.JOINTS[:5]


class Pose(NamedTuple):
    """A body at one moment. Angles are in radians."""

    yaw: float  # 0: faces the camera; pi: seen from behind; pi/2: walks to the image's right
    phase: float  # of the walk, 0..2 pi
    stride: float  # largest angle of the thigh; 0: stands
    arms: str  # "swing", "phone", "carry" or "pockets"
    arm_side: int  # 1: the left hand holds the phone
    lean: float  # sideways
    head_yaw: float  # of the head against the body


class Point(NamedTuple):
    """A place on the canvas in pixels (pixel centres are whole numbers)."""

    x: float
    y: float
    depth: float  # towards the camera along the ground, in body heights


class Skeleton(NamedTuple):
    """A projected body: what the figure is drawn from, and the truth about its joints."""

    points: dict[str, Point]
    hidden: frozenset[str]  # joints of the face that the head itself hides
    scale: float  # pixels per body height
    yaw: float
    head_yaw: float  # against the camera


def project(person, pose: Pose, *, x: float, y: float, scale: float, pitch: float) -> Skeleton:
    """Return the skeleton of a person on the canvas.

    Args:
      person: `Person`, for the proportions.
      pose: the body.
      x: column in pixels of the body's axis on the ground.
      y: row in pixels of the ground under the body.
      scale: pixels per body height of the average person.
      pitch: how far the camera looks down, in radians.
    """
    scale = scale * person.height
    head_yaw = pose.yaw + pose.head_yaw
    body = _body_points(person, pose)
    offsets = _head_offsets(person)
    turned = dict(zip(body, _turn(list(body.values()), pose.yaw, pitch, pose.lean)))
    center = np.asarray(turned["head"])
    directions = dict(zip(offsets, _turn(list(offsets.values()), head_yaw, pitch, pose.lean)))
    turned.update({name: center + offset for name, offset in directions.items()})
    points = {
        name: Point(x + scale * across, y - scale * up, _level_depth(up, near, pitch))
        for name, (across, up, near) in ((name, map(float, at)) for name, at in turned.items())
    }
    hidden = frozenset(
        name
        for name in HEAD_JOINTS
        if directions[name][2] < _hiding_depth(name) * np.linalg.norm(offsets[name])
    )
    return Skeleton(points, hidden, scale, pose.yaw, head_yaw)


def _level_depth(up, near, pitch):
    # Seen from above, a head is nearer than a foot; which part covers which is decided without it.
    return near * math.cos(pitch) - up * math.sin(pitch)


def _hiding_depth(name):
    # Ears sit on the side of the head and are seen from behind as well; nose and eyes are not.
    return -0.4 if name.endswith("ear") else -0.15


def _turn(points, yaw, pitch, lean):
    """Rotate person coordinates (left, up, forward) to the camera's (right, up, nearer)."""
    cy, sy, cp, sp = math.cos(yaw), math.sin(yaw), math.cos(pitch), math.sin(pitch)
    cl, sl = math.cos(lean), math.sin(lean)
    leaning = np.array([[cl, sl, 0], [-sl, cl, 0], [0, 0, 1]])
    yawing = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    pitching = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    return np.asarray(points) @ (pitching @ leaning @ yawing).T


def _head_offsets(person):
    """Return the joints of the face relative to the centre of the head."""
    r = 0.052 * person.head
    return {
        "nose": (0.0, -0.15 * r, 1.0 * r),
        "left_eye": (0.42 * r, 0.22 * r, 0.86 * r),
        "right_eye": (-0.42 * r, 0.22 * r, 0.86 * r),
        "left_ear": (0.98 * r, 0.05 * r, -0.1 * r),
        "right_ear": (-0.98 * r, 0.05 * r, -0.1 * r),
    }


def _body_points(person, pose):
    """Return named points in person coordinates: left, up, forward, in body heights."""
    hip_height = 0.50 * person.legs
    shoulder_height = hip_height + 0.315
    points = {
        "neck": (0.0, shoulder_height + 0.015, 0.0),
        "head": (0.0, shoulder_height + 0.05 + 0.068 * person.head, 0.015),
    }
    for side, sign in SIDES:
        points.update(_leg(person, pose, side, sign, hip_height))
        points.update(_arm(person, pose, side, sign, shoulder_height))
    # The lower foot stands on the ground.
    drop = min(points["left_ankle"][1], points["right_ankle"][1]) - 0.045
    return {name: (a, b - drop, c) for name, (a, b, c) in points.items()}


def _leg(person, pose, side, sign, hip_height):
    phase = pose.phase if sign > 0 else pose.phase + math.pi
    thigh = pose.stride * math.sin(phase) + 0.1 * pose.stride
    bend = pose.stride * (0.15 + 1.1 * max(0.0, math.cos(phase)))
    long = hip_height - 0.045
    hip = (sign * 0.068 * person.breadth, hip_height, 0.0)
    knee = _add(hip, 0.5 * long, sign * 0.02, thigh)
    ankle = _add(knee, 0.5 * long, sign * 0.015, thigh - bend)
    tilt = 0.35 * (thigh - bend)
    toe = (
        ankle[0] + sign * 0.018,
        ankle[1] - 0.025 - 0.07 * math.sin(-min(tilt, 0.0)),
        ankle[2] + 0.085,
    )
    heel = (ankle[0], ankle[1] - 0.02, ankle[2] - 0.015)
    return {
        f"{side}_hip": hip,
        f"{side}_knee": knee,
        f"{side}_ankle": ankle,
        f"{side}_toe": toe,
        f"{side}_heel": heel,
    }


def _arm(person, pose, side, sign, shoulder_height):
    phase = pose.phase if sign > 0 else pose.phase + math.pi
    swing, splay, bend, turn = -0.9 * pose.stride * math.sin(phase), 0.14, 0.25 + pose.stride, 0.08
    if pose.arms == "phone" and sign == pose.arm_side:
        swing, splay, bend, turn = 0.5, 0.2, 2.05, -0.35
    elif pose.arms == "carry":
        swing, splay, bend, turn = 0.1, 0.16, 1.2, -0.6
    elif pose.arms == "pockets":
        swing, splay, bend, turn = -0.3, 0.3, 0.65, -0.35
    shoulder = (sign * 0.102 * person.breadth, shoulder_height, 0.0)
    elbow = _add(shoulder, 0.165, sign * splay, swing)
    wrist = _add(elbow, 0.145, sign * turn, swing + bend)
    hand = _add(elbow, 0.185, sign * turn, swing + bend)
    return {
        f"{side}_shoulder": shoulder,
        f"{side}_elbow": elbow,
        f"{side}_wrist": wrist,
        f"{side}_hand": hand,
    }


def _add(start, length, splay, forward):
    """Return the end of a limb that hangs from `start`, turned outwards and then forwards."""
    down = length * math.cos(splay)
    return (
        start[0] + length * math.sin(splay),
        start[1] - down * math.cos(forward),
        start[2] + down * math.sin(forward),
    )
