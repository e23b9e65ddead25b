"""Who is in the picture: descriptions of synthetic people, and the colours they share.

A description is an identity: whatever it holds is the same in every image of the person, and
nothing else is. People of one family differ in a few attributes only.
"""

from __future__ import annotations

import dataclasses
import functools

from daaf_tf.data.synthetic_plan import Difficulty, Kind, Recipe, family_of, make_rng

BLACK, CHARCOAL, GREY, WHITE = (30, 30, 34), (72, 72, 78), (138, 138, 140), (222, 222, 216)
NAVY, BLUE, SKY = (36, 46, 88), (58, 96, 165), (132, 168, 204)
RED, MAROON, PINK = (176, 42, 46), (98, 36, 46), (206, 134, 152)
GREEN, OLIVE, YELLOW = (54, 112, 72), (102, 102, 62), (214, 184, 72)
BEIGE, BROWN, PURPLE, ORANGE = (196, 176, 142), (106, 76, 56), (106, 72, 132), (206, 112, 52)
CLOTHES_COLORS = (
    (BLACK, CHARCOAL, GREY, WHITE, NAVY, BLUE, SKY, RED)
    + (MAROON, PINK, GREEN, OLIVE, YELLOW, BEIGE, BROWN, PURPLE, ORANGE)
)  # fmt: skip

# Allowed values and how often each is drawn.
UPPER = ((BLACK, 5), (WHITE, 5), (GREY, 3), (NAVY, 3), (RED, 3), (BLUE, 3), (SKY, 2), (CHARCOAL, 2),
         (GREEN, 2), (BEIGE, 2), (PINK, 2), (YELLOW, 2), (OLIVE, 1), (PURPLE, 1))  # fmt: skip
LOWER = ((BLACK, 6), (NAVY, 5), (BLUE, 4), (CHARCOAL, 3), (GREY, 2), (BEIGE, 3), (WHITE, 1),
         (BROWN, 2), (OLIVE, 1))  # fmt: skip
ACCENT = tuple((color, 1) for color in CLOTHES_COLORS)
SHOES = ((BLACK, 3), (WHITE, 3), (BROWN, 2), (RED, 1), (BLUE, 1), (GREY, 1), (YELLOW, 1))
BAGS = ((BLACK, 3), (RED, 2), (BLUE, 2), (BROWN, 2), (BEIGE, 1), (PINK, 1), (GREEN, 1), (YELLOW, 1))
HAIR_COLORS = (((26, 22, 22), 6), ((66, 44, 32), 4), ((132, 92, 56), 2), ((196, 160, 96), 2),
               ((150, 148, 146), 1), ((140, 60, 40), 1))  # fmt: skip
SKINS = (((236, 196, 168), 3), ((222, 178, 142), 4), ((188, 140, 104), 2), ((120, 82, 60), 1))
PATTERNS = (("plain", 5), ("stripes", 2), ("pinstripes", 1), ("checks", 1), ("half", 2),
            ("open", 3), ("print", 3), ("back_print", 1), ("band", 1))  # fmt: skip
SLEEVES = (("long", 4), ("short", 5), ("none", 1))
SLEEVE_COLORS = (("upper", 4), ("accent", 1))
LENGTHS = (("waist", 5), ("hip", 4), ("coat", 1))
LOWER_KINDS = (("trousers", 6), ("shorts", 3), ("skirt", 2))
HAIR_STYLES = (("short", 5), ("long", 3), ("tail", 2), ("bald", 1), ("cap", 2), ("hood", 1))
BAG_KINDS = (("none", 5), ("backpack", 4), ("shoulder", 3), ("hand", 2))
SIDES = ((1, 1), (-1, 1))

# Families from this number on have no members with an id.
_PASSERS_BY = 10**6


@dataclasses.dataclass(frozen=True)
class Person:
    """An identity. Colours are RGB 0..255, measures are relative to the average person's."""

    skin: tuple
    hair_style: str
    hair_color: tuple
    hat_color: tuple
    upper_color: tuple
    accent_color: tuple
    pattern: str
    sleeves: str
    sleeve_color: str
    length: str
    lower_kind: str
    lower_color: tuple
    shoe_color: tuple
    bag_kind: str
    bag_color: tuple
    bag_side: int  # 1: on the person's left
    height: float
    breadth: float
    legs: float
    head: float
    leg_width: float


# Attributes in which members of a family may differ, and how each is drawn afresh. The colour of
# the upper clothes is not among them: it would tell the family apart at one glance.
CHANGES = (
    {"hair_style": HAIR_STYLES, "hat_color": BAGS},
    {"hair_color": HAIR_COLORS},
    {"pattern": PATTERNS, "accent_color": ACCENT},
    {"sleeves": SLEEVES, "sleeve_color": SLEEVE_COLORS},
    {"length": LENGTHS},
    {"lower_kind": LOWER_KINDS},
    {"lower_color": LOWER},
    {"shoe_color": SHOES},
    {"bag_kind": BAG_KINDS, "bag_color": BAGS, "bag_side": SIDES},
)


def pick(rng, table):
    """Return one value of ((value, weight), ...) by weight."""
    point = rng.random() * sum(weight for _, weight in table)
    for value, weight in table:
        point -= weight
        if point < 0:
            return value
    return table[-1][0]


def make_person(recipe: Recipe, person: int) -> Person:
    """Return the description of a person, an index as in `ImageSpec.person`."""
    family, member = family_of(recipe, person)
    # Members are drawn one after another, so a longer family begins like a shorter one.
    return make_family(recipe.difficulty, recipe.seed, family, 8 * (member // 8 + 1))[member]


def make_passer_by(recipe: Recipe, rng) -> Person:
    """Return somebody without an id, who only walks through other people's pictures."""
    family = _PASSERS_BY + int(rng.integers(100))
    return make_family(recipe.difficulty, recipe.seed, family, 8)[int(rng.integers(8))]


@functools.lru_cache(maxsize=4096)
def make_family(difficulty: Difficulty, seed: int, family: int, size: int) -> tuple[Person, ...]:
    """Return the people of one family, no two of them alike."""
    rng = make_rng(seed, Kind.FAMILY, family)
    first = _draw_person(rng)
    members = [first]
    while len(members) < size:
        member = _change(rng, first, difficulty)
        if all(_looks(member) != _looks(other) for other in members):
            members.append(_with_build(rng, member))
    return tuple(members)


def _draw_person(rng):
    person = Person(
        skin=pick(rng, SKINS),
        hair_style=pick(rng, HAIR_STYLES),
        hair_color=_tint(rng, pick(rng, HAIR_COLORS)),
        hat_color=pick(rng, BAGS),
        upper_color=_tint(rng, pick(rng, UPPER)),
        accent_color=pick(rng, ACCENT),
        pattern=pick(rng, PATTERNS),
        sleeves=pick(rng, SLEEVES),
        sleeve_color=pick(rng, SLEEVE_COLORS),
        length=pick(rng, LENGTHS),
        lower_kind=pick(rng, LOWER_KINDS),
        lower_color=_tint(rng, pick(rng, LOWER)),
        shoe_color=pick(rng, SHOES),
        bag_kind=pick(rng, BAG_KINDS),
        bag_color=pick(rng, BAGS),
        bag_side=pick(rng, SIDES),
        height=1.0,
        breadth=1.0,
        legs=1.0,
        head=1.0,
        leg_width=1.0,
    )
    return _with_build(rng, person)


def _tint(rng, color):
    """Return a shade of a palette colour, so that two families in red wear two reds."""
    brightness, *tints = 1 + 0.10 * rng.uniform(-1, 1), *(1 + 0.05 * rng.uniform(-1, 1, 3))
    return tuple(min(255, round(value * brightness * tint)) for value, tint in zip(color, tints))


def _with_build(rng, person):
    height, breadth, legs, head, leg_width = rng.uniform(-1, 1, 5).tolist()
    return dataclasses.replace(
        person,
        height=1 + 0.06 * height,
        breadth=1 + 0.14 * breadth,
        legs=1 + 0.04 * legs,
        head=1 + 0.08 * head,
        leg_width=1.05 + 0.2 * leg_width,
    )


def _change(rng, person, difficulty):
    count = rng.integers(difficulty.fewest_changes, difficulty.most_changes + 1)
    values = {}
    for index in rng.permutation(len(CHANGES))[:count].tolist():
        values.update({name: pick(rng, table) for name, table in CHANGES[index].items()})
    return dataclasses.replace(person, **values)


def _looks(person):
    """Return what can be seen of a description: the hat's colour of a hatless person cannot."""
    hat = person.hat_color if person.hair_style == "cap" else None
    hair = None if person.hair_style in ("bald", "hood") else person.hair_color
    bag_color = None if person.bag_kind == "none" else person.bag_color
    bag_side = None if person.bag_kind in ("none", "backpack") else person.bag_side
    sleeve_color = "upper" if person.sleeves == "none" else person.sleeve_color
    accented = person.pattern != "plain" or sleeve_color == "accent"
    return (
        (person.hair_style, hair, hat, person.bag_kind, bag_color, bag_side)
        + (person.pattern, person.accent_color if accented else None, person.sleeves, sleeve_color)
        + (person.length, person.lower_kind, person.lower_color, person.shoe_color)
    )  # fmt: skip
