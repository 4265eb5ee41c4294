"""Parameters of timm's and torchvision's DenseNets under the names of our layers. NumPy only."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from registry.weights.conversion import is_torch_layout, torch_layers

__all__ = ["from_torch"]

_RULES = (
    (r"features\.conv0", "conv1_conv"),
    (r"features\.norm0", "conv1_bn"),
    (r"features\.denseblock(\d+)\.denselayer(\d+)\.norm(\d)", r"stack\1_block\2_\3_bn"),
    (r"features\.denseblock(\d+)\.denselayer(\d+)\.conv(\d)", r"stack\1_block\2_\3_conv"),
    (r"features\.transition(\d+)\.norm", r"transition\1_bn"),
    (r"features\.transition(\d+)\.conv", r"transition\1_conv"),
    (r"features\.norm5", "bn"),
)


def from_torch(arrays: Mapping[str, Sequence[Any]]) -> Mapping[str, Sequence[Any]] | None:
    """Rename and arrange the parameters of a PyTorch file.

    Args:
        arrays: what the weight file holds.

    Returns:
        Layer name → arrays; modules without a layer keep their names. None if the file is not PyTorch's.
    """
    if not is_torch_layout(arrays):
        return None
    return {_layer_name(module): values for module, values in torch_layers(arrays).items()}


def _layer_name(module: str) -> str:
    for pattern, name in _RULES:
        match = re.fullmatch(pattern, module)
        if match:
            return match.expand(name)
    return module
