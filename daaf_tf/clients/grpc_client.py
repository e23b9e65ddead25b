"""Embed images over TensorFlow Serving's gRPC protocol."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from daaf_tf.clients import refusals
from daaf_tf.clients.predict_protos import (
    DT_FLOAT,
    DT_STRING,
    METHOD,
    PredictRequest,
    PredictResponse,
)
from daaf_tf.errors import UserError


class GrpcClient:
    """One model on a server that speaks gRPC. May be used by several threads at once.

    The connection is closed with the object's `close`, or at the end of a `with` block.
    """

    def __init__(self, server: str, model: str, *, version: int = 0, timeout: float = 60.0):
        """Remember where the model is; nothing is sent.

        Args:
          server: `host:port`; the connection is not encrypted.
          model: its name on the server.
          version: of the model; 0: the newest.
          timeout: seconds to wait for an answer.
        """
        import grpc  # takes a third of a second

        self.server, self.model, self.version, self.timeout = server, model, version, timeout
        # Its own limit of 4 MB is less than a batch of photographs.
        limits = [(f"grpc.max_{way}_message_length", -1) for way in ("send", "receive")]
        self._channel = grpc.insecure_channel(server, options=limits)
        self._predict = self._channel.unary_unary(
            METHOD,
            request_serializer=PredictRequest.SerializeToString,
            response_deserializer=PredictResponse.FromString,
        )

    def __enter__(self) -> GrpcClient:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def embed(self, images: Sequence[bytes]) -> np.ndarray:
        """Return one embedding for each image in one request; as `RestClient.embed`."""
        import grpc

        try:
            response = self._predict(self._make_request(images), timeout=self.timeout)
        except grpc.RpcError as error:
            raise self._refusal(error, grpc.StatusCode) from error
        return self._parse_embeddings(response, len(images))

    def _make_request(self, images: Sequence[bytes]) -> Any:
        request = PredictRequest()
        request.model_spec.name = self.model
        request.model_spec.signature_name = refusals.SIGNATURE
        if self.version:
            request.model_spec.version.value = self.version
        tensor = request.inputs[refusals.INPUT]
        tensor.dtype = DT_STRING
        tensor.tensor_shape.dim.add(size=len(images))
        tensor.string_val.extend(images)
        request.output_filter.append(refusals.OUTPUT)
        return request

    def _refusal(self, error: Any, codes: Any) -> UserError:
        said = error.details()
        if error.code() == codes.UNAVAILABLE:
            return refusals.absent(self.server, said)
        if error.code() == codes.DEADLINE_EXCEEDED:
            return refusals.silent(self.server, self.timeout)
        if error.code() == codes.NOT_FOUND:
            return refusals.unknown_model(self.server, self.model, said)
        kind = refusals.RefusedError if error.code() == codes.INVALID_ARGUMENT else UserError
        return kind(f"{self.server} refuses the request ({error.code().name}): {said}")

    def _parse_embeddings(self, response: Any, count: int) -> np.ndarray:
        if refusals.OUTPUT not in response.outputs:
            raise refusals.no_embedding(self.server, ", ".join(response.outputs) or "nothing")
        tensor = response.outputs[refusals.OUTPUT]
        shape = [dim.size for dim in tensor.tensor_shape.dim]
        if tensor.tensor_content:
            values = np.frombuffer(tensor.tensor_content, "<f4").astype(np.float32)
        else:
            values = np.asarray(tensor.float_val, np.float32)
        whole = len(shape) == 2 and shape[0] == count and values.size == shape[0] * shape[1]
        if tensor.dtype != DT_FLOAT or not whole:
            raise refusals.no_embedding(self.server, f"{shape} for {count} images")
        return values.reshape(shape)
