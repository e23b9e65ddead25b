"""Read files of pre-trained weights of any known kind; the kind is told by the content.

No reader runs anything of what it reads, and none needs the framework that wrote the file.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import pathlib
from typing import Any

from safetensors import SafetensorError, deserialize

from daaf_tf.errors import UserError
from daaf_tf.model.keras_file import read_keras
from daaf_tf.model.mindspore_file import read_mindspore
from daaf_tf.model.torch_file import read_torch_legacy, read_torch_zip
from daaf_tf.model.weight_arrays import make_array

EXPECTED = (
    "expected weights as torch.save (.pth), safetensors, MindSpore (.ckpt) or Keras (.h5, "
    ".weights.h5) writes them, or a keras-cv preset folder"
)

_SAFETENSORS_TYPES = {
    "F16": "float16",
    "F32": "float32",
    "F64": "float64",
    "BF16": "bfloat16",
    "I8": "int8",
    "I16": "int16",
    "I32": "int32",
    "I64": "int64",
    "U8": "uint8",
    "U16": "uint16",
    "U32": "uint32",
    "U64": "uint64",
    "BOOL": "bool",
}

_LONGEST_HEADER = 1 << 27  # bytes; safetensors itself takes no more than 100,000,000

_PRESET_CONFIG = "config.json"
_PRESET_WEIGHTS = "model.weights.h5"


@dataclasses.dataclass(frozen=True)
class WeightFile:
    """What a file of weights holds.

    Attributes:
      path: the file; of a preset folder, the file in it.
      kind: what wrote it, for messages.
      digest: 16 hexadecimal digits of the SHA-256 of the content.
      tensors: {name: array} with the names and the axes of the file, floats as float32; what stands
        among them and is no tensor has None.
      by_path: whether the names are paths in a Keras model object.
      layer_names: of a Keras file, the layers' names as far as it knows them.
      preset_class: of a keras-cv preset, the class of the network; else None.
    """

    path: pathlib.Path
    kind: str
    digest: str
    tensors: dict[str, Any]
    by_path: bool = False
    layer_names: tuple[str, ...] = ()
    preset_class: str | None = None


def read_weight_file(path: str | os.PathLike) -> WeightFile:
    """Read a file of weights, or a keras-cv preset folder (`config.json` and its weights).

    Raises:
      UserError: no such file, of no known kind, truncated or damaged, or a pickle that asks for
        more than tensors.
    """
    path = pathlib.Path(path)
    try:
        if path.is_dir():
            return _read_preset(path)
        content = path.read_bytes()
        return _parse(path, content)
    except OSError as error:
        raise UserError(f"{path}: {error.strerror or error}; {EXPECTED}") from error
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def _parse(path: pathlib.Path, content: bytes) -> WeightFile:
    digest = hashlib.sha256(content).hexdigest()[:16]
    if content.startswith(b"\x89HDF\r\n\x1a\n"):
        keras = read_keras(content)
        found = WeightFile(
            path, "Keras HDF5", digest, keras.tensors, keras.by_path, keras.layer_names
        )
    elif content.startswith(b"PK\x03\x04"):
        found = WeightFile(path, "torch", digest, read_torch_zip(content))
    # Before what one byte tells: it begins with the length of its header, any byte.
    elif content[8:9] == b"{" and int.from_bytes(content[:8], "little") < _LONGEST_HEADER:
        found = WeightFile(path, "safetensors", digest, _read_safetensors(content))
    elif content.startswith(b"\x80"):
        found = WeightFile(path, "torch before 1.6", digest, read_torch_legacy(content))
    elif content.startswith(b"\n") and not content.lstrip().startswith(b"<"):
        found = WeightFile(path, "MindSpore", digest, read_mindspore(content))
    else:
        raise UserError(f"{_describe(content)}; {EXPECTED}")
    if not any(tensor is not None for tensor in found.tensors.values()):
        raise UserError(f"a file of {found.kind} without tensors; {EXPECTED}")
    return found


def _describe(content):
    """Say what a file is that holds no weights."""
    start = content[:200].lstrip().lower()
    if not content:
        return "the file is empty"
    if start.startswith(b"version https://git-lfs"):
        return "a pointer of Git LFS, not the file itself: run `git lfs pull` where it came from"
    if start.startswith(b"<"):
        return "an HTML or XML page, not the file itself: download it again"
    if not any(content):
        return f"{len(content)} bytes of zero: the download or the disk failed"
    return f"a file of an unknown kind, beginning with {content[:8]!r}"


def _read_safetensors(content):
    try:
        entries = deserialize(content)
    except SafetensorError as error:
        raise UserError(f"a safetensors file that is truncated or damaged ({error})") from error
    tensors = {}
    for name, entry in entries:
        dtype = _SAFETENSORS_TYPES.get(entry["dtype"])
        tensors[name] = dtype and make_array(entry["data"], dtype, entry["shape"])
    return tensors


def _read_preset(folder):
    """Read a folder as keras-cv's `save_to_preset` writes it."""
    try:
        config = json.loads((folder / _PRESET_CONFIG).read_bytes())
        name, weights = config["class_name"], config.get("weights", _PRESET_WEIGHTS)
        if not isinstance(name, str) or not isinstance(weights, str):
            raise TypeError("a preset without weights")
    except (AttributeError, LookupError, OSError, TypeError, ValueError) as error:
        raise UserError(
            f"a folder whose {_PRESET_CONFIG} is of no keras-cv preset with weights "
            f"({getattr(error, 'strerror', None) or error}); {EXPECTED}"
        ) from error
    # The weights lie in the folder, whatever the config says.
    found = _parse(folder / pathlib.PurePath(weights).name, _read_bytes(folder, weights))
    return dataclasses.replace(found, kind="keras-cv preset", preset_class=name)


def _read_bytes(folder, weights):
    path = folder / pathlib.PurePath(weights).name
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(
            f"a preset folder whose {path.name} cannot be read: {error.strerror}"
        ) from error
