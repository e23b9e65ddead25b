"""The two files beside the shards that let TensorFlow Datasets read them.

`tfds.builder_from_directory(R)` finds in `dataset_info.json` the splits and how their shards are
named, and in `features.json` what a record holds. Both are written here as plain JSON (the JSON
form of the messages DatasetInfo and Feature of tensorflow_datasets 4.9), without importing it.
"""

from __future__ import annotations

import json
import re

from daaf_tf import schema

DATASET_INFO = "dataset_info.json"
FEATURES = "features.json"

_PACKAGE = "tensorflow_datasets.core.features"
# `records.shard_name` in the words of TFDS.
_TEMPLATE = "{SPLIT}-{SHARD_X_OF_Y}.{FILEFORMAT}"


def make_tfds_files(manifest: dict) -> dict[str, str]:
    """Return {file name: content} of both files for the manifest of a conversion.

    In TFDS, examples have the record's own feature names. An annotation that may be absent is a
    sequence of none or one: `image/segmentation/class/encoded` gives uint8 [0 or 1, H, W, 1],
    `image/heatmaps/encoded` uint8 [0 or 1, 17 h, w, 1], and `image/object/keypoint/x` float32 [0 or
    17].
    """
    info = {
        "name": _make_name(manifest["dataset"]),
        "version": f"{manifest['schema_version']}.0.0",
        "description": f"Person images, converted by {manifest['created_by']}.",
        "fileFormat": "tfrecord",
        "splits": [
            {
                "name": split,
                "shardLengths": [str(shard["images"]) for shard in entry["shards"]],
                "numBytes": str(sum(shard["bytes"] for shard in entry["shards"])),
                "filepathTemplate": _TEMPLATE,
            }
            for split, entry in manifest["splits"].items()
        ],
    }
    return {name: json.dumps(value, indent=1) + "\n" for name, value in (
        (DATASET_INFO, info), (FEATURES, _make_features()),
    )}  # fmt: skip


def _make_name(dataset: str) -> str:
    """Return a data set's name as TFDS allows it: letters, digits and underscores."""
    return re.sub(r"\W", "_", dataset, flags=re.ASCII)


def _make_features() -> dict:
    number = _tensor("int64")
    text = {"pythonClassName": f"{_PACKAGE}.text_feature.Text", "text": {}}
    features = {
        schema.IMAGE_ENCODED: _image(channels=3),
        schema.IMAGE_FORMAT: text,
        schema.IMAGE_FILENAME: text,
        schema.IMAGE_SHA256: text,
        schema.IMAGE_HEIGHT: number,
        schema.IMAGE_WIDTH: number,
        schema.CLASS_LABEL: number,
        schema.PERSON_ID_FEATURE: number,
        schema.CAMERA_ID_FEATURE: number,
        schema.MASK_ENCODED: _sequence(_image(channels=1)),
        schema.HEATMAPS_ENCODED: _sequence(_image(channels=1)),
        schema.KEYPOINT_X: _sequence(_tensor("float32")),
        schema.KEYPOINT_Y: _sequence(_tensor("float32")),
        schema.KEYPOINT_VISIBILITY: _sequence(_tensor("float32")),
    }
    return {
        "pythonClassName": f"{_PACKAGE}.features_dict.FeaturesDict",
        "featuresDict": {"features": features},
    }


def _tensor(dtype: str) -> dict:
    return {
        "pythonClassName": f"{_PACKAGE}.tensor_feature.Tensor",
        "tensor": {"dtype": dtype, "encoding": "none", "shape": {}},
    }


def _image(channels: int) -> dict:
    return {
        "pythonClassName": f"{_PACKAGE}.image_feature.Image",
        "image": {"dtype": "uint8", "shape": {"dimensions": ["-1", "-1", str(channels)]}},
    }


def _sequence(feature: dict) -> dict:
    return {
        "pythonClassName": f"{_PACKAGE}.sequence_feature.Sequence",
        "sequence": {"feature": feature, "length": "-1"},
    }
