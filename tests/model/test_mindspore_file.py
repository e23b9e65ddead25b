"""MindSpore's checkpoints are read without MindSpore, and damaged ones refused."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from weight_samples import field, mindspore, mindspore_value, varint

from daaf_tf.errors import UserError
from daaf_tf.model.mindspore_file import read_mindspore

RNG = np.random.default_rng(0)
TENSORS = {
    "layer1.0.conv1.weight": RNG.normal(size=(200, 3, 1, 2)).astype(np.float32),
    "bn1.gamma": RNG.normal(size=2).astype(np.float16),
    "global_step": np.array([300], np.int32),
}


def assert_tensors(found, expected=TENSORS):
    assert list(found) == list(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)


@pytest.mark.parametrize("packed", [False, True])
def test_values_and_shapes(packed):
    found = read_mindspore(mindspore(TENSORS, packed))
    assert_tensors(found)
    assert found["bn1.gamma"].dtype == np.float32


def test_scalars_are_written_as_no_values_at_all():
    content = mindspore_value("rate", [0], "Float32", np.float32(0.5).tobytes())
    assert read_mindspore(content)["rate"] == np.float32(0.5)


def test_bfloat16():
    bits = np.array([0x3F80, 0xC040], np.uint16)
    found = read_mindspore(mindspore_value("w", [2], "BFloat16", bits.tobytes()))
    np.testing.assert_array_equal(found["w"], [1, -3])


def test_pieces_of_one_tensor_are_joined():
    array = TENSORS["layer1.0.conv1.weight"]
    raw = array.tobytes()
    content = b"".join(
        mindspore_value("w", array.shape, "Float32", piece) for piece in (raw[:100], raw[100:])
    )
    assert_tensors(read_mindspore(content), {"w": array})
    other = mindspore_value("w", [1], "Float32", raw[:4])
    with pytest.raises(UserError, match="two tensors 'w'"):
        read_mindspore(content + other)


def test_what_is_no_tensor_has_none():
    content = mindspore_value("text", [1], "str", b"abc")
    assert read_mindspore(content) == {"text": None}


def test_the_files_own_checksum():
    body = mindspore(TENSORS)
    ending = b"crc_num" + zlib.crc32(body).to_bytes(10, "big")
    assert_tensors(read_mindspore(body + ending))
    damaged = bytearray(body + ending)
    damaged[len(body) // 2] ^= 1
    with pytest.raises(UserError, match="checksum"):
        read_mindspore(bytes(damaged))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\n", "truncated"),
        (b"\n\x05", "truncated"),
        (b"\x08\x05", "a value is missing"),
        (b"\n\x00", "no name or is no tensor"),
        (b"\x0b\x00", "wire type 3"),
        (b"\n" + b"\xff" * 11, "more than 64 bits"),
        (field(1, field(1, b"map") + field(3, b"")), "no name or is no tensor"),
        (field(1, field(1, b"\xff") + field(2, field(2, b"Float32") + field(3, b""))), "no text"),
        (field(1, field(1, b"w") + field(2, field(2, b"Float32"))), "no content"),
        (mindspore_value("w", [3], "Float32", b"\0" * 8), r"shape \(3,\)"),
        (mindspore_value("w", [2**40, 2**40], "Float32", b"\0" * 8), "has 8 bytes"),
        (field(1, varint(5)), "truncated"),
    ],
)
def test_malformed_checkpoints_end_in_a_message(content, message):
    with pytest.raises(UserError, match=message):
        read_mindspore(content)


def test_a_truncation_is_refused_or_leaves_whole_tensors():
    content = mindspore(TENSORS)
    whole = {0}
    for size in range(len(content)):
        try:
            found = read_mindspore(content[:size])
        except UserError:
            continue
        whole.add(size)
        for name, array in found.items():
            np.testing.assert_array_equal(array, TENSORS[name])
    # Between two tensors a file may end; that one is missing is seen when it is loaded.
    assert len(whole) == len(TENSORS)


def test_damage_anywhere_is_refused_or_harmless():
    content = mindspore(TENSORS)
    rng = np.random.default_rng(0)
    refused = 0
    for position in range(0, len(content), 3):
        damaged = bytearray(content)
        damaged[position] ^= rng.integers(1, 256)
        try:
            read_mindspore(bytes(damaged))
        except UserError:
            refused += 1
    assert refused
