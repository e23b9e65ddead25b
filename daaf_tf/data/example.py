"""One image as a `tf.train.Example`: built without TensorFlow, parsed with it."""

from __future__ import annotations

import dataclasses
import hashlib
import os

import numpy as np
from google.protobuf import message

from daaf_tf import schema
from daaf_tf.protos import make_message_classes

# `tensorflow/core/example/{example,feature}.proto`, in a descriptor pool of our own. Importing
# TensorFlow only to write this one message would cost every conversion worker two to five seconds
# and 400 MB.
_EXAMPLE_PROTO = """
name: "example.proto" package: "tensorflow" syntax: "proto3"
message_type { name: "BytesList"
  field { name: "value" number: 1 label: LABEL_REPEATED type: TYPE_BYTES } }
message_type { name: "FloatList"
  field { name: "value" number: 1 label: LABEL_REPEATED type: TYPE_FLOAT } }
message_type { name: "Int64List"
  field { name: "value" number: 1 label: LABEL_REPEATED type: TYPE_INT64 } }
message_type { name: "Feature"
  oneof_decl { name: "kind" }
  field { name: "bytes_list" number: 1 label: LABEL_OPTIONAL type: TYPE_MESSAGE
          type_name: ".tensorflow.BytesList" oneof_index: 0 }
  field { name: "float_list" number: 2 label: LABEL_OPTIONAL type: TYPE_MESSAGE
          type_name: ".tensorflow.FloatList" oneof_index: 0 }
  field { name: "int64_list" number: 3 label: LABEL_OPTIONAL type: TYPE_MESSAGE
          type_name: ".tensorflow.Int64List" oneof_index: 0 } }
message_type { name: "Features"
  nested_type { name: "FeatureEntry" options { map_entry: true }
    field { name: "key" number: 1 label: LABEL_OPTIONAL type: TYPE_STRING }
    field { name: "value" number: 2 label: LABEL_OPTIONAL type: TYPE_MESSAGE
            type_name: ".tensorflow.Feature" } }
  field { name: "feature" number: 1 label: LABEL_REPEATED type: TYPE_MESSAGE
          type_name: ".tensorflow.Features.FeatureEntry" } }
message_type { name: "Example"
  field { name: "features" number: 1 label: LABEL_OPTIONAL type: TYPE_MESSAGE
          type_name: ".tensorflow.Features" } }
"""


(_Example,) = make_message_classes(_EXAMPLE_PROTO, "Example")


@dataclasses.dataclass(frozen=True)
class ImageRecord:
    """What is stored of one image.

    Attributes:
      encoded: the image file's own bytes (JPEG or PNG).
      image_format: "jpeg" or "png".
      filename: path of the file below its split's image folder.
      height: of the image in pixels.
      width: of the image in pixels.
      person_id: the file's own: schema.JUNK_ID, schema.DISTRACTOR_ID or a person.
      camera_id: the file's own.
      mask: PNG of the image's size, 0 background and 255 person; None: absent.
      heatmaps: one grey PNG of the 17 maps stacked top to bottom; None: absent.
      keypoints: [17, 3] float32, x, y (0..1 of width and height, see
        `annotations.locate_peaks`) and visibility (0..1); None: absent.
    """

    encoded: bytes
    image_format: str
    filename: str
    height: int
    width: int
    person_id: int
    camera_id: int
    mask: bytes | None = None
    heatmaps: bytes | None = None
    keypoints: np.ndarray | None = None


def make_example(record: ImageRecord, label: int = schema.NO_LABEL) -> bytes:
    """Return a serialized `tf.train.Example` of one image.

    Args:
      record: the image; an annotation that is None becomes an absent feature.
      label: class label 0..N-1 in the training split, schema.NO_LABEL elsewhere.

    Returns:
      The same bytes for the same record, whatever the platform: features are sorted by name.
    """
    example = _Example()
    feature = example.features.feature
    for name, value in (
        (schema.IMAGE_ENCODED, record.encoded),
        (schema.IMAGE_FORMAT, record.image_format.encode()),
        (schema.IMAGE_FILENAME, os.fsencode(record.filename)),
        (schema.IMAGE_SHA256, hashlib.sha256(record.encoded).hexdigest().encode()),
        (schema.MASK_ENCODED, record.mask),
        (schema.HEATMAPS_ENCODED, record.heatmaps),
    ):
        if value is not None:
            feature[name].bytes_list.value.append(value)
    for name, value in (
        (schema.IMAGE_HEIGHT, record.height),
        (schema.IMAGE_WIDTH, record.width),
        (schema.CLASS_LABEL, label),
        (schema.PERSON_ID_FEATURE, record.person_id),
        (schema.CAMERA_ID_FEATURE, record.camera_id),
    ):
        feature[name].int64_list.value.append(value)
    if record.keypoints is not None:
        names = (schema.KEYPOINT_X, schema.KEYPOINT_Y, schema.KEYPOINT_VISIBILITY)
        for name, values in zip(names, record.keypoints.T):
            feature[name].float_list.value.extend(values.tolist())
    return example.SerializeToString(deterministic=True)


def parse_record(serialized: bytes) -> tuple[ImageRecord, int]:
    """Return the image and the label that `make_example` was given; needs no TensorFlow.

    Raises:
      ValueError: the bytes are no Example, or not one of this schema; or the image is not the one
        whose hash the record carries.
    """
    example = _Example()
    try:
        example.ParseFromString(serialized)
    except message.DecodeError as error:
        raise ValueError(f"no tf.train.Example ({error})") from None
    feature = example.features.feature

    def values(name: str, kind: str, count: int = 1) -> list:
        found = list(getattr(feature[name], kind).value) if name in feature else []
        if len(found) != count:
            raise ValueError(f"{name}: {len(found)} values in its {kind}, expected {count}")
        return found

    def optional(name: str) -> bytes | None:
        return values(name, "bytes_list")[0] if name in feature else None

    (encoded,) = values(schema.IMAGE_ENCODED, "bytes_list")
    if values(schema.IMAGE_SHA256, "bytes_list") != [hashlib.sha256(encoded).hexdigest().encode()]:
        raise ValueError(f"the image is not the one that {schema.IMAGE_SHA256} was taken of")
    keypoints = None
    if schema.KEYPOINT_X in feature:
        names = (schema.KEYPOINT_X, schema.KEYPOINT_Y, schema.KEYPOINT_VISIBILITY)
        columns = [values(name, "float_list", schema.NUM_JOINTS) for name in names]
        keypoints = np.array(columns, np.float32).T
    record = ImageRecord(
        encoded=encoded,
        image_format=values(schema.IMAGE_FORMAT, "bytes_list")[0].decode("ascii", "replace"),
        filename=os.fsdecode(values(schema.IMAGE_FILENAME, "bytes_list")[0]),
        height=values(schema.IMAGE_HEIGHT, "int64_list")[0],
        width=values(schema.IMAGE_WIDTH, "int64_list")[0],
        person_id=values(schema.PERSON_ID_FEATURE, "int64_list")[0],
        camera_id=values(schema.CAMERA_ID_FEATURE, "int64_list")[0],
        mask=optional(schema.MASK_ENCODED),
        heatmaps=optional(schema.HEATMAPS_ENCODED),
        keypoints=keypoints,
    )
    return record, values(schema.CLASS_LABEL, "int64_list")[0]


def parse_example(serialized):
    """Parse one serialized Example, or a vector of them, into tensors.

    Works eagerly and in a graph (`tf.data.Dataset.map`).

    Args:
      serialized: string tensor [] or [B], what `RecordReader.read` returns.

    Returns:
      A dict of tensors, [] each (or [B]), keyed by the feature names of `daaf_tf.schema`: string
      for encoded images, format, filename and hash; int64 for height, width, label, person and
      camera id; float32 [17] (or [B, 17]) for keypoint x, y and visibility. An absent annotation
      is the empty string, or 17 times -1.

    Raises:
      tf.errors.InvalidArgumentError: the bytes are no Example or lack a feature that every record
        has.
    """
    # Here and not above, so that writing and reading records needs no TensorFlow.
    import tensorflow as tf

    text = (schema.IMAGE_ENCODED, schema.IMAGE_FORMAT, schema.IMAGE_FILENAME, schema.IMAGE_SHA256)
    numbers = (
        schema.IMAGE_HEIGHT, schema.IMAGE_WIDTH, schema.CLASS_LABEL, schema.PERSON_ID_FEATURE,
        schema.CAMERA_ID_FEATURE,
    )  # fmt: skip
    annotations = (schema.MASK_ENCODED, schema.HEATMAPS_ENCODED)
    keypoints = (schema.KEYPOINT_X, schema.KEYPOINT_Y, schema.KEYPOINT_VISIBILITY)
    joints = [schema.NUM_JOINTS]
    return tf.io.parse_example(
        serialized,
        {
            **{name: tf.io.FixedLenFeature([], tf.string) for name in text},
            **{name: tf.io.FixedLenFeature([], tf.int64) for name in numbers},
            **{name: tf.io.FixedLenFeature([], tf.string, "") for name in annotations},
            **{name: tf.io.FixedLenFeature(joints, tf.float32, [-1.0] * 17) for name in keypoints},
        },
    )
