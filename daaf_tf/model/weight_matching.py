"""Pair the tensors of a weights file with a backbone's variables, and say what does not fit."""

from __future__ import annotations

import dataclasses
import re

import numpy as np

from daaf_tf.errors import UserError
from daaf_tf.model.resnet_names import (
    describe_resnet,
    find_prefixes,
    is_counter,
    is_foreign,
    standard_name,
    torch_name,
)
from daaf_tf.model.weight_files import WeightFile

_SHOWN = 3  # names in a message

_ZOO_NOTE = (
    "MindSpore's model zoo has an epsilon of 1e-4 in its batch norms (here 1e-5), and its "
    "ResNet-50 and 101 pad on one side (pad mode 'same'; here on both sides): until training has "
    "adapted them, the features are not exactly those that MindSpore computes"
)
_MINDCV_NOTE = (
    "MindCV pads its max pooling on one side (here on both sides): the features are not exactly "
    "those that it computes"
)


@dataclasses.dataclass(frozen=True)
class Report:
    """What became of each tensor of a file, by the file's names.

    Attributes:
      file: the file's name.
      kind: what wrote it.
      network: what it holds, in words.
      loaded: names that the backbone takes.
      skipped: names that it has no use for, such as a classifier's.
      missing: names that it needs and the file does not have.
      mismatched: name, expected shape, found shape.
      foreign: those of `skipped` that belong to a backbone, but not to this one.
      notes: what the weights were trained with that the backbone does otherwise.
    """

    file: str
    kind: str
    network: str
    loaded: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    mismatched: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...] = ()
    foreign: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __str__(self):
        skipped = f", {len(self.skipped)} skipped ({some(self.skipped)})" if self.skipped else ""
        lines = [f"{self.file} ({self.kind}; {self.network}): {len(self.loaded)} tensors loaded"]
        return "\n".join([lines[0] + skipped, *(f"note: {note}" for note in self.notes)])

    def check(self, expected: str) -> None:
        """Raise a UserError if the backbone is not covered whole, or the network is another."""
        faults = []
        if self.missing:
            faults.append(f"{len(self.missing)} tensors are missing ({some(self.missing)})")
        if self.mismatched:
            name, wanted, found = self.mismatched[0]
            more = f" (and {len(self.mismatched) - 1} more)" if len(self.mismatched) > 1 else ""
            faults.append(f"{name} has shape {found}, expected {wanted}{more}")
        if self.foreign:
            faults.append(f"{len(self.foreign)} are of other layers ({some(self.foreign)})")
        if faults:
            raise UserError(
                f"the file holds {self.network}, expected {expected}: {'; '.join(faults)}. "
                "Nothing was loaded"
            )


class _Pairing:
    """The four lists of a report while they are being filled."""

    def __init__(self, file: WeightFile):
        self.file = file
        self.values, self.loaded, self.missing, self.mismatched = {}, [], [], []

    def add(self, key, name, value, expected):
        """Pair variable `key` with the file's tensor `name`, None where it has none."""
        if value is None:
            self.missing.append(name)
        elif value.shape != expected:
            self.mismatched.append((name, expected, value.shape))
        else:
            self.values[key] = value
            self.loaded.append(name)

    def report(self, network, skipped, foreign, notes=()):
        return Report(
            self.file.path.name,
            self.file.kind,
            network,
            tuple(self.loaded),
            tuple(sorted(skipped, key=is_counter)),
            tuple(self.missing),
            tuple(self.mismatched),
            tuple(foreign),
            tuple(notes),
        )


def match_torch(
    file: WeightFile, shapes: dict[str, tuple[int, ...]]
) -> tuple[dict[str, np.ndarray], Report]:
    """Pair tensors by torch's or MindSpore's names with the variables of one of our ResNets.

    Args:
      file: the file, its names before "module." and the like too.
      shapes: {our variable: its shape}.

    Returns:
      {our variable: its value}, the kernels transposed; and the report.

    Raises:
      UserError: several networks in the file.
    """
    tensors = {standard_name(name): tensor for name, tensor in file.tensors.items()}
    prefix, *others = find_prefixes(tensors) or [""]
    if others:
        raise UserError(f"several networks, under {', '.join([prefix, *others])}; expected one")
    pairing = _Pairing(file)
    for name, shape in shapes.items():
        wanted = prefix + torch_name(name)
        pairing.add(name, wanted, tensors.get(wanted), to_torch(shape))
    values = {name: _to_keras(value) for name, value in pairing.values.items()}
    of_prefix = {
        name[len(prefix) :]: tensor.shape
        for name, tensor in tensors.items()
        if name.startswith(prefix) and tensor is not None
    }
    used = {prefix + torch_name(name) for name in shapes}
    skipped = [name for name in tensors if name not in used]
    foreign = [
        name for name in skipped if name.startswith(prefix) and is_foreign(name[len(prefix) :])
    ]
    return values, pairing.report(
        describe_resnet(of_prefix), skipped, foreign, _notes(file.tensors)
    )


def match_names(
    file: WeightFile, shapes: dict[str, tuple[int, ...]], *, resnet: bool
) -> tuple[dict[str, np.ndarray], Report]:
    """Pair a file's tensors with variables of the same names and axes.

    Args:
      file: a file whose names are those of Keras' variables, or paths in a model object.
      shapes: {name: shape}.
      resnet: whether it is one of our ResNets; then what is not a backbone's may be left over, else
        nothing may (another network of the family may have more blocks of the same names).

    Returns:
      {name: value} and the report.
    """
    pairing = _Pairing(file)
    for name, shape in shapes.items():
        pairing.add(name, name, file.tensors.get(name), shape)
    skipped = [name for name in file.tensors if name not in shapes]
    foreign = [
        name
        for name in skipped
        if (is_foreign(name) if resnet else not re.search(r"\bseed_generator", name))
    ]
    return pairing.values, pairing.report(_describe_keras(file), skipped, foreign)


def describe_variables(shapes: dict[str, tuple[int, ...]]) -> str:
    """Say which of our ResNets has these variables."""
    return describe_resnet({torch_name(name): to_torch(shape) for name, shape in shapes.items()})


def to_torch(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape in torch's order of axes: kernels are [out, in, height, width] there."""
    return (shape[3], shape[2], shape[0], shape[1]) if len(shape) == 4 else shape


def some(names) -> str:
    """Return the first few names as text."""
    shown = ", ".join(names[:_SHOWN])
    return f"{shown}, ..." if len(names) > _SHOWN else shown


def _to_keras(value):
    return np.transpose(value, (2, 3, 1, 0)) if value.ndim == 4 else value


def _describe_keras(file):
    kernels = {
        name: to_torch(tensor.shape)
        for name, tensor in file.tensors.items()
        if tensor is not None and name.count("/") == 1 and name.endswith("/kernel")
    }
    if "layer1_0_conv1/kernel" in kernels:
        return describe_resnet({torch_name(name): shape for name, shape in kernels.items()})
    if file.by_path:
        return f"{len(file.tensors)} tensors by their place in a model"
    return f"{len(file.tensors)} tensors ({some(list(file.tensors))})"


def _notes(names):
    if any(".down_sample_layer." in name for name in names):
        return (_ZOO_NOTE,)
    if any(".down_sample." in name for name in names):
        return (_MINDCV_NOTE,)
    return ()
