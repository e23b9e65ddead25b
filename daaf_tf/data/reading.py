"""One image's files off the disk and into its record; what cannot be used is named, not raised."""

from __future__ import annotations

import os
import stat

from daaf_tf import schema
from daaf_tf.data.annotations import BadFile, describe_image, make_heatmaps, make_mask
from daaf_tf.data.example import ImageRecord
from daaf_tf.data.listing import ImageFile
from daaf_tf.data.problems import Problem

# A file larger than this is no picture of a person; it would only fill the memory of a worker.
MAX_FILE_BYTES = 2**26

# PNG first: where both exist, it is the one without JPEG's noise.
_ANNOTATION_EXTENSIONS = (".png", ".jpg", ".jpeg")


def read_record(
    file: ImageFile, data_root: str, max_stretch: float, heatmap_height: int
) -> tuple[ImageRecord | None, list[Problem]]:
    """Read and check one image and its annotations; the work of one process.

    Args:
      file: the image, and where its annotations would be.
      data_root: folder that the paths of `file` are below.
      max_stretch: see `datasets.DataSet`.
      heatmap_height: height of a stored heat map in pixels.

    Returns:
      The record, or None where the image cannot be used; and the problems met. An annotation with
      a problem is left out of the record.
    """
    try:
        encoded = _read(os.path.join(data_root, file.path))
        image_format, height, width = describe_image(encoded)
    except BadFile as error:
        return None, [Problem("image", file.split, file.path, str(error))]
    problems, mask, heatmaps, keypoints = [], None, None, None
    if file.mask_stem is not None:
        try:
            found = _read_annotation(data_root, file.mask_stem)
            mask = make_mask(found, height, width, max_stretch)
        except BadFile as error:
            problems.append(Problem("mask", file.split, f"{file.mask_stem}.*", str(error)))
    if file.heatmap_stem is not None:
        try:
            maps = _read_maps(data_root, file.heatmap_stem)
            heatmaps, keypoints = make_heatmaps(maps, height, width, max_stretch, heatmap_height)
        except BadFile as error:
            problems.append(Problem("heatmaps", file.split, f"{file.heatmap_stem}_*", str(error)))
    record = ImageRecord(
        encoded=encoded,
        image_format=image_format,
        filename=file.filename,
        height=height,
        width=width,
        person_id=file.person_id,
        camera_id=file.camera_id,
        mask=mask,
        heatmaps=heatmaps,
        keypoints=keypoints,
    )
    return record, problems


def _read(path: str) -> bytes:
    """Read a file whole, unless it is no file or absurdly large."""
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise BadFile("not a file")
        if status.st_size > MAX_FILE_BYTES:
            raise BadFile(f"{status.st_size} bytes, expected {MAX_FILE_BYTES} or fewer")
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise BadFile(error.strerror or str(error)) from error


def _read_annotation(data_root: str, stem: str) -> bytes:
    """Read the file of an annotation, whichever of the allowed extensions it has."""
    for extension in _ANNOTATION_EXTENSIONS:
        path = os.path.join(data_root, stem + extension)
        if os.path.lexists(path):
            return _read(path)
    raise BadFile(f"missing, expected {' or '.join(_ANNOTATION_EXTENSIONS)}")


def _read_maps(data_root: str, stem: str) -> list[bytes]:
    """Read the heat-map files of all joints."""
    maps = []
    for joint in range(schema.NUM_JOINTS):
        try:
            maps.append(_read_annotation(data_root, f"{stem}_{joint:02d}"))
        except BadFile as error:
            raise BadFile(f"map {joint:02d}: {error}") from error
    return maps
