"""Whether a written model ranks as the trained one does: embed the records again, and compare."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import multiprocessing
import os
import pathlib
from collections.abc import Iterator, Mapping
from concurrent.futures.process import BrokenProcessPool
from typing import Any

import numpy as np

from daaf_tf import schema
from daaf_tf.config import Config
from daaf_tf.data.records import RecordReader
from daaf_tf.data.stored_ids import read_image_record, read_person_ids
from daaf_tf.errors import UserError
from daaf_tf.retrieval import Features, rank_features

SPLITS = (schema.QUERY, schema.GALLERY)
# By how many points mAP may move, up or down.
MAP_TOLERANCE = 0.05
# How far an embedding may lie from the trained network's: the length of the difference over the
# embedding's own. float32 is the sum in another order; the others round to 11 and 8 bits.
TOLERANCES = {"float32": 1e-4, "float16": 1e-2, "bfloat16": 1e-1}
# What is measured and not refused: eight bits and their scales cost what they cost.
INT8 = "int8"
# Images that are also sent as pixels, which must do what the files did.
NUM_PIXELS = 32


@dataclasses.dataclass(frozen=True)
class Embedded:
    """What a fresh process has made of the records.

    Attributes:
      features: {split: [N, D] float32} of the images' files.
      pixels: [M, D] float32 of the first M queries, handed over as pixels.
      warmup_requests: {signature: warm-up requests that it has answered}.
      num_records: images in the splits, chosen or not.
    """

    features: dict[str, np.ndarray]
    pixels: np.ndarray
    warmup_requests: dict[str, int]
    num_records: int


def choose_positions(data_dir: str, count: int, *, seed: int = 0) -> dict[str, np.ndarray]:
    """Choose the query and gallery records that are compared.

    Persons are drawn, each with all images, so that queries keep their matches, until half of
    `count` is reached; gallery images of everybody else make up the rest.

    Args:
      data_dir: folder of records.
      count: images of both splits together; 0, or more than there are: all of them.
      seed: of the drawing.

    Returns:
      {split: [N] int64, ascending} for query and gallery.

    Raises:
      UserError: records that are missing or corrupt, or a split without images.
    """
    ids = {split: _read_ids(data_dir, split) for split in SPLITS}
    if not 0 < count < sum(map(len, ids.values())):
        return {split: np.arange(len(found)) for split, found in ids.items()}
    random = np.random.default_rng(seed)
    chosen = {split: np.zeros(len(found), bool) for split, found in ids.items()}
    for person in random.permutation(np.unique(ids[schema.QUERY])):
        for split, found in ids.items():
            chosen[split] |= found == person
        if 2 * sum(map(np.sum, chosen.values())) >= count:
            break
    rest = random.permutation(np.flatnonzero(~chosen[schema.GALLERY]))
    chosen[schema.GALLERY][rest[: max(0, count - sum(map(np.sum, chosen.values())))]] = True
    return {split: np.flatnonzero(mask) for split, mask in chosen.items()}


def _read_ids(data_dir: str, split: str) -> np.ndarray:
    advice = (
        "the written model is compared on query and gallery records: name their folder by "
        "--data_dir, or write it unchecked by --noparity, which its card will say"
    )
    try:
        ids = read_person_ids(data_dir, split)
    except UserError as error:
        raise UserError(f"{error}; {advice}") from error
    if not len(ids):
        raise UserError(f"{data_dir}: the split {split} holds no images; {advice}")
    return ids


def embed_in_fresh_process(
    folder: str | os.PathLike, config: Config, positions: Mapping[str, np.ndarray]
) -> Embedded:
    """Load a written model in a new process and embed records with it.

    Args:
      folder: the SavedModel, or an .onnx or .tflite file.
      config: the run; data_dir and eval_batch_size are used.
      positions: what `choose_positions` returned.

    Raises:
      UserError: the model cannot be loaded, or fails on an image or a warm-up request; or the
        process was killed.
    """
    # Spawned, not forked: nothing of the trained network, nor of its Keras, is in it.
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, context) as pool:
        task = pool.submit(
            _embed, str(folder), config.data.data_dir, config.eval.eval_batch_size, dict(positions)
        )
        try:
            return task.result()
        except BrokenProcessPool as error:
            raise UserError(
                f"{folder}: the process that loaded the model was killed, perhaps for want of "
                f"memory; lower --eval_batch_size={config.eval.eval_batch_size}"
            ) from error


def _embed(
    folder: str, data_dir: str, batch_size: int, positions: dict[str, np.ndarray]
) -> Embedded:
    # Here, so that a process which only compares does without TensorFlow.
    import tqdm

    from daaf_tf.data.preprocess import decode_image
    from daaf_tf.serving.embedder import load
    from daaf_tf.serving.runtimes import load_runtime
    from daaf_tf.serving.warmup import replay_warmup

    if os.path.isfile(folder):
        embed_one = load_runtime(pathlib.Path(folder))

        def embed(files):
            return np.stack([embed_one(decode_image(file).numpy()) for file in files])
    else:
        embedder = load(folder)

        def embed(files):
            return embedder.embed(files, batch_size=batch_size)

    readers = {split: RecordReader(data_dir, split) for split in positions}
    features = {}
    for split, chosen in positions.items():
        files = _read_files(readers[split], chosen)
        bar = tqdm.tqdm(files, f"check {split}", len(chosen), unit="img", leave=False)
        features[split] = embed(bar)
    records = sum(reader.num_images for reader in readers.values())
    if os.path.isfile(folder):
        return Embedded(features, features[schema.QUERY][:0], {}, records)
    first = _read_files(readers[schema.QUERY], positions[schema.QUERY][:NUM_PIXELS])
    return Embedded(
        features,
        pixels=embedder.embed(map(decode_image, first), batch_size=batch_size),
        warmup_requests=replay_warmup(embedder.path, embedder.signatures),
        num_records=records,
    )


def _read_files(reader: RecordReader, positions: np.ndarray) -> Iterator[bytes]:
    return (read_image_record(reader, position).encoded for position in positions)


def compare(
    trained: Mapping[str, Features],
    written: Embedded,
    *,
    metric: str,
    normalize: bool,
    precision: str,
) -> dict[str, Any]:
    """Compare the written model's embeddings and ranking with the trained network's.

    Args:
      trained: what the trained network makes of the same query and gallery records.
      written: what the written model made of them.
      metric: of the ranking, euclidean or cosine.
      normalize: whether the written model normalises; the trained one's are normalised then, too.
      precision: of the written model, one of TOLERANCES, or INT8, which is not refused.

    Returns:
      The figures, as the model card shows them.

    Raises:
      UserError: mAP moves by more than MAP_TOLERANCE points, or an embedding by more than the
        precision's tolerance.
    """
    if normalize:
        trained = {split: normalize_features(each) for split, each in trained.items()}
    again = {
        split: dataclasses.replace(trained[split], features=features)
        for split, features in written.features.items()
    }
    distances = [
        compute_relative_distances(trained[split].features, again[split].features)
        for split in trained
    ]
    first = trained[schema.QUERY].features[: len(written.pixels)]
    distances.append(compute_relative_distances(first, written.pixels))
    before, after = (
        100 * rank_features(each[schema.QUERY], each[schema.GALLERY], metric=metric).mean_ap
        for each in (trained, again)
    )
    figures = {
        "queries": len(trained[schema.QUERY].features),
        "gallery": len(trained[schema.GALLERY].features),
        "images_in_records": written.num_records,
        "images_as_pixels": len(written.pixels),
        "metric": metric,
        "mAP_trained": round(float(before), 4),
        "mAP_written": round(float(after), 4),
        "mAP_tolerance": MAP_TOLERANCE if precision in TOLERANCES else None,
        "largest_difference": float(np.max(np.concatenate(distances))),
        "tolerance": TOLERANCES.get(precision),
        "warmup_requests": dict(written.warmup_requests),
    }
    if precision in TOLERANCES:
        _check(figures, precision)
    return figures


def _check(figures: dict[str, Any], precision: str) -> None:
    advice = "nothing was written" + ("; try --precision=float32" if precision != "float32" else "")
    # Written so that a figure which is no number fails, too.
    if not figures["largest_difference"] <= figures["tolerance"]:
        raise UserError(
            f"the written model's embeddings differ from the trained network's by up to "
            f"{figures['largest_difference']:.2g} of their length, allowed are "
            f"{figures['tolerance']:g} in {precision}; {advice}"
        )
    before, after = figures["mAP_trained"], figures["mAP_written"]
    if not abs(after - before) <= MAP_TOLERANCE:
        raise UserError(
            f"the written model's mAP is {after:.4f} %, the trained network's {before:.4f} %, on "
            f"{figures['queries']} queries and {figures['gallery']} gallery images; allowed are "
            f"{MAP_TOLERANCE} points; {advice}"
        )


def normalize_features(features: Features) -> Features:
    """Return embeddings of length 1; one of zeros stays as it is."""
    lengths = np.linalg.norm(features.features, axis=1, keepdims=True)
    scaled = features.features / np.where(lengths > 0, lengths, 1)
    return dataclasses.replace(features, features=scaled)


def compute_relative_distances(expected: np.ndarray, received: np.ndarray) -> np.ndarray:
    """Compute how far each row lies from what was expected, over the expected row's length.

    Args:
      expected: [N, D] float32.
      received: [N, D] float32.

    Returns:
      [N] float64; for an expected row of zeros the length of the received one. Not a number where
      one of the rows is none.
    """
    difference = np.linalg.norm(received.astype(np.float64) - expected, axis=1)
    length = np.linalg.norm(expected.astype(np.float64), axis=1)
    return difference / np.where(length > 0, length, 1)
