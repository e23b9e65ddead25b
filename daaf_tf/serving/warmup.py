"""Warm-up requests: a server sends them to a model it has loaded, before it sends it anybody's.

The first request of a shape is slow, because TensorFlow prepares itself for it. TensorFlow Serving
reads `assets.extra/tf_serving_warmup_requests`, at most 1,000 records, each a PredictionLog.
"""

from __future__ import annotations

import collections
import os
import pathlib
from collections.abc import Iterable, Mapping

import numpy as np
import tensorflow as tf
from google.protobuf import message
from tensorflow.core.framework import tensor_pb2

from daaf_tf.errors import UserError, brief
from daaf_tf.protos import make_message_classes
from daaf_tf.serving.embedder import ENCODED_INPUT, PIXELS_INPUT

WARMUP_FILE = "assets.extra/tf_serving_warmup_requests"
# What one client sends, and what batching makes of many.
BATCH_SIZES = (1, 8)

# What is needed of `tensorflow_serving/apis/{prediction_log,predict,model}.proto`, in a descriptor
# pool of our own: the package tensorflow-serving-api wants a TensorFlow of its own version. On the
# wire a message and its bytes are the same, so that a TensorProto may stand here as bytes.
_PREDICTION_LOG_PROTO = """
name: "prediction_log.proto" package: "tensorflow.serving" syntax: "proto3"
message_type { name: "ModelSpec"
  field { name: "name" number: 1 label: LABEL_OPTIONAL type: TYPE_STRING }
  field { name: "signature_name" number: 3 label: LABEL_OPTIONAL type: TYPE_STRING } }
message_type { name: "PredictRequest"
  nested_type { name: "InputsEntry" options { map_entry: true }
    field { name: "key" number: 1 label: LABEL_OPTIONAL type: TYPE_STRING }
    field { name: "value" number: 2 label: LABEL_OPTIONAL type: TYPE_BYTES } }
  field { name: "model_spec" number: 1 label: LABEL_OPTIONAL type: TYPE_MESSAGE
          type_name: ".tensorflow.serving.ModelSpec" }
  field { name: "inputs" number: 2 label: LABEL_REPEATED type: TYPE_MESSAGE
          type_name: ".tensorflow.serving.PredictRequest.InputsEntry" } }
message_type { name: "PredictLog"
  field { name: "request" number: 1 label: LABEL_OPTIONAL type: TYPE_MESSAGE
          type_name: ".tensorflow.serving.PredictRequest" } }
message_type { name: "PredictionLog"
  oneof_decl { name: "log_type" }
  field { name: "predict_log" number: 6 label: LABEL_OPTIONAL type: TYPE_MESSAGE
          type_name: ".tensorflow.serving.PredictLog" oneof_index: 0 } }
"""


(_PredictionLog,) = make_message_classes(_PREDICTION_LOG_PROTO, "PredictionLog")


def make_request_log(signature: str, inputs: Mapping[str, np.ndarray]) -> bytes:
    """Return a serialized PredictionLog of one request.

    Args:
      signature: its name.
      inputs: the signature's inputs by name; strings as an object array of bytes.
    """
    log = _PredictionLog()
    request = log.predict_log.request
    request.model_spec.name = "daaf_tf"
    request.model_spec.signature_name = signature
    for name, values in inputs.items():
        request.inputs[name] = tf.make_tensor_proto(values).SerializeToString()
    return log.SerializeToString(deterministic=True)


def write_warmup_requests(
    folder: str | os.PathLike, signatures: Mapping[str, str], height: int, width: int
) -> None:
    """Write the warm-up file of a SavedModel: each signature, with batches of BATCH_SIZES.

    Args:
      folder: the SavedModel.
      signatures: {name: name of its one input}, PIXELS_INPUT or ENCODED_INPUT.
      height: of the images in pixels; requests of the network's own size are the usual ones.
      width: of the images in pixels.
    """
    # Not one grey: a JPEG without detail is decoded on a shorter way than a photograph.
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3)).astype(np.uint8)
    image = {PIXELS_INPUT: pixels, ENCODED_INPUT: tf.io.encode_jpeg(pixels).numpy()}
    path = pathlib.Path(folder, WARMUP_FILE)
    path.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for signature, name in signatures.items():
            for count in BATCH_SIZES:
                batch = np.array([image[name]] * count, None if name == PIXELS_INPUT else object)
                writer.write(make_request_log(signature, {name: batch}))


def replay_warmup(folder: str | os.PathLike, signatures: Mapping) -> dict[str, int]:
    """Send the requests of a warm-up file through a loaded model's signatures.

    Args:
      folder: the SavedModel.
      signatures: what `tf.saved_model.load(folder).signatures` is.

    Returns:
      How many requests each signature has answered.

    Raises:
      UserError: the file is missing or damaged, or a request fails.
    """
    path = pathlib.Path(folder, WARMUP_FILE)
    answered = collections.Counter()
    try:
        for signature, inputs in _parse_requests(_read_records(path)):
            signatures[signature](**inputs)
            answered[signature] += 1
    except (tf.errors.OpError, message.DecodeError, LookupError, TypeError, ValueError) as error:
        raise UserError(
            f"{path}: expected warm-up requests that the model answers; request "
            f"{sum(answered.values())} fails ({brief(error)}); export the model again"
        ) from error
    return dict(answered)


def _read_records(path: pathlib.Path) -> Iterable[bytes]:
    return (record.numpy() for record in tf.data.TFRecordDataset(str(path)))


def _parse_requests(records: Iterable[bytes]) -> Iterable[tuple[str, dict[str, tf.Tensor]]]:
    """Yield (signature, inputs) of each serialized PredictionLog."""
    for record in records:
        request = _PredictionLog.FromString(record).predict_log.request
        protos = {n: tensor_pb2.TensorProto.FromString(v) for n, v in request.inputs.items()}
        inputs = {name: tf.constant(tf.make_ndarray(proto)) for name, proto in protos.items()}
        yield request.model_spec.signature_name, inputs
