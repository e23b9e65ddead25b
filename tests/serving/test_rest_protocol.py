"""Requests in every right and wrong shape."""

from __future__ import annotations

import base64
import json

import numpy as np
import pytest
import tensorflow as tf

from daaf_tf.serving.rest_protocol import RequestError, format_predictions, parse_predict_request

SIGNATURES = {
    "serving_default": {"images": tf.TensorSpec([None, None, None, 3], tf.uint8)},
    "encoded": {"encoded": tf.TensorSpec([None], tf.string)},
    "two": {"a": tf.TensorSpec([None, 2], tf.float32), "b": tf.TensorSpec([None], tf.string)},
}
PIXELS = np.arange(24, dtype=np.uint8).reshape(2, 2, 2, 3)
FILES = [b"\xff\xd8 one", b"", b"\x00\xff"]


def b64(content):
    return {"b64": base64.b64encode(content).decode()}


def parse(document):
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return parse_predict_request(body, SIGNATURES)


@pytest.mark.parametrize(
    "request_",
    [
        {"instances": [b64(one) for one in FILES]},
        {"instances": [{"encoded": b64(one)} for one in FILES]},
        {"inputs": [b64(one) for one in FILES]},
        {"inputs": {"encoded": [b64(one) for one in FILES]}},
    ],
    ids=["rows", "named rows", "column", "named column"],
)
def test_files(request_):
    parsed = parse({"signature_name": "encoded", **request_})
    assert parsed.signature == "encoded"
    assert parsed.by_row == ("instances" in request_)
    assert list(parsed.inputs["encoded"]) == FILES


@pytest.mark.parametrize("key", ["instances", "inputs"])
def test_pixels_are_the_default(key):
    parsed = parse({key: PIXELS.tolist()})
    assert parsed.signature == "serving_default"
    assert parsed.inputs["images"].dtype == np.uint8
    np.testing.assert_array_equal(parsed.inputs["images"], PIXELS)


def test_several_inputs():
    by_row = parse({"signature_name": "two", "instances": [{"a": [1, 2.5], "b": "x"}]})
    by_column = parse({"signature_name": "two", "inputs": {"a": [[1, 2.5]], "b": ["x"]}})
    for parsed in (by_row, by_column):
        np.testing.assert_array_equal(parsed.inputs["a"], [[1, 2.5]])
        assert parsed.inputs["a"].dtype == np.float32
        assert list(parsed.inputs["b"]) == [b"x"]


ENCODED = {"signature_name": "encoded"}
TWO = {"signature_name": "two"}


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (b"", "JSON Parse error: The document is empty"),
        (b"{", "JSON Parse error"),
        (b"\xff\xfe\x00", "JSON Parse error"),
        (b'{"instances": ' + b"[" * 200_000, "JSON Parse error"),
        ([], "Is not object"),
        (3, "Is not object"),
        ({}, "Missing 'inputs' or 'instances' key"),
        ({"signature_name": 3, "instances": [1]}, "'signature_name' key must be a string value"),
        ({"signature_name": "x", "instances": [1]}, 'signature name: "x" not found in signature'),
        ({"instances": [1], "inputs": [1]}, "expecting only one of 'inputs' or 'instances'"),
        ({"instances": 3}, "'instances' to be an list/array"),
        ({"instances": {}}, "'instances' to be an list/array"),
        ({"instances": []}, "No values in 'instances' array"),
        ({"inputs": []}, "expected uint8 of shape .*, received the shape"),
        ({**ENCODED, "inputs": []}, "input encoded: expected one row or more"),
        ({**ENCODED, "inputs": b64(b"x")}, r"expected string of shape \(None,\), .* \[\]"),
        ({**ENCODED, "instances": [{"b64": "!"}]}, "Unable to base64 decode"),
        ({**ENCODED, "instances": [{"b64": 3}]}, "not formatted correctly for base64"),
        ({**ENCODED, "instances": [{"b64": "", "c": 1}]}, "not formatted correctly for base64"),
        ({**ENCODED, "instances": [{"image": b64(b"x")}]}, "element: 0 .* equal to: encoded"),
        ({**ENCODED, "instances": [b64(b""), 3]}, "JSON Value: 3 is not of expected type: string"),
        ({**ENCODED, "instances": [["x"]]}, "is not of expected type: string"),
        ({**ENCODED, "inputs": {"image": []}}, "Missing named input: encoded in 'inputs' object"),
        ({"instances": [[1, 2], [3]]}, "expected a full array"),
        ({"instances": [[[1, 2], [3, 4]]]}, "images: expected uint8 .*received the shape"),
        ({"instances": [[[[1, 2, 3, 4]]]]}, "images: expected uint8 .*received the shape"),
        ({"instances": [[[[1, 2, 256]]]]}, "expected uint8 from 0 to 255"),
        ({"instances": [[[[1, 2, -1]]]]}, "expected uint8 from 0 to 255"),
        ({"instances": [[[[1, 2, 3.5]]]]}, "is not of expected type: uint8"),
        ({"instances": [[[["a", "b", "c"]]]]}, "is not of expected type: uint8"),
        ({"instances": [[[[True, True, True]]]]}, "is not of expected type: uint8"),
        ({"instances": [None]}, "is not of expected type: uint8"),
        ({"instances": [[[[10**30, 0, 0]]]]}, "is not of expected type: uint8"),
        ({**TWO, "instances": [1]}, "expecting list of objects"),
        ({**TWO, "instances": [{"a": [1, 2]}]}, "keys must be equal to: a,b"),
        ({**TWO, "inputs": [1]}, "expecting an object"),
        ({**TWO, "inputs": {"a": [[1, 2]], "b": ["x", "y"]}}, "expected as many rows"),
    ],
)
def test_a_wrong_request_is_told_what_is_wrong(document, message):
    with pytest.raises(RequestError, match=message) as caught:
        parse(document)
    assert caught.value.status == 400
    assert len(str(caught.value)) < 1000


def test_a_long_request_is_quoted_in_short():
    with pytest.raises(RequestError) as caught:
        parse({"signature_name": "encoded", "instances": [{"wrong": "x" * 100_000}]})
    assert len(str(caught.value)) < 1000


def test_answers():
    one = {"embedding": np.float32([[0.5, -1], [2, 3]])}
    several = {**one, "mask": np.float32([[[1]], [[0]]])}
    assert json.loads(format_predictions(one, by_row=True)) == {"predictions": [[0.5, -1], [2, 3]]}
    assert json.loads(format_predictions(one, by_row=False)) == {"outputs": [[0.5, -1], [2, 3]]}
    assert json.loads(format_predictions(several, by_row=True)) == {
        "predictions": [
            {"embedding": [0.5, -1], "mask": [[1]]},
            {"embedding": [2, 3], "mask": [[0]]},
        ]
    }
    assert json.loads(format_predictions(several, by_row=False)) == {
        "outputs": {"embedding": [[0.5, -1], [2, 3]], "mask": [[[1]], [[0]]]}
    }


def test_floats_survive_json():
    values = np.random.default_rng(0).normal(size=(3, 50)).astype(np.float32)
    received = json.loads(format_predictions({"embedding": values}, by_row=True))["predictions"]
    np.testing.assert_array_equal(np.float32(received), values)
