"""Tensors as the readers of weights files give them: bytes turned into float32 arrays."""

from __future__ import annotations

import math

import numpy as np

from daaf_tf.errors import UserError

BFLOAT16 = "bfloat16"

# How the bytes of each type are read; all files are little-endian.
_READ_AS = {
    "float16": "<f2",
    "float32": "<f4",
    "float64": "<f8",
    BFLOAT16: "<u2",
    "int8": "<i1",
    "int16": "<i2",
    "int32": "<i4",
    "int64": "<i8",
    "uint8": "<u1",
    "uint16": "<u2",
    "uint32": "<u4",
    "uint64": "<u8",
    "bool": "<u1",
}


def item_size(dtype: str) -> int:
    """Return the bytes of one value of a type."""
    return np.dtype(_READ_AS[dtype]).itemsize


def make_array(content, dtype: str, shape) -> np.ndarray:
    """Make an array of raw little-endian bytes.

    Args:
      content: bytes, or anything with a buffer of them.
      dtype: the type's name as numpy writes it, or bfloat16.
      shape: its dimensions, whole numbers.

    Returns:
      An array of this shape: float32 for every floating type, the type itself for the others.

    Raises:
      UserError: a type that is not known, or bytes that are more or fewer than the shape takes.
    """
    if dtype not in _READ_AS:
        raise UserError(f"a tensor of type {dtype!r}; known are {', '.join(_READ_AS)}")
    shape = tuple(shape)
    values = np.frombuffer(content, np.uint8)
    if any(size < 0 for size in shape) or math.prod(shape) * item_size(dtype) != values.size:
        raise UserError(f"a tensor of shape {shape} and type {dtype} has {values.size} bytes")
    values = values.view(_READ_AS[dtype]).reshape(shape)
    if dtype == BFLOAT16:
        # A bfloat16 is the upper half of a float32.
        return (values.astype(np.uint32) << 16).view(np.float32)
    return values.astype(np.float32) if dtype.startswith("float") else values
