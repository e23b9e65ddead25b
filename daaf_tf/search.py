"""Search a gallery of images for a person: `python -m daaf_tf.search ACTION --index=I ...`.

  build      --index=I --saved_model=S IMAGES   embed images and write the gallery I
  add        --index=I IMAGES                   embed more images and add them
  remove     --index=I [PATH ...]               remove images by path, --person_id or --id
  calibrate  --index=I IMAGES                   set the threshold, on persons held out of training
  query      --index=I PATH ...                 who is on these images, or in these folders?
  info       --index=I                          what the gallery is

IMAGES is one of --images=FOLDER, --csv_file=FILE --data_root=FOLDER, or --data_dir=RECORDS.
"""

from __future__ import annotations

import dataclasses
import io
import json
import os
import sys

from daaf_tf import flags, schema
from daaf_tf.errors import UserError
from daaf_tf.files import write_atomically
from daaf_tf.retrieval import draw_ranked_results
from daaf_tf.retrieval.distances import METRICS
from daaf_tf.serving import gallery_writer, sources
from daaf_tf.serving.answers import Answer, format_answer, make_json, make_row
from daaf_tf.serving.embedding import embed_known, embed_source
from daaf_tf.serving.gallery import Gallery, open_gallery
from daaf_tf.serving.nearest import EF_SEARCH, FLAT, INDEX_TYPES, NPROBE
from daaf_tf.serving.threshold import calibrate as find_threshold

FLAGS = flags.FLAGS


def build() -> None:
    """Embed images and write a gallery."""
    source, index, saved_model = _list_source(), _need("index"), _need("saved_model")
    # Here, so that a wrong command is told before TensorFlow is imported.
    from daaf_tf.serving import load
    from daaf_tf.serving.description import find_metric

    model = load(saved_model)
    metric = FLAGS.metric or find_metric(model, "--metric")
    count = gallery_writer.build_gallery(
        index,
        source,
        model,
        metric=metric,
        index_type=FLAGS.index_type,
        overwrite=FLAGS.overwrite,
    )
    _report(source)
    print(f"{index}: {count:,} images ({FLAGS.index_type}, {metric})")


def add() -> None:
    """Embed more images and add them to a gallery."""
    source = _list_source()
    gallery = _open()
    count = gallery_writer.add_images(FLAGS.index, source, gallery.embedder, replace=FLAGS.replace)
    _report(source)
    print(f"{FLAGS.index}: {count:,} images added")


def remove(paths: list[str]) -> None:
    """Remove images from a gallery."""
    if not (paths or FLAGS.person_id or FLAGS.id):
        raise UserError("expected paths, --person_id or --id of the images to remove")
    count = gallery_writer.remove_images(
        _need("index"),
        paths=[os.path.abspath(path) if os.path.exists(path) else path for path in paths],
        person_ids=FLAGS.person_id,
        ids=FLAGS.id,
    )
    print(f"{FLAGS.index}: {count:,} images removed")


def calibrate() -> None:
    """Set a gallery's threshold on persons that were held out of training."""
    if FLAGS.data_dir and FLAGS.split == schema.TRAIN:
        raise UserError(
            "--split=train: the network has learned to tell these persons apart; expected images "
            "of others, such as --split=gallery"
        )
    source = _list_source()
    gallery = _open()
    known = embed_known(source, gallery.embedder)
    _report(source)
    found = find_threshold(
        known.features,
        person_ids=known.person_ids,
        camera_ids=known.camera_ids,
        metric=gallery.metric,
        false_accept_rate=FLAGS.false_accept_rate,
    )
    gallery_writer.store_calibration(FLAGS.index, dataclasses.asdict(found))
    _print_calibration(dataclasses.asdict(found))


def query(paths: list[str]) -> None:
    """Tell who is on some images."""
    if not paths:
        raise UserError("expected query images or folders, such as: query a.jpg --index=I")
    source = sources.list_paths(paths)
    gallery = _open()
    options = {name: getattr(FLAGS, name) for name in ("top", "threshold", "nprobe", "ef_search")}
    answers = [
        Answer(image.path, hits)
        for images, features in embed_source(source, gallery.embedder)
        if images
        for image, hits in zip(images, gallery.search(features, **options))
    ]
    for answer in answers:
        print("\n".join(format_answer(answer)))
    _report(source)
    if not answers:
        raise UserError("no query image can be used")
    if FLAGS.json_out:
        threshold = gallery.threshold if FLAGS.threshold is None else FLAGS.threshold
        content = {"index": FLAGS.index, "metric": gallery.metric, "threshold": threshold}
        content["queries"] = [make_json(answer) for answer in answers]
        _write(FLAGS.json_out, json.dumps(content, indent=2) + "\n")
    if FLAGS.picture:
        _draw(answers, gallery)


def info() -> None:
    """Tell what a gallery is."""
    gallery = _open()
    print(
        f"{FLAGS.index}: {len(gallery):,} images ({gallery.index_type}, {gallery.metric}), "
        f"{gallery.embedding_size} floats each, model {gallery.model_fingerprint[:12]}"
    )
    for source in gallery.sources:
        print("images from " + " ".join(source.values()))
    if gallery.calibration:
        _print_calibration(gallery.calibration)
    else:
        print("no threshold yet: python -m daaf_tf.search calibrate")


def _draw(answers: list[Answer], gallery: Gallery) -> None:
    """Draw the queries and what was found."""
    reader = sources.SourceReader(sources.list_paths([]).description)
    rows = [
        make_row(answer, reader.read(answer.image, None), gallery.read_image) for answer in answers
    ]
    buffer = io.BytesIO()
    draw_ranked_results(rows).save(buffer, "PNG")
    _write(FLAGS.picture, buffer.getvalue())


def _write(path: str, content: str | bytes) -> None:
    try:
        write_atomically(path, content)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror})") from error


def _list_source() -> sources.Source:
    """List the images that the flags name."""
    given = [name for name in ("images", "csv_file", "data_dir") if FLAGS[name].value]
    if len(given) != 1:
        raise UserError(
            "expected one of --images=FOLDER, --csv_file=FILE (with --data_root=FOLDER), and "
            f"--data_dir=RECORDS; received {' and '.join(f'--{n}' for n in given) or 'none'}"
        )
    if FLAGS.images:
        return sources.list_folder(FLAGS.images)
    if FLAGS.csv_file:
        return sources.list_csv(FLAGS.csv_file, _need("data_root"), FLAGS.split or "")
    return sources.list_records(FLAGS.data_dir, FLAGS.split or schema.GALLERY)


def _open() -> Gallery:
    return open_gallery(_need("index"), FLAGS.saved_model)


def _need(name: str) -> str:
    value = FLAGS[name].value
    if not value:
        raise UserError(f"--{name} is missing; python -m daaf_tf.search --help tells what it is")
    return value


def _report(source: sources.Source) -> None:
    """Name what was left out, and count it."""
    for problem in source.problems:
        print(f"left out: {problem}", file=sys.stderr)
    if source.problems:
        print(f"{len(source.problems):,} images left out", file=sys.stderr)
    if source.junk:
        print(f"{source.junk:,} images of nobody (person id below 0) left out", file=sys.stderr)


def _print_calibration(found: dict) -> None:
    print(
        f"threshold {found['threshold']:.6g}: accepts {found['true_accept_rate']:.2%} of "
        f"{found['positive_pairs']:,} pairs of one person by different cameras and "
        f"{found['false_accepts']:,} of {found['negative_pairs']:,} pairs of different persons "
        f"(false-accept rate {found['false_accept_rate']:g} for each comparison)"
    )
    print(
        f"for each query of a gallery of these {found['images']:,} images: a stranger is taken for "
        f"somebody in {found['stranger_accept_rate']:.2%}, the right person is found and accepted "
        f"in {found['identification_rate']:.2%}"
    )


ACTIONS = {
    "build": flags.without_arguments(build),
    "add": flags.without_arguments(add),
    "remove": remove,
    "calibrate": flags.without_arguments(calibrate),
    "query": query,
    "info": flags.without_arguments(info),
}

if __name__ == "__main__":
    flags.DEFINE_string("index", None, "Folder of the gallery.")
    flags.DEFINE_string(
        "saved_model", None, "Exported model; default: the one that the gallery was built with."
    )
    flags.DEFINE_string("images", None, "Folder of images; whom they show is not known.")
    flags.DEFINE_string("csv_file", None, "CSV of images: path,person_id and perhaps camera_id.")
    flags.DEFINE_string("data_root", None, "Folder that the paths of --csv_file are below.")
    flags.DEFINE_string("data_dir", None, "Folder of TFRecords.")
    flags.DEFINE_enum(
        "split", None, schema.SPLITS, "Split to take; default: gallery of records, all of a CSV."
    )
    flags.DEFINE_enum("index_type", FLAT, INDEX_TYPES, "build: flat is exact; others for millions.")
    flags.DEFINE_enum(
        "metric", None, METRICS, "build: distance; default: that of the model's evaluation."
    )
    flags.DEFINE_bool("overwrite", False, "build: replace a gallery that is there.")
    flags.DEFINE_bool("replace", False, "add: replace images of the same path.")
    flags.DEFINE_multi_integer("person_id", [], "remove: a person whose images go; repeatable.")
    flags.DEFINE_multi_integer("id", [], "remove: the number of an image that goes; repeatable.")
    flags.DEFINE_float(
        "false_accept_rate", 1e-3, "calibrate: share of pairs of different persons to accept."
    )
    flags.DEFINE_integer("top", 10, "query: hits for each image.")
    flags.DEFINE_float("threshold", None, "query: instead of the calibrated one.")
    flags.DEFINE_integer("nprobe", NPROBE, "query: lists visited in an ivfpq gallery.", 1)
    flags.DEFINE_integer("ef_search", EF_SEARCH, "query: candidates in an hnsw gallery.", 1)
    flags.DEFINE_string("json_out", None, "query: also write the answers to this file.")
    flags.DEFINE_string("picture", None, "query: also draw the answers into this PNG file.")
    flags.run_action(ACTIONS)
