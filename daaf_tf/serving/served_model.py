"""A SavedModel as a server sees it: a name, a version, signatures that arrays go through."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf import json_format
from tensorflow.core.protobuf import saved_model_pb2

from daaf_tf.errors import brief
from daaf_tf.serving.batching import Batcher, Batching, QueueFullError
from daaf_tf.serving.embedder import SAVED_MODEL_FILE, Embedder
from daaf_tf.serving.rest_protocol import RequestError


class ServedModel:
    """A loaded model under the name that clients know.

    Attributes:
      name: of the model.
      version: the number of its folder; 1 where the folder has no number.
      inputs: {signature: {input: tf.TensorSpec}}.
      metadata: what TensorFlow Serving tells of the signatures, ready for JSON.
    """

    def __init__(self, embedder: Embedder, name: str, batching: Batching | None = None):
        """Take a loaded model.

        Args:
          embedder: from `daaf_tf.serving.load`.
          name: of the model.
          batching: how concurrent requests are put together; None: each goes alone.
        """
        self.name = name
        self.version = int(embedder.path.name) if embedder.path.name.isdecimal() else 1
        self._signatures = dict(embedder.signatures)
        self.inputs: dict[str, Mapping[str, tf.TensorSpec]] = {
            key: signature.structured_input_signature[1]
            for key, signature in self._signatures.items()
        }
        self.metadata = _read_metadata(embedder, self.name, self.version)
        self._batching = batching
        self._batcher = Batcher(self._call, batching) if batching else None

    def predict(self, signature: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return the outputs for N rows of inputs.

        Args:
          signature: one of `inputs`.
          inputs: arrays of N rows that fit its specs; at least one row.

        Raises:
          RequestError: the model refuses the content, or too much waits already.
        """
        rows = len(next(iter(inputs.values())))
        if self._batching and rows > self._batching.max_batch_size:
            raise RequestError(
                f"Task size {rows} is larger than maximum batch size "
                f"{self._batching.max_batch_size}"
            )
        try:
            return (
                self._batcher.run(signature, inputs)
                if self._batcher
                else self._call(signature, inputs)
            )
        except QueueFullError:
            raise RequestError("The batch scheduling queue is full", status=503) from None
        except (tf.errors.InvalidArgumentError, tf.errors.ResourceExhaustedError) as error:
            raise RequestError(brief(error)) from error

    def close(self) -> None:
        """Finish the requests that wait."""
        if self._batcher:
            self._batcher.close()

    def _call(self, signature: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        specs = self.inputs[signature]
        tensors = {name: tf.constant(rows, specs[name].dtype) for name, rows in inputs.items()}
        return {name: rows.numpy() for name, rows in self._signatures[signature](**tensors).items()}


def _read_metadata(embedder: Embedder, name: str, version: int) -> dict[str, Any]:
    saved = saved_model_pb2.SavedModel.FromString((embedder.path / SAVED_MODEL_FILE).read_bytes())
    definitions = {
        key: json_format.MessageToDict(definition, preserving_proto_field_name=True)
        for key, definition in saved.meta_graphs[0].signature_def.items()
    }
    return {
        "model_spec": {"name": name, "signature_name": "", "version": str(version)},
        "metadata": {"signature_def": {"signature_def": definitions}},
    }
