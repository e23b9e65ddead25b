"""Read the weights in Keras' HDF5 files, in both of their layouts, without Keras.

By name (`.h5`): a group for each layer, and in it its weights by their names, conv1/conv1/kernel:0.
By path (`.weights.h5` since Keras 2.12): the way to the layer in the model object, which knows only
classes and order, and the weights' numbers, layers/conv2d_3/vars/0. Newer Keras notes each layer's
name beside it.
"""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Iterator

import h5py
import numpy as np

from daaf_tf.errors import UserError

# Of a whole model's file; what an optimizer keeps is no weight.
_WRAPPER = "model_weights"
_NO_WEIGHTS = ("optimizer", "optimizer_weights", "_optimizer")

_DEEPEST = 30  # groups inside each other; more is a circle

# What h5py raises on a damaged file.
_FAULTS = (AttributeError, LookupError, MemoryError, OSError, RuntimeError, TypeError, ValueError)


@dataclasses.dataclass(frozen=True)
class KerasWeights:
    """What a file holds.

    Attributes:
      tensors: {name: array}, floats as float32; a name is `layer/weight`, or the path in the file.
      by_path: whether the names are paths.
      layer_names: the layers' own names, as far as the file knows them.
    """

    tensors: dict[str, np.ndarray | None]
    by_path: bool
    layer_names: tuple[str, ...]


def read_keras(content: bytes) -> KerasWeights:
    """Read a file.

    Args:
      content: the file, whole.

    Raises:
      UserError: truncated, damaged, or pointing outside of itself.
    """
    try:
        with h5py.File(io.BytesIO(content), "r") as file:
            found = dict(_datasets(file, len(content)))
            named = [_layer_name(file, path) for path in found]
    except _FAULTS as error:
        raise UserError(f"an HDF5 file that is truncated or damaged ({error})") from error
    by_path = any("vars" in path.split("/") for path in found)
    if by_path:
        return KerasWeights(found, True, tuple(dict.fromkeys(filter(None, named))))
    tensors = {_weight_name(path): array for path, array in found.items()}
    return KerasWeights(
        tensors, False, tuple(dict.fromkeys(name.split("/")[0] for name in tensors))
    )


def _datasets(group, limit, prefix="", depth=0) -> Iterator[tuple[str, np.ndarray | None]]:
    if depth > _DEEPEST:
        raise UserError(f"an HDF5 file with groups in a circle, {prefix[:60]}")
    for name in group:
        path = f"{prefix}{name}"
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise UserError(f"an HDF5 file whose {path} lies elsewhere; weights are in the file")
        item = group[name]
        if isinstance(item, h5py.Dataset):
            yield path, _read_dataset(item, path, limit)
        elif path not in _NO_WEIGHTS:
            yield from _datasets(item, limit, f"{path}/", depth + 1)


def _read_dataset(dataset, path, limit):
    if dataset.external or dataset.is_virtual:
        raise UserError(f"an HDF5 file whose {path} lies elsewhere; weights are in the file")
    # A few compressed bytes could unfold to any size.
    if dataset.size * dataset.dtype.itemsize > limit:
        raise UserError(f"an HDF5 file whose {path} is larger than the file")
    if dataset.dtype.kind not in "fiub":
        return None
    values = dataset[()]
    return np.asarray(values, np.float32 if dataset.dtype.kind == "f" else None)


def _layer_name(file, path):
    """Return the name that newer Keras notes at the group of a layer's weights."""
    name = file[path].parent.attrs.get("name")
    return name if isinstance(name, str) else None


def _weight_name(path):
    parts = path.split("/")
    if parts[0] == _WRAPPER:
        parts = parts[1:]
    # The layer's group, then the weight's name, which begins with the layer's again.
    name = "/".join(parts[1:] or parts)
    return name[:-2] if name.endswith(":0") else name
