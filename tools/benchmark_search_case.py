"""Measure one case of gallery search in a process of its own and print the figures as JSON.

python tools/benchmark_search_case.py --case=draw --folder=F [--images=1000000] [--width=512]
python tools/benchmark_search_case.py --case=build --folder=F --index_type=ivfpq
python tools/benchmark_search_case.py --case=open --folder=F --index_type=flat
python tools/benchmark_search_case.py --case=query --folder=F --index_type=ivfpq

The gallery is drawn: a centre for each person, 20 images around it, and queries around the centres
of drawn persons; centres are normal in all features, images are their centre and normal noise. So
there is no structure for an index to make use of but that of the persons. The share of hits that
are of the query's person tells how hard such a gallery is.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import statistics
import time

import numpy as np

from daaf_tf import flags
from daaf_tf.benchmarks import read_peak_memory
from daaf_tf.retrieval.blocks import make_blocks
from daaf_tf.serving import gallery_files, gallery_writer, open_gallery
from daaf_tf.serving.entries import Entry, format_entry
from daaf_tf.serving.gallery import prepare
from daaf_tf.serving.nearest import EF_SEARCH, FLAT, INDEX_TYPES, NPROBE

IMAGES_OF_A_PERSON = 20
METRIC = "cosine"
CHUNK_ROWS = 1 << 14
TOP = 10


def main() -> None:
    """Run the case and print JSON."""
    values = flags.FLAGS
    folder = pathlib.Path(values.folder)
    print(json.dumps(CASES[values.case](folder)))


def draw(folder: pathlib.Path) -> dict:
    """Write a flat gallery of drawn embeddings, chunk by chunk."""
    values = flags.FLAGS
    folder = folder / FLAT
    folder.mkdir()
    centres, random = draw_centres(), np.random.default_rng((values.seed, 1))
    stored = {name: gallery_files.name_next(folder, name) for name in ("vectors", "entries")}
    with gallery_files.Appender(folder, stored["vectors"]) as vectors:
        for rows in make_blocks(values.images, CHUNK_ROWS):
            persons = np.arange(rows.start, rows.stop) // IMAGES_OF_A_PERSON
            vectors.write(prepare(draw_around(centres[persons], random), METRIC).tobytes())
        stored["vectors"] = vectors.finish()
    with gallery_files.Appender(folder, stored["entries"]) as entries:
        for number in range(values.images):
            path, person = f"{number:08}.jpg", number // IMAGES_OF_A_PERSON
            entries.write(format_entry(Entry(number, path, person, None, 0, None)))
        stored["entries"] = entries.finish()
    state = gallery_files.State(
        model="drawn",
        model_path="drawn",
        embedding_size=values.width,
        metric=METRIC,
        index_type=FLAT,
        count=values.images,
        next_id=values.images,
        sources=({"folder": "drawn"},),
        **stored,
    )
    gallery_files.write_state(folder, state)
    return {"megabytes": state.vectors.bytes / 2**20}


def draw_centres() -> np.ndarray:
    """Return a centre for each person."""
    values = flags.FLAGS
    persons = -(-values.images // IMAGES_OF_A_PERSON)
    return np.random.default_rng(values.seed).standard_normal((persons, values.width), np.float32)


def draw_around(centres: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return an image around each of the centres."""
    return centres + flags.FLAGS.noise * random.standard_normal(centres.shape, np.float32)


def build(folder: pathlib.Path) -> dict:
    """Make a gallery with an approximate index of the flat one; they share the vectors."""
    flat, folder = folder / FLAT, folder / flags.FLAGS.index_type
    folder.mkdir()
    state = gallery_files.read_state(flat)
    for file in (state.vectors, state.entries):
        os.link(flat / file.name, folder / file.name)
    start = time.perf_counter()
    state = dataclasses.replace(state, index_type=flags.FLAGS.index_type)
    state = gallery_writer.update_index(folder, state)
    gallery_files.write_state(folder, state)
    return {
        "seconds": time.perf_counter() - start,
        "peak_mb": read_peak_memory(),
        "megabytes": state.index.bytes / 2**20,
    }


def open_and_ask(folder: pathlib.Path) -> dict:
    """Open a gallery, ask it once, and tell time and memory."""
    start = time.perf_counter()
    gallery = open_gallery(folder / flags.FLAGS.index_type)
    seconds = time.perf_counter() - start
    gallery.search(np.ones(gallery.embedding_size, np.float32), TOP)
    return {"seconds": seconds, "peak_mb": read_peak_memory()}


def query(folder: pathlib.Path) -> dict:
    """Ask an approximate gallery, the exact one and numpy's product, in turns."""
    values = flags.FLAGS
    exact, approximate = (open_gallery(folder / name) for name in (FLAT, values.index_type))
    # numpy's product reads the same file, as memory has no room for two copies of a large one.
    vectors = gallery_files.map_vectors(exact.path, gallery_files.read_state(exact.path))
    centres, random = draw_centres(), np.random.default_rng((values.seed, 2))
    persons = random.integers(0, len(centres), values.queries)
    features = prepare(draw_around(centres[persons], random), METRIC)
    ways = {
        "product": lambda one: vectors @ one,
        "exact": lambda one: exact.search(one, TOP)[0],
        "approximate": lambda one: approximate.search(
            one, TOP, nprobe=values.nprobe, ef_search=values.ef_search
        )[0],
    }
    seconds = {name: [] for name in ways}
    shared, right = [], []
    for person, one in zip(persons, features):
        results = {}
        for name, ask in ways.items():
            start = time.perf_counter()
            results[name] = ask(one)
            seconds[name].append(time.perf_counter() - start)
        found, truth = ({hit.id for hit in results[name]} for name in ("approximate", "exact"))
        shared.append(len(found & truth) / len(truth))
        right.append(np.mean([hit.person_id == person for hit in results["exact"]]))
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    return {**medians, "recall": statistics.mean(shared), "right": statistics.mean(right)}


CASES = {"draw": draw, "build": build, "open": open_and_ask, "query": query}

if __name__ == "__main__":
    flags.DEFINE_enum("case", None, tuple(CASES), "What is done.")
    flags.DEFINE_string("folder", None, "Folder of the drawn galleries.")
    flags.DEFINE_enum("index_type", FLAT, INDEX_TYPES, "Which gallery.")
    flags.DEFINE_integer("images", 1_000_000, "Images of the drawn gallery.")
    flags.DEFINE_integer("width", 512, "Features of an image.")
    flags.DEFINE_float("noise", 1.0, "Of each feature, where the spread of the centres is 1.")
    flags.DEFINE_integer("queries", 100, "Queries.")
    flags.DEFINE_integer("nprobe", NPROBE, "Lists visited in an ivfpq gallery.")
    flags.DEFINE_integer("ef_search", EF_SEARCH, "Candidates in an hnsw gallery.")
    flags.DEFINE_integer("seed", 1, "Of all that is drawn.")
    flags.mark_flags_as_required(["case", "folder"])
    flags.run(main)
