"""Damage, as it is done to files."""

from __future__ import annotations

import random


def mutate(data: bytes, others: list[bytes], choose: random.Random) -> bytes:
    """Return data with one to four things done to it that disks, networks and people do."""
    mutated = bytearray(data)
    for _ in range(choose.choice((1, 1, 1, 2, 4))):
        start = choose.randrange(len(mutated) + 1)
        length = choose.choice((1, 1, 2, 4, 16, 200))
        kind = choose.randrange(9)
        if kind == 0 and mutated:
            mutated[start % len(mutated)] ^= 1 << choose.randrange(8)
        elif kind == 1:
            del mutated[start:]
        elif kind == 2:
            del mutated[start : start + length]
        elif kind == 3:
            mutated[start:start] = choose.getrandbits(8 * length).to_bytes(length, "little")
        elif kind == 4:
            mutated[start:start] = mutated[start : start + length]
        elif kind == 5:
            mutated[start : start + length] = bytes(length)
        elif kind == 6:
            extreme = choose.choice((b"\xff", b"\x7f\xff\xff\xff", b"\xff" * 8, b"-1", b"9" * 20))
            mutated[start : start + len(extreme)] = extreme
        elif kind == 7:
            other = choose.choice(others)
            mutated[start:] = other[choose.randrange(len(other) + 1) :]
        elif mutated:
            mutated[start % len(mutated)] = choose.randrange(256)
    return bytes(mutated)
