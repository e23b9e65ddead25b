"""Clients of a served model, by TensorFlow Serving's REST and gRPC protocols; no TensorFlow."""

from __future__ import annotations

from daaf_tf.clients.grpc_client import GrpcClient
from daaf_tf.clients.refusals import RefusedError
from daaf_tf.clients.rest_client import RestClient

__all__ = ["GrpcClient", "RefusedError", "RestClient"]
