"""Read what `torch.save` wrote, without torch and without running anything.

Two formats: a zip archive (torch 1.6 and newer) with a pickle and one record per storage, and
before that five pickles in a row with the storages behind them (torchvision's older files).

Source: `torch/serialization.py`, functions `_save` and `_legacy_save`.
"""

from __future__ import annotations

import dataclasses
import io
import math
import struct
import zipfile
import zlib
from typing import Any, Callable

import numpy as np

from daaf_tf.errors import UserError
from daaf_tf.model.pickle_reader import Global, Rebuilt, read_pickle
from daaf_tf.model.weight_arrays import item_size, make_array

_MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
_PROTOCOL_VERSION = 1001

_STORAGES = {
    "torch.DoubleStorage": "float64",
    "torch.FloatStorage": "float32",
    "torch.HalfStorage": "float16",
    "torch.BFloat16Storage": "bfloat16",
    "torch.LongStorage": "int64",
    "torch.IntStorage": "int32",
    "torch.ShortStorage": "int16",
    "torch.CharStorage": "int8",
    "torch.ByteStorage": "uint8",
    "torch.BoolStorage": "bool",
}

# Where people keep the weights beside what else they save.
_WRAPPERS = ("state_dict", "model_state_dict", "model", "network", "net")

# What zipfile raises on a damaged archive.
_ZIP_FAULTS = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    LookupError,
    NotImplementedError,
    OSError,
    OverflowError,
    RuntimeError,
    ValueError,
)


@dataclasses.dataclass(frozen=True)
class _Storage:
    """A flat piece of memory of the file, not read yet."""

    key: Any
    dtype: str
    size: int
    offset: int = 0  # of a view into the storage `key`, in values


@dataclasses.dataclass(frozen=True)
class _Tensor(Rebuilt):
    """A view of a storage, not read yet."""

    storage: _Storage
    offset: int
    shape: tuple
    stride: tuple

    def __post_init__(self):
        numbers = (self.offset, *self.shape, *self.stride)
        if type(self.storage) is not _Storage or len(self.shape) != len(self.stride):
            raise TypeError("a tensor without storage or strides")
        if any(type(number) is not int or number < 0 for number in numbers):
            raise ValueError(f"a tensor of shape {self.shape} with strides {self.stride}")
        last = sum((size - 1) * stride for size, stride in zip(self.shape, self.stride))
        count = math.prod(self.shape)
        # A view that repeats its storage's values could be of any size.
        if count > self.storage.size or (count and self.offset + last >= self.storage.size):
            raise ValueError(f"a tensor of shape {self.shape} in {self.storage.size} values")


def _rebuild_tensor(storage, offset, shape, stride, *_):
    return _Tensor(storage, offset, tuple(shape), tuple(stride))


def _first(value, *_):
    return value


_ALLOWED = {
    "collections.OrderedDict": lambda items=(): dict(items),
    "torch.Size": lambda sizes=(): tuple(sizes),
    "torch._utils._rebuild_tensor": _rebuild_tensor,
    "torch._utils._rebuild_tensor_v2": _rebuild_tensor,
    "torch._utils._rebuild_parameter": _first,
    "torch._utils._rebuild_parameter_with_state": _first,
    "torch.nn.parameter.Parameter": _first,
    **_STORAGES,
}


def read_torch_zip(content: bytes) -> dict[str, Any]:
    """Read a file of torch 1.6 or newer.

    Args:
      content: the file, whole: a zip archive.

    Returns:
      {name: array} of its weights (floats as float32); what else stands among them has None.

    Raises:
      UserError: not an archive of `torch.save`, damaged, or a pickle with anything but tensors.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return _read_archive(archive)
    except _ZIP_FAULTS as error:
        raise UserError(f"a zip archive that is truncated or damaged ({error})") from error


def _read_archive(archive):
    names = [name for name in archive.namelist() if f"/{name}".endswith("/data.pkl")]
    if len(names) != 1:
        inside = ", ".join(archive.namelist()[:3])
        raise UserError(f"a zip archive that torch.save did not write (it holds {inside}, ...)")
    folder = names[0][: -len("data.pkl")]
    if f"{folder}byteorder" in archive.namelist():
        order = _read_record(archive, f"{folder}byteorder")
        if order != b"little":
            raise UserError(f"a file of byte order {order[:10]!r}; only little is read")
    found = read_pickle(
        io.BytesIO(_read_record(archive, names[0])), _ALLOWED, persistent=_parse_storage
    )
    return _read_tensors(
        found, lambda storage: _read_record(archive, f"{folder}data/{storage.key}")
    )


def _read_record(archive, name):
    entry = archive.getinfo(name)
    # torch never compresses; a small compressed record could unfold to any size.
    if entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size:
        raise UserError(f"a zip archive whose record {name} is compressed; torch.save does not")
    return archive.read(entry)


def read_torch_legacy(content: bytes) -> dict[str, Any]:
    """Read a file of torch before 1.6.

    Args:
      content: the file, whole: a pickle of torch's magic number, and so on.

    Returns:
      See `read_torch_zip`.

    Raises:
      UserError: another pickle, damaged, or a pickle with anything but tensors.
    """
    file = io.BytesIO(content)
    if read_pickle(file, _ALLOWED) != _MAGIC_NUMBER:
        raise UserError("a pickle that torch.save did not write")
    version, system = read_pickle(file, {}), read_pickle(file, {})
    if version != _PROTOCOL_VERSION:
        raise UserError(f"a torch file of version {version!r}, expected {_PROTOCOL_VERSION}")
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise UserError("a torch file of a big-endian machine; only little-endian is read")
    sizes = {}

    def note_storage(identity):
        storage = _parse_storage(identity)
        sizes[storage.key] = item_size(storage.dtype)
        return storage

    found = read_pickle(file, _ALLOWED, persistent=note_storage)
    keys = read_pickle(file, {})
    if not isinstance(keys, list):
        raise UserError("a torch file without a list of its storages")
    records = {}
    for key in keys:
        if not isinstance(key, (int, str)) or key not in sizes:
            raise UserError(f"a torch file with storage {key!r}, of which no tensor is made")
        count = int.from_bytes(file.read(8), "little")
        records[key] = file.read(min(count * sizes[key], len(content)))
        if len(records[key]) != count * sizes[key]:
            raise UserError("a truncated file: it ends before its last tensor")
    return _read_tensors(found, lambda storage: records.get(storage.key, b""))


def _parse_storage(identity) -> _Storage:
    """Parse how a pickle refers to a storage: kind, type, key, device, size[, view]."""
    kind, storage_type, key, _, size, *view = identity
    if kind != "storage" or type(storage_type) is not Global:
        raise ValueError(f"a reference to {kind!r}")
    if type(key) not in (int, str):
        raise ValueError(f"a storage named {key!r}")
    if not isinstance(storage_type.value, str) or type(size) is not int or size < 0:
        raise ValueError(f"a storage of type {storage_type.name} and size {size!r}")
    offset = 0
    if view and view[0] is not None:
        _, offset, size = view[0]
        if type(offset) is not int or type(size) is not int or min(offset, size) < 0:
            raise ValueError(f"a view at {offset!r} of size {size!r}")
    return _Storage(key, storage_type.value, size, offset)


def _read_tensors(found: Any, read: Callable[[_Storage], bytes]) -> dict[str, Any]:
    """Read the tensors of what a file holds: of the weights alone, not of an optimizer's state."""
    for _ in range(3):
        inner = [found[key] for key in _WRAPPERS if key in found] if _is_dict(found) else []
        inner = [value for value in inner if _is_dict(value)]
        if not inner:
            break
        found = inner[0]
    if not _is_dict(found) or not any(isinstance(value, _Tensor) for value in found.values()):
        keys = f" with {', '.join(map(str, list(found)[:4]))}" if _is_dict(found) else ""
        raise UserError(
            f"a torch file that holds a {type(found).__name__.lstrip('_').lower()}{keys}, expected "
            f"tensors by name, or a dict that has them under {', '.join(_WRAPPERS)}"
        )
    records = {}
    return {str(name): _read_tensor(tensor, read, records) for name, tensor in found.items()}


def _is_dict(value) -> bool:
    return type(value) is dict


def _read_tensor(tensor, read, records):
    if not isinstance(tensor, _Tensor):
        return None
    storage = tensor.storage
    if storage.key not in records:
        content = read(storage)
        records[storage.key] = make_array(
            content, storage.dtype, [len(content) // item_size(storage.dtype)]
        )
    values = records[storage.key][storage.offset :][: storage.size]
    if values.size != storage.size:
        raise UserError(f"a torch file with {values.size} of {storage.size} values of a tensor")
    strides = [stride * values.itemsize for stride in tensor.stride]
    view = np.lib.stride_tricks.as_strided(
        values[tensor.offset :], tensor.shape, strides, writeable=False
    )
    return np.ascontiguousarray(view).reshape(tensor.shape)
