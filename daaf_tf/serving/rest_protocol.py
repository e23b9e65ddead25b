"""TensorFlow Serving's REST protocol: JSON to arrays and back, errors in its words.

Source: https://www.tensorflow.org/tfx/serving/api_rest. Requests come in the row format
(`instances`) or the column format (`inputs`); bytes are `{"b64": ...}`.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import json
import reprlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

DEFAULT_SIGNATURE = "serving_default"


class RequestError(Exception):
    """A request that cannot be answered, and the HTTP status that says so."""

    def __init__(self, message: str, status: int = 400):
        """Take the message for the client."""
        super().__init__(message)
        self.status = status


@dataclasses.dataclass(frozen=True)
class PredictRequest:
    """What a client wants computed.

    Attributes:
      signature: its name.
      inputs: arrays of N rows by input name.
      by_row: whether the answer lists rows, too, rather than columns.
    """

    signature: str
    inputs: dict[str, np.ndarray]
    by_row: bool


def parse_predict_request(
    body: bytes, signatures: Mapping[str, Mapping[str, tf.TensorSpec]]
) -> PredictRequest:
    """Parse the body of a predict request.

    Args:
      body: JSON.
      signatures: the inputs of every signature of the model.

    Raises:
      RequestError: it is no request that the model can take.
    """
    document = _parse_object(body)
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        raise RequestError(
            f"JSON Value: {_quote(document)} not formatted correctly. 'signature_name' key must be "
            "a string value."
        )
    name = name or DEFAULT_SIGNATURE
    if name not in signatures:
        raise RequestError(f'Serving signature name: "{name}" not found in signature def')
    specs = signatures[name]
    by_row = "instances" in document
    if by_row and "inputs" in document:
        raise RequestError(
            f"JSON Value: {_quote(document)} Not formatted correctly expecting only one of "
            "'inputs' or 'instances' keys to exist"
        )
    if by_row:
        columns = _turn_into_columns(document["instances"], list(specs))
    elif "inputs" in document:
        columns = _list_columns(document["inputs"], list(specs))
    else:
        raise RequestError("Missing 'inputs' or 'instances' key")
    inputs = {key: _make_array(key, spec, columns[key]) for key, spec in specs.items()}
    if len({len(array) for array in inputs.values()}) != 1:
        raise RequestError("expected as many rows for each input")
    return PredictRequest(name, inputs, by_row)


def format_predictions(outputs: Mapping[str, np.ndarray], *, by_row: bool) -> bytes:
    """Return the JSON of an answer: `predictions` by row, or `outputs` by column.

    The name of an output is left out where there is one alone.
    """
    columns = {name: array.tolist() for name, array in outputs.items()}
    single = len(columns) == 1
    if not by_row:
        answer = {"outputs": next(iter(columns.values())) if single else columns}
    elif single:
        answer = {"predictions": next(iter(columns.values()))}
    else:
        answer = {"predictions": [dict(zip(columns, row)) for row in zip(*columns.values())]}
    return json.dumps(answer).encode("ascii")


def _parse_object(body: bytes) -> dict[str, Any]:
    if not body:
        raise RequestError("JSON Parse error: The document is empty")
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise RequestError(f"JSON Parse error: {error}") from error
    if not isinstance(document, dict):
        raise RequestError(f"JSON Value: {_quote(document)} Is not object")
    return document


def _turn_into_columns(instances: Any, names: list[str]) -> dict[str, list]:
    """Return the values of each input from rows, which name the inputs if there are several."""
    if not isinstance(instances, list):
        raise RequestError("Excepting 'instances' to be an list/array")
    if not instances:
        raise RequestError("No values in 'instances' array")
    columns = {name: [] for name in names}
    for place, row in enumerate(instances):
        if not isinstance(row, dict) or "b64" in row:
            if len(names) > 1:
                raise RequestError(
                    "instances is a plain list, but expecting list of objects as multiple input "
                    "tensors required as per tensorinfo_map"
                )
            row = {names[0]: row}
        if set(row) != set(names):
            raise RequestError(
                f"Failed to process element: {place} of 'instances' list. JSON object: "
                f"{_quote(row)} keys must be equal to: {','.join(sorted(names))}"
            )
        for name in names:
            columns[name].append(row[name])
    return columns


def _list_columns(inputs: Any, names: list[str]) -> dict[str, Any]:
    if not isinstance(inputs, dict) or "b64" in inputs:
        if len(names) > 1:
            raise RequestError(
                "inputs is a plain value/list, but expecting an object as multiple input tensors "
                "required as per tensorinfo_map"
            )
        return {names[0]: inputs}
    for name in names:
        if name not in inputs:
            raise RequestError(f"Missing named input: {name} in 'inputs' object.")
    return inputs


def _make_array(name: str, spec: tf.TensorSpec, value: Any) -> np.ndarray:
    array = _make_strings(value) if spec.dtype == tf.string else _make_numbers(value, spec.dtype)
    if not array.ndim or not spec.shape.is_compatible_with(array.shape):
        raise RequestError(
            f"input {name}: expected {spec.dtype.name} of shape {spec.shape}, received the shape "
            f"{list(array.shape)}"
        )
    if not len(array):
        raise RequestError(f"input {name}: expected one row or more, received none")
    return array


def _make_strings(value: Any) -> np.ndarray:
    if not isinstance(value, list):
        return np.array(_decode(value), object)
    array = np.empty(len(value), object)
    array[:] = [_decode(item) for item in value]
    return array


def _decode(value: Any) -> bytes:
    """Return the bytes of a string, or of {"b64": ...}."""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogatepass")
    if not isinstance(value, dict) or set(value) != {"b64"} or not isinstance(value["b64"], str):
        raise RequestError(
            f"JSON Value: {_quote(value)} not formatted correctly for base64 data"
            if isinstance(value, dict)
            else f"JSON Value: {_quote(value)} is not of expected type: string"
        )
    try:
        return base64.b64decode(value["b64"], validate=True)
    except (binascii.Error, ValueError) as error:
        raise RequestError(f"Unable to base64 decode ({error})") from error


def _make_numbers(value: Any, dtype: tf.DType) -> np.ndarray:
    try:
        array = np.array(value)
    except (ValueError, OverflowError) as error:
        raise RequestError(f"JSON Value: {_quote(value)}: expected a full array") from error
    whole = np.issubdtype(dtype.as_numpy_dtype, np.integer)
    if array.size and array.dtype.kind not in ("iu" if whole else "iuf"):
        raise RequestError(f"JSON Value: {_quote(value)} is not of expected type: {dtype.name}")
    if whole and array.size and not (dtype.min <= array.min() and array.max() <= dtype.max):
        raise RequestError(f"expected {dtype.name} from {dtype.min} to {dtype.max}")
    return array.astype(dtype.as_numpy_dtype)


def _quote(value: Any) -> str:
    """Return the beginning of what a client sent."""
    return reprlib.repr(value)
