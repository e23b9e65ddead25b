"""A small retrieval of drawn features and images, as a report takes it."""

from __future__ import annotations

import numpy as np

from daaf_tf import report
from daaf_tf.retrieval import Features, compute_distances, evaluate


def make_features(random, count, *, split, num_persons, junk=0, centres):
    person_ids = random.integers(1, num_persons + 1, count)
    person_ids[:junk] = -1
    features = centres[person_ids] + random.normal(size=(count, centres.shape[1]))
    names = np.array([f"{split}_{index:05d}.jpg" for index in range(count)])
    cameras = random.integers(1, 4, count)
    return Features(features.astype(np.float32), person_ids, cameras, names)


def make_case(num_queries=40, num_gallery=120, *, num_persons=10, seed=0):
    """Return the keyword arguments of `write_report`."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(num_persons + 2, 8))
    common = {"num_persons": num_persons, "centres": centres}
    query = make_features(random, num_queries, split="query", **common)
    query.person_ids[0] = num_persons + 1  # nobody in the gallery
    gallery = make_features(random, num_gallery, split="gallery", junk=5, **common)
    people = {
        "query_ids": query.person_ids,
        "gallery_ids": gallery.person_ids,
        "query_cameras": query.camera_ids,
        "gallery_cameras": gallery.camera_ids,
    }
    return {
        "title": "Drawn features",
        "facts": {"model": "none"},
        "figures": [report.Figure("mAP", "12.30 %", "rectangle rule")],
        "query": query,
        "gallery": gallery,
        "result": evaluate(query.features, gallery.features, **people),
        "compute_distances": lambda rows: compute_distances(query.features[rows], gallery.features),
        "read_image": read_image,
        "attention": make_samples(random),
    }


def read_image(split, index):
    """Return an image whose colour says which it is."""
    level = (index % 120) + (120 if split == "gallery" else 0)
    return np.full((32, 16, 3), (level, 255 - level, 90), np.uint8)


def make_samples(random):
    """Return a sample with everything, and one with nothing but the image."""
    image = random.integers(0, 256, (64, 32, 3), dtype=np.uint8)
    whole = report.AttentionSample(
        image,
        mask=random.random((16, 8, 1)),
        keypoints=random.random((16, 8, 17)),
        true_mask=random.random((16, 8, 1)) > 0.5,
        true_joints=random.random((17, 3)),
        caption="person 7",
    )
    return [whole, report.AttentionSample(image)]
