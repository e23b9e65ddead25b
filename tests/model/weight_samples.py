"""Weights files of every kind, written byte by byte as the frameworks write them."""

from __future__ import annotations

import dataclasses
import io
import pickle
import struct
import zipfile

import numpy as np

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
STORAGES = {
    "float32": "FloatStorage",
    "float64": "DoubleStorage",
    "float16": "HalfStorage",
    "int64": "LongStorage",
    "uint8": "ByteStorage",
}


class BFloat16(np.ndarray):
    """A uint16 array whose bits are bfloat16."""


@dataclasses.dataclass
class Call:
    """A call of what a pickle imports."""

    function: str
    arguments: tuple = ()


@dataclasses.dataclass
class Parts:
    """A pickle under way: the storages that it refers to."""

    storages: list
    legacy: bool


def encode(value, parts=None):
    """Return the protocol-2 instructions that make a value."""
    if isinstance(value, Call):
        module, _, name = value.function.rpartition(".")
        arguments = encode(value.arguments, parts)
        return f"c{module}\n{name}\n".encode() + arguments + b"R"
    if isinstance(value, np.ndarray):
        return encode_tensor(value, parts)
    if isinstance(value, dict):
        items = b"".join(encode(part, parts) for item in value.items() for part in item)
        return encode(Call("collections.OrderedDict")) + b"(" + items + b"u"
    if isinstance(value, tuple):
        return b"(" + b"".join(encode(item, parts) for item in value) + b"t"
    if isinstance(value, list):
        return b"](" + b"".join(encode(item, parts) for item in value) + b"e"
    return pickle.dumps(value, 2)[2:-1]  # without PROTO and STOP


def encode_tensor(array, parts):
    """Return the instructions that make a tensor; the storage is a Fortran array's transpose."""
    flat = np.ascontiguousarray(array.T if array.flags.f_contiguous else array)
    key = str(len(parts.storages))
    parts.storages.append(flat)
    kind = "BFloat16Storage" if isinstance(array, BFloat16) else STORAGES[array.dtype.name]
    storage = f"ctorch\n{kind}\n".encode()
    view = encode(None) if parts.legacy else b""
    identity = b"(" + encode("storage") + storage + encode(key) + encode("cpu")
    identity += encode(flat.size) + view + b"tQ"
    strides = tuple(stride // array.itemsize for stride in array.strides)
    rest = encode(0) + encode(array.shape) + encode(strides) + encode(False) + encode({})
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + identity + rest + b"tR"


def pickled(value, parts=None):
    return b"\x80\x02" + encode(value, parts) + b"."


def torch_zip(value, **zip_options):
    """Return a file as torch 1.6 and newer save it."""
    parts = Parts([], legacy=False)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", **zip_options) as archive:
        archive.writestr("archive/data.pkl", pickled(value, parts))
        archive.writestr("archive/byteorder", "little")
        for key, storage in enumerate(parts.storages):
            archive.writestr(f"archive/data/{key}", storage.tobytes())
        archive.writestr("archive/version", "3\n")
    return file.getvalue()


def torch_legacy(value):
    """Return a file as torch before 1.6 saved it."""
    parts = Parts([], legacy=True)
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"int": 4}}
    content = pickle.dumps(MAGIC_NUMBER, 2) + pickle.dumps(1001, 2) + pickle.dumps(system, 2)
    content += pickled(value, parts)
    content += pickle.dumps([str(key) for key in range(len(parts.storages))], 2)
    for storage in parts.storages:
        content += struct.pack("<q", storage.size) + storage.tobytes()
    return content


def varint(number):
    out = b""
    while number >= 0x80:
        out += bytes([number & 0x7F | 0x80])
        number >>= 7
    return out + bytes([number])


def field(number, content):
    """Return a protobuf field: of bytes, or of a number."""
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    return varint(number << 3 | 2) + varint(len(content)) + content


def mindspore_value(name, dims, kind, content, packed=False):
    sizes = [field(1, b"".join(map(varint, dims)))] if packed else [field(1, d) for d in dims]
    tensor = b"".join(sizes) + field(2, kind.encode()) + field(3, content)
    return field(1, field(1, name.encode()) + field(2, tensor))


def mindspore(tensors, packed=False):
    """Return a checkpoint as MindSpore saves it."""
    return b"".join(
        mindspore_value(
            name, array.shape, array.dtype.name.capitalize(), array.tobytes(), packed=packed
        )
        for name, array in tensors.items()
    )


def to_mindspore(tensors):
    """Return {the model zoo's name: array} of torch's tensors."""
    ends = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean"}
    ends["running_var"] = "moving_variance"
    renamed = {}
    for name, array in tensors.items():
        layer, _, end = name.rpartition(".")
        norm = array.ndim == 1 and not layer.startswith("fc")
        layer = layer.replace("downsample", "down_sample_layer").replace("fc", "end_point")
        renamed[f"{layer}.{ends[end] if norm else end}"] = array
    return renamed


def torch_tensors(variables, seed=0, classifier=True):
    """Return random torch tensors {torchvision's name: array} for our variables' names, shapes."""
    rng = np.random.default_rng(seed)
    ends = {"kernel": "weight", "gamma": "weight", "beta": "bias"}
    ends.update(moving_mean="running_mean", moving_variance="running_var")
    tensors = {}
    for name, shape in variables.items():
        layer, end = name.split("/")
        shape = tuple(shape[axis] for axis in ((3, 2, 0, 1) if len(shape) == 4 else range(1)))
        values = rng.uniform(0.5, 1.5, shape).astype(np.float32)
        tensors[f"{layer.replace('_', '.')}.{ends[end]}"] = values
        if end == "moving_variance":
            tensors[f"{layer.replace('_', '.')}.num_batches_tracked"] = np.array(7)
    if classifier:
        tensors["fc.weight"] = rng.normal(size=(3, 2)).astype(np.float32)
        tensors["fc.bias"] = np.zeros(3, np.float32)
    return tensors
