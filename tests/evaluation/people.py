"""Features of some persons, as a network might give them, and pictures of them."""

from __future__ import annotations

import numpy as np

from daaf_tf.evaluation.evaluated import EmbeddedSet
from daaf_tf.retrieval import Features, FeatureSet

PERSONS, WIDTH = 12, 8


def make_features(images_of_each, camera, seed):
    random = np.random.default_rng(seed)
    ids = np.repeat(np.arange(1, PERSONS + 1), images_of_each)
    centres = np.random.default_rng(0).normal(size=(PERSONS + 1, WIDTH))
    scale = random.uniform(0.5, 2.0, size=(len(ids), 1))
    features = scale * (centres[ids] + random.normal(size=(len(ids), WIDTH)))
    names = [f"{number:03d}.png" for number in range(len(ids))]
    return Features(features.astype(np.float32), ids, np.full(len(ids), camera), np.array(names))


def make_set(metric="euclidean", *, multi_query=False, **values):
    splits = {"query": make_features(2, 1, seed=1), "gallery": make_features(8, 2, seed=2)}
    if multi_query:
        splits["multi_query"] = make_features(5, 1, seed=3)
    embedded = FeatureSet(splits, metric=metric, model="M, step 4", data="R", tta="flip")
    values = {"name": "R", "read_image": None, "skipped": 0, "measured": {}, **values}
    return EmbeddedSet(embedded=embedded, **values)
