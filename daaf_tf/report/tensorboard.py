"""The pictures of a report, and the embeddings, for TensorBoard; needs TensorBoard alone."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Mapping

import numpy as np
from PIL import Image, ImageOps

from daaf_tf import schema
from daaf_tf.errors import UserError
from daaf_tf.files import write_atomically
from daaf_tf.report.contents import ReadImage
from daaf_tf.report.thumbnails import encode_jpeg
from daaf_tf.report.writer import make_report_folder
from daaf_tf.retrieval import Features
from daaf_tf.retrieval.pictures import check_image

# Points of the projector: as many as it moves smoothly. Their images, side by side in a square
# grid, make a sprite of 1440 x 2880 pixels; browsers take 8192.
MOST_POINTS = 2000
_TILE_WIDTH, _TILE_HEIGHT = 32, 64
_SEED = 0

# One file for all reports that are written to a folder, so that the newest replaces the others.
_EVENTS = "events.out.tfevents.0.report"
_CONFIG, _TENSOR = "projector_config.pbtxt", "embeddings.tsv"
_METADATA, _SPRITE = "metadata.tsv", "sprite.jpg"


def write_tensorboard(
    log_dir: str | os.PathLike,
    *,
    pictures: Mapping[str, np.ndarray],
    query: Features,
    gallery: Features,
    read_image: ReadImage | None,
    step: int = 0,
) -> None:
    """Write what `tensorboard --logdir=<log_dir>` shows as images and as an embedding projector.

    The projector has up to 2,000 points: all images if these are not more, else all images of so
    many of the queries' persons, drawn by chance, as fit. Each has its person, camera, split and
    file name, and with `read_image` a small picture.

    Args:
      log_dir: made if it is missing; files of an earlier report are replaced.
      pictures: {name: uint8 [H, W, 3]}.
      query: embedded queries.
      gallery: embedded gallery images.
      read_image: as in `write_report`.
      step: of the training.

    Raises:
      UserError: a folder that cannot be written, a picture of another type, or what `read_image`
        raises.
    """
    folder = make_report_folder(log_dir)
    points = choose_points(query, gallery)
    files = {
        _EVENTS: _make_events(pictures, step),
        _TENSOR: _make_table(query, gallery, points),
        _METADATA: _make_metadata(query, gallery, points),
    }
    if read_image:
        files[_SPRITE] = encode_jpeg(_draw_sprite(points, read_image))
    files[_CONFIG] = _make_config(len(points), query.features.shape[1], bool(read_image))
    for name, content in files.items():
        try:
            write_atomically(folder / name, content)
        except OSError as error:
            raise UserError(f"{folder / name}: cannot write ({error.strerror or error})") from error
    if not read_image:
        (folder / _SPRITE).unlink(missing_ok=True)


def choose_points(query: Features, gallery: Features) -> list[tuple[str, int]]:
    """Return (split, number) of the images that the projector shows; see `write_tensorboard`."""
    splits = ((schema.QUERY, query), (schema.GALLERY, gallery))
    points = [(split, index) for split, people in splits for index in range(len(people.person_ids))]
    if len(points) <= MOST_POINTS:
        return points
    persons = np.concatenate([query.person_ids, gallery.person_ids])
    asked, sizes = np.unique(persons, return_counts=True)
    ours = np.isin(asked, query.person_ids)
    order = np.random.default_rng(_SEED).permutation(np.flatnonzero(ours))
    taken = asked[order[np.cumsum(sizes[order]) <= MOST_POINTS]]
    if not len(taken):  # one person has more images than there is room for
        taken = asked[order[:1]]
    return [points[index] for index in np.flatnonzero(np.isin(persons, taken))[:MOST_POINTS]]


def _make_events(pictures: Mapping[str, np.ndarray], step: int) -> bytes:
    """Return an event file. TensorBoard's own classes write it: TensorFlow would take seconds."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.record_writer import RecordWriter

    now = time.time()
    file = io.BytesIO()
    writer = RecordWriter(file)
    writer.write(Event(wall_time=now, file_version="brain.Event:2").SerializeToString())
    for name, pixels in pictures.items():
        height, width, _ = check_image(pixels).shape
        encoded = io.BytesIO()
        Image.fromarray(pixels).save(encoded, "PNG")
        image = Summary.Image(
            height=height, width=width, colorspace=3, encoded_image_string=encoded.getvalue()
        )
        summary = Summary(value=[Summary.Value(tag=name, image=image)])
        writer.write(Event(wall_time=now, step=step, summary=summary).SerializeToString())
    return file.getvalue()


def _make_table(query: Features, gallery: Features, points: list[tuple[str, int]]) -> bytes:
    """Return the embeddings, a line each."""
    table = io.BytesIO()
    rows = [_people(query, gallery, split).features[index] for split, index in points]
    np.savetxt(table, np.stack(rows), fmt="%.5g", delimiter="\t")
    return table.getvalue()


def _make_metadata(query: Features, gallery: Features, points: list[tuple[str, int]]) -> bytes:
    lines = ["person\tcamera\tsplit\tfilename"]
    for split, index in points:
        people = _people(query, gallery, split)
        # A tab or a line's end in a name would begin another cell.
        name = " ".join(str(people.filenames[index]).split())
        lines.append(f"{people.person_ids[index]}\t{people.camera_ids[index]}\t{split}\t{name}")
    return "".join(f"{line}\n" for line in lines).encode("utf-8", "backslashreplace")


def _draw_sprite(points: list[tuple[str, int]], read_image: ReadImage) -> Image.Image:
    """Return the images of the points in a square grid, row by row."""
    columns = int(np.ceil(np.sqrt(len(points))))
    sprite = Image.new("RGB", (columns * _TILE_WIDTH, columns * _TILE_HEIGHT))
    for place, (split, index) in enumerate(points):
        row, column = divmod(place, columns)
        image = Image.fromarray(check_image(read_image(split, index)))
        tile = ImageOps.pad(image, (_TILE_WIDTH, _TILE_HEIGHT), Image.Resampling.BICUBIC)
        sprite.paste(tile, (column * _TILE_WIDTH, row * _TILE_HEIGHT))
    return sprite


def _make_config(num_points: int, width: int, has_sprite: bool) -> str:
    """Return a ProjectorConfig; its paths begin at the folder that it lies in."""
    lines = [
        'tensor_name: "embeddings"',
        f'tensor_path: "{_TENSOR}"',
        f"tensor_shape: {num_points}",
        f"tensor_shape: {width}",
        f'metadata_path: "{_METADATA}"',
    ]
    if has_sprite:
        size = f"single_image_dim: {_TILE_WIDTH} single_image_dim: {_TILE_HEIGHT}"
        lines.append(f'sprite {{ image_path: "{_SPRITE}" {size} }}')
    return "embeddings {\n" + "".join(f"  {line}\n" for line in lines) + "}\n"


def _people(query: Features, gallery: Features, split: str) -> Features:
    return query if split == schema.QUERY else gallery
