"""Mutated image files for an exported model: an error for that request, and the next one is served.

python tests/serving/fuzz_requests.py [--mutations=10000] [--seed=1]

Each mutation is sent to the signature `encoded` alone, and after it a whole image, which must get
its embedding bit by bit. Prints how many were refused and taken, and ends with code 1 if anything
but an error for the request came of one. A mutation is a function of (seed, number), so a failure
is repeated by its name. A crash of the process ends the program with a signal.
"""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
import random
import sys
import tempfile

import numpy as np
import tensorflow as tf
from tiny_export import CONFIG, build_network, make_jpegs

from daaf_tf.errors import UserError
from daaf_tf.model import embedding_model
from daaf_tf.serving import load, write_saved_model

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from mutations import mutate  # noqa: E402


@dataclasses.dataclass
class Result:
    """What became of the mutations."""

    refused: int = 0
    taken: int = 0
    failures: list[str] = dataclasses.field(default_factory=list)


def make_corpus():
    """Return image files of every kind that is decoded, and some that are not."""
    jpegs = make_jpegs(((64, 32), (40, 20), (90, 33)))
    pixels = tf.io.decode_jpeg(jpegs[0])
    others = [
        tf.io.encode_jpeg(pixels, progressive=True).numpy(),
        tf.io.encode_jpeg(pixels[..., :1], format="grayscale").numpy(),
        tf.io.encode_png(pixels).numpy(),
    ]
    return jpegs + others


def fuzz(embedder, mutations, seed):
    """Send so many mutations through `embed`."""
    corpus, result = make_corpus(), Result()
    whole = corpus[0]
    expected = embedder.embed(whole)
    for number in range(mutations):
        choose = random.Random(f"{seed}/{number}")
        data = mutate(choose.choice(corpus), corpus, choose)
        try:
            received = embedder.embed(data)
        except UserError:
            result.refused += 1
        except Exception as error:
            result.failures.append(f"{seed}/{number}: {type(error).__name__}: {error}")
        else:
            result.taken += 1
            if received.shape != expected.shape or not np.isfinite(received).all():
                result.failures.append(f"{seed}/{number}: an embedding that is none")
        if not np.array_equal(embedder.embed(whole), expected):
            result.failures.append(f"{seed}/{number}: the next request got something else")
    return result


def main():
    """Fuzz, and print the counts."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--mutations", type=int, default=10000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write_saved_model(embedding_model(build_network()), CONFIG, folder)
        result = fuzz(load(folder), options.mutations, options.seed)
    print(
        f"{options.mutations} mutations: {result.refused} refused, {result.taken} taken, "
        f"{len(result.failures)} failed"
    )
    print("\n".join(result.failures))
    return bool(result.failures)


if __name__ == "__main__":
    sys.exit(main())
