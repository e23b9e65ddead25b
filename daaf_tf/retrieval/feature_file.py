"""Features of a data set in one .npz file, to be scored again without the network.

Arrays of each split, `query` and `gallery`, and `multi_query` where there is one:

    <split>_features   [N, D] numbers
    <split>_ids        [N] whole numbers: person ids, below 0 for junk
    <split>_cameras    [N] whole numbers, below 0 where the camera is not known
    <split>_filenames  [N] text; may be missing

and of the file, each a text and each may be missing: `metric` ("euclidean" or "cosine", by which
the features are compared), `model`, `data` and `tta`: where the features came from.

A file may come from anybody: arrays of Python objects, which could run a program when they are
unpickled, are refused.
"""

from __future__ import annotations

import dataclasses
import os
import tokenize
import zipfile
import zlib
from collections.abc import Mapping

import numpy as np

from daaf_tf import schema
from daaf_tf.errors import UserError
from daaf_tf.files import open_atomically
from daaf_tf.retrieval.checks import check_integers
from daaf_tf.retrieval.distances import METRICS, check_rows
from daaf_tf.retrieval.features import Features

_ARRAYS = {"features": "features", "person_ids": "ids", "camera_ids": "cameras"}
_FILENAMES = "filenames"
_FACTS = ("metric", "model", "data", "tta")
_SPLITS = (schema.QUERY, schema.GALLERY, schema.MULTI_QUERY)

# What numpy and zipfile raise on what they did not write, or what was cut off or changed since.
_UNREADABLE = (
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    OverflowError,
    SyntaxError,
    ValueError,
    RuntimeError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)


@dataclasses.dataclass(frozen=True)
class FeatureSet:
    """The features of a data set, and where they came from.

    Attributes:
      splits: {split: its features}: query, gallery, and multi_query if it is there.
      metric: "euclidean" or "cosine", by which they are compared; "": not known.
      model: what embedded the images, for people.
      data: which data set they are, for people.
      tta: test-time augmentation they were embedded with.
    """

    splits: Mapping[str, Features]
    metric: str = ""
    model: str = ""
    data: str = ""
    tta: str = ""


def write_features(path: str | os.PathLike, content: FeatureSet) -> None:
    """Write a file of features, whole or not at all.

    Raises:
      UserError: it cannot be written; what was there before is untouched.
    """
    arrays = {name: np.array(getattr(content, name)) for name in _FACTS}
    for split, features in content.splits.items():
        for field, name in (*_ARRAYS.items(), (_FILENAMES, _FILENAMES)):
            arrays[f"{split}_{name}"] = getattr(features, field)
    try:
        with open_atomically(path) as file:
            np.savez(file, **arrays)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror or error}") from error


def read_features(path: str | os.PathLike) -> FeatureSet:
    """Read and check a file of features.

    Raises:
      UserError: it is missing, no .npz file, cut off or damaged; an array is missing, of another
        type (Python objects above all) or shape than it should be, or shorter than the features;
        a feature is NaN or infinite; or the splits have features of several widths. The message
        names the file and the array.
    """
    try:
        archive = np.load(path, allow_pickle=False)
    except _UNREADABLE as error:
        raise UserError(f"{path}: {_describe(path, error)}") from error
    if not isinstance(archive, np.lib.npyio.NpzFile):
        raise UserError(f"{path}: one array by itself, {_EXPECTED}")
    with archive:
        names = [split for split in _SPLITS if _belongs(split, archive)]
        splits = {split: _read_split(path, archive, split) for split in names}
        facts = {name: _read_fact(path, archive, name) for name in _FACTS}
    _check_widths(path, splits)
    if facts["metric"] not in ("", *METRICS):
        raise UserError(f"{path}: metric {facts['metric']!r}, expected {' or '.join(METRICS)}")
    return FeatureSet(splits, **facts)


_EXPECTED = (
    "expected an .npz file of features, as python -m daaf_tf.evaluate --features_out or "
    "numpy.savez writes it"
)


def _describe(path: str | os.PathLike, error: Exception) -> str:
    if isinstance(error, (FileNotFoundError, IsADirectoryError, PermissionError)):
        return f"{error.strerror}; {_EXPECTED}"
    with open(path, "rb") as file:
        begins_as_zip = file.read(2) == b"PK"
    return "damaged or cut off; write it again" if begins_as_zip else f"no archive; {_EXPECTED}"


def _belongs(split: str, archive: np.lib.npyio.NpzFile) -> bool:
    """Tell whether a split must be read: the optional one only where the file has any of it."""
    return split != schema.MULTI_QUERY or any(name.startswith(f"{split}_") for name in archive)


def _read_split(path: str | os.PathLike, archive: np.lib.npyio.NpzFile, split: str) -> Features:
    features, person_ids, camera_ids = (
        _read_array(path, archive, f"{split}_{name}") for name in _ARRAYS.values()
    )
    features = check_rows(f"{path}: {split}_features", features, metric=METRICS[0])
    count = len(features)
    name = f"{split}_{_FILENAMES}"
    filenames = _read_array(path, archive, name) if name in archive else np.full(count, "")
    if filenames.shape != (count,) or filenames.dtype.kind != "U":
        raise UserError(
            f"{path}: {name}: expected {count} texts, one for each image; received "
            f"{filenames.dtype} of shape {list(filenames.shape)}"
        )
    return Features(
        features,
        check_integers(f"{path}: {split}_ids", person_ids, count),
        check_integers(f"{path}: {split}_cameras", camera_ids, count),
        filenames,
    )


def _read_fact(path: str | os.PathLike, archive: np.lib.npyio.NpzFile, name: str) -> str:
    if name not in archive:
        return ""
    value = _read_array(path, archive, name)
    if value.shape or value.dtype.kind != "U":
        raise UserError(
            f"{path}: {name}: expected one text, received {value.dtype} of shape "
            f"{list(value.shape)}"
        )
    return str(value)


def _read_array(path: str | os.PathLike, archive: np.lib.npyio.NpzFile, name: str) -> np.ndarray:
    if name not in archive:
        raise UserError(
            f"{path}: no array {name}; expected one for each of query_* and gallery_* "
            f"({', '.join(_ARRAYS.values())}), found {', '.join(archive) or 'none'}"
        )
    try:
        array = archive[name]
    except _UNREADABLE as error:
        # numpy says so of an array of objects before it has unpickled anything.
        if "allow_pickle" in str(error):
            raise UserError(
                f"{path}: {name}: an array of Python objects, which is never unpickled: it could "
                "run a program. Save numbers as numbers and texts as texts"
            ) from error
        raise UserError(f"{path}: {name}: damaged or cut off; write it again") from error
    if not isinstance(array, np.ndarray):
        raise UserError(f"{path}: {name}: no array of numpy's")
    return array


def _check_widths(path: str | os.PathLike, splits: Mapping[str, Features]) -> None:
    widths = {split: features.features.shape[1] for split, features in splits.items()}
    if len(set(widths.values())) > 1:
        listed = ", ".join(f"{split}_features are {width}" for split, width in widths.items())
        raise UserError(f"{path}: {listed} wide; expected features of one model")
