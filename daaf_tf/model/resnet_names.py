"""What the tensors of a ResNet are called elsewhere, and which ResNet they are of.

Ours are `layer1_0_conv1/kernel`; torchvision and timm write `layer1.0.conv1.weight`; MindSpore's
model zoo keeps torchvision's layers but for `down_sample_layer`, `bn1d` and `end_point`, and calls
the parameters of a batch norm gamma, beta, moving_mean and moving_variance.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

# Our parameter -> torch's.
_PARAMETERS = {
    "kernel": "weight",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
_MINDSPORE = (
    (re.compile(r"\bdown_sample(_layer)?\."), "downsample."),
    (re.compile(r"\bbn(\d)d\."), r"bn\1."),
    (re.compile(r"^end_point\."), "fc."),
    (re.compile(r"\.gamma$"), ".weight"),
    (re.compile(r"\.beta$"), ".bias"),
    (re.compile(r"\.moving_mean$"), ".running_mean"),
    (re.compile(r"\.moving_variance$"), ".running_var"),
)
# A tensor that every ResNet has; what is before it is the prefix of the network in the file.
_ANCHOR = "layer1.0.conv1.weight"

# Layers that belong to a backbone: where one is left over, the file is of another network.
_BACKBONE = re.compile(r"(layer\d|conv\d|bn\d|stem)[._/]")

_KNOWN = {
    (False, (2, 2, 2, 2)): "resnet18",
    (False, (3, 4, 6, 3)): "resnet34",
    (True, (3, 4, 6, 3)): "resnet50",
    (True, (3, 4, 23, 3)): "resnet101",
    (True, (3, 8, 36, 3)): "resnet152",
}


def torch_name(name: str) -> str:
    """Return torch's name of one of our variables, e.g. of `layer1_0_conv1/kernel`."""
    layer, parameter = name.split("/")
    return f"{layer.replace('_', '.')}.{_PARAMETERS[parameter]}"


def standard_name(name: str) -> str:
    """Return torchvision's name of a tensor that torch or MindSpore named."""
    for pattern, replacement in _MINDSPORE:
        name = pattern.sub(replacement, name)
    return name


def find_prefixes(names: Iterable[str]) -> list[str]:
    """Return what stands before the names of each ResNet in a file, e.g. "module." or "".

    MindSpore saves the momentum of its optimizer beside the weights, as another such network; the
    weights without a prefix, if there are any, are the ones.
    """
    found = sorted(name[: -len(_ANCHOR)] for name in names if f".{name}".endswith(f".{_ANCHOR}"))
    return [""] if "" in found else found


def is_foreign(name: str) -> bool:
    """Tell whether a tensor, named without prefix, is of a backbone's layer (no classifier's)."""
    return _BACKBONE.match(name) is not None and not is_counter(name)


def is_counter(name: str) -> bool:
    """Tell whether a tensor is torch's count of the batches that a batch norm has seen."""
    return name.endswith("num_batches_tracked")


def describe_resnet(shapes: dict[str, tuple[int, ...]]) -> str:
    """Say which ResNet the tensors are of.

    Args:
      shapes: {torchvision's name: shape}.

    Returns:
      For example "resnet50 of width 64", or that it is none, with a few of its names.
    """
    depths = tuple(
        len({name.split(".")[1] for name in shapes if name.startswith(f"layer{stage}.")})
        for stage in (1, 2, 3, 4)
    )
    bottleneck = "layer1.0.conv3.weight" in shapes
    stem, inner = shapes.get("conv1.weight"), shapes.get(_ANCHOR)
    if not stem or not inner or 0 in depths:
        return f"no ResNet of torchvision's layout (tensors {', '.join(list(shapes)[:3])}, ...)"
    blocks = "bottleneck" if bottleneck else "basic"
    name = _KNOWN.get((bottleneck, depths), f"a ResNet of {depths} {blocks} blocks")
    extra = "" if inner[0] == stem[0] else " (a wide ResNet or a ResNeXt)"
    return f"{name} of width {stem[0]}{extra}"
