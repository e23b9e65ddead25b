"""Read MindSpore's checkpoints, a protobuf of named tensors, without MindSpore.

The messages, from its `checkpoint.proto`:

    message Checkpoint { repeated Value value = 1; }
    message Value { required string tag = 1; oneof value { TensorProto tensor = 2;
                                                           MapTensorProto maptensor = 3; } }
    message TensorProto { repeated int64 dims = 1; required string tensor_type = 2;
                          required bytes tensor_content = 3; }

A tensor of more than 512 MB is cut into several values of one tag. A file may end with `crc_num`
and the CRC-32 of all before it, as ten bytes.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from daaf_tf.errors import UserError
from daaf_tf.model.weight_arrays import item_size, make_array

_TYPES = {
    "Float16": "float16",
    "Float32": "float32",
    "Float64": "float64",
    "BFloat16": "bfloat16",
    "Int8": "int8",
    "Int16": "int16",
    "Int32": "int32",
    "Int64": "int64",
    "UInt8": "uint8",
    "UInt16": "uint16",
    "UInt32": "uint32",
    "UInt64": "uint64",
    "Bool": "bool",
}
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_CRC_MARK, _CRC_SIZE = b"crc_num", 10


def read_mindspore(content: bytes) -> dict[str, Any]:
    """Read a checkpoint.

    Args:
      content: the file, whole.

    Returns:
      {name: array}, floats as float32; what is no tensor (text, a random generator) has None.

    Raises:
      UserError: truncated, damaged, encrypted, or no such protobuf.
    """
    types, shapes, pieces = {}, {}, {}
    for number, value in _fields(memoryview(_checked(content))):
        if number != 1 or not isinstance(value, memoryview):
            raise UserError("no MindSpore checkpoint: a value is missing")
        tag, dims, kind, piece = _parse_value(value)
        if pieces.setdefault(tag, []) and (types[tag], shapes[tag]) != (kind, dims):
            raise UserError(f"a MindSpore checkpoint with two tensors {tag!r}")
        types[tag], shapes[tag] = kind, dims
        pieces[tag].append(piece)
    return {tag: _make_tensor(types[tag], shapes[tag], pieces[tag]) for tag in pieces}


def _checked(content):
    """Return the protobuf in a file, compared with the file's own checksum if it has one."""
    start = len(content) - _CRC_SIZE
    mark = start - len(_CRC_MARK)
    if mark < 0 or content[mark:start] != _CRC_MARK:
        return content
    body = content[:mark]
    if int.from_bytes(content[start:], "big") != zlib.crc32(body):
        raise UserError("a damaged MindSpore checkpoint: its checksum does not fit")
    return body


def _make_tensor(kind, dims, pieces) -> np.ndarray | None:
    if kind not in _TYPES:
        return None
    joined = b"".join(pieces)
    if dims == [0] and len(joined) == item_size(_TYPES[kind]):
        dims = []  # how a scalar is written
    return make_array(joined, _TYPES[kind], dims)


def _parse_value(view):
    fields = dict(_fields(view))
    if not isinstance(fields.get(1), memoryview) or not isinstance(fields.get(2), memoryview):
        raise UserError("a MindSpore checkpoint with a value that has no name or is no tensor")
    dims, kind, content = [], b"", None
    for number, value in _fields(fields[2]):
        if number == 1:
            dims += _parse_dims(value)
        elif number == 2 and isinstance(value, memoryview):
            kind = bytes(value)
        elif number == 3 and isinstance(value, memoryview):
            content = value
    if content is None:
        raise UserError("a MindSpore checkpoint with a tensor that has no content")
    return _parse_text(fields[1]), dims, _parse_text(kind), content


def _parse_text(view) -> str:
    try:
        return bytes(view).decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError("a MindSpore checkpoint with a name that is no text") from error


def _parse_dims(value):
    """Parse a dimension, or several that are packed."""
    if isinstance(value, int):
        return [value]
    dims, position = [], 0
    while position < len(value):
        size, position = _parse_varint(value, position)
        dims.append(size)
    return dims


def _fields(view: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield each field of a message: its number, and its value as a number or as raw bytes."""
    position = 0
    while position < len(view):
        key, position = _parse_varint(view, position)
        kind = key & 7
        if kind == _VARINT:
            value, position = _parse_varint(view, position)
        else:
            if kind == _BYTES:
                size, position = _parse_varint(view, position)
            elif kind in (_FIXED32, _FIXED64):
                size = 4 if kind == _FIXED32 else 8
            else:
                raise UserError(f"no MindSpore checkpoint, or an encrypted one (wire type {kind})")
            value = view[position : position + size]
            position += size
            if len(value) != size:
                raise UserError("a truncated MindSpore checkpoint (or another kind of file)")
        yield key >> 3, value


def _parse_varint(view, position):
    number = 0
    for shift in range(0, 70, 7):
        if position >= len(view):
            raise UserError("a truncated MindSpore checkpoint (or another kind of file)")
        byte = view[position]
        position += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, position
    raise UserError("no MindSpore checkpoint: a number of more than 64 bits")
