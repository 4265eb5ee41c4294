"""Parameters of torchvision's, timm's and segmentation_models.pytorch's ResNets under the names of our layers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from registry.weights.conversion import is_torch_layout, torch_layers

__all__ = ["renamed_layers"]

_STEM = {"conv1": "conv1_conv", "bn1": "conv1_bn", "fc": "predictions"}
_PARTS = {"downsample.0": "0_conv", "downsample.1": "0_bn"}


def renamed_layers(arrays: Mapping[str, Sequence[Any]]) -> Mapping[str, Sequence[Any]] | None:
    """Name and arrange the parameters of a ResNet v1 as our layers have them.

    Args:
        arrays: parameter → one array: `layer1.0.conv1.weight`, `layer1.0.downsample.1.running_mean`.

    Returns:
        Layer → arrays; a module without a layer keeps its name. None if the names are not PyTorch's.
    """
    if not is_torch_layout(arrays):
        return None
    return {_layer(module): held for module, held in torch_layers(arrays).items()}


def _layer(module: str) -> str:
    block = re.fullmatch(r"layer(\d)\.(\d+)\.(.+)", module)
    if block is None:
        return _STEM.get(module, module)
    part = re.fullmatch(r"(conv|bn)(\d)", block[3])
    name = f"{part[2]}_{part[1]}" if part else _PARTS.get(block[3])
    return module if name is None else f"stack{int(block[1]) - 1}_block{block[2]}_{name}"
