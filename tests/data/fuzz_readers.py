"""Damaged input for every reader: each must refuse it by file and reason, or read it right.

python tests/data/fuzz_readers.py [--mutations=10000] [--seed=1]

prints how many mutations each target refused and took, and ends with code 1 if a reader crashed,
gave no reason, or gave out another image than the one that is in the file. A mutation is a function
of (seed, target, number), so a failure is repeated by its name.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import json
import pathlib
import random
import shutil
import sys
import tempfile
import time

from absl import logging

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from fuzz_targets import make_targets  # noqa: E402
from mutations import mutate  # noqa: E402


@dataclasses.dataclass
class Result:
    """What became of a target's mutations: counts, the slowest in seconds, failures by name."""

    refused: int = 0
    taken: int = 0
    unchanged: int = 0
    slowest: float = 0.0
    failures: list[str] = dataclasses.field(default_factory=list)


def fuzz(folder: pathlib.Path, mutations: int, seed: int) -> dict[str, Result]:
    """Try so many mutations, the same number on each target."""
    targets = make_targets(folder)
    results: dict[str, Result] = collections.defaultdict(Result)
    for number in range(mutations):
        name = list(targets)[number % len(targets)]
        target, result = targets[name], results[name]
        choose = random.Random(f"{seed}/{name}/{number}")
        whole = choose.choice(target.corpus)
        data = mutate(whole, target.corpus, choose)
        if data == whole:
            result.unchanged += 1
            continue
        start = time.monotonic()
        try:
            refused = target.check(data)
        except Exception as error:
            result.failures.append(f"{seed}/{name}/{number}: {type(error).__name__}: {error}")
            continue
        finally:
            result.slowest = max(result.slowest, time.monotonic() - start)
        result.refused += refused
        result.taken += not refused
    return results


def main() -> int:
    """Fuzz, and print a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--mutations", type=int, default=10000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    logging.set_verbosity(logging.ERROR)  # a thousand indexes are rebuilt
    folder = pathlib.Path(tempfile.mkdtemp())
    try:
        results = fuzz(folder, options.mutations, options.seed)
    finally:
        shutil.rmtree(folder)
    titles = ("refused", "read right", "unchanged", "failed", "slowest")
    print(f"{'target':<22}" + "".join(f"{title:>12}" for title in titles))
    for name, result in results.items():
        counts = (result.refused, result.taken, result.unchanged, len(result.failures))
        cells = "".join(f"{count:>12,}" for count in counts)
        print(f"{name:<22}{cells}{result.slowest:>11.2f}s")
    failures = [failure for result in results.values() for failure in result.failures]
    print(json.dumps(failures, indent=1) if failures else "No failure.")
    return bool(failures)


if __name__ == "__main__":
    sys.exit(main())
