"""TF Model Garden's checkpoints of MobileNetV2 under the names of our layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from registry.weights.object_paths import numbered_layers

__all__ = ["garden_layers"]

_CONVOLUTION = ("_conv0", "_norm0")
_PARTS = {
    "_conv0": "expand",
    "_norm0": "expand_BN",
    "_conv1": "depthwise",
    "_norm1": "depthwise_BN",
    "_conv2": "project",
    "_norm2": "project_BN",
}


def garden_layers(arrays: Mapping[str, Sequence[Any]]) -> dict[str, Sequence[Any]] | None:
    """Name the variables of Model Garden's `MobileNet('MobileNetV2')` as our layers have them.

    Args:
        arrays: variables of a checkpoint of a whole model, of a classifier, or of the backbone alone.

    Returns:
        Layer → arrays; a variable without a layer keeps its name, and what is not the backbone's is left out. None if
        the names are not Model Garden's.
    """
    numbered = numbered_layers(arrays)
    if numbered is None:
        return None
    named: dict[str, Sequence[Any]] = {}
    for index, (path, parts) in enumerate(numbered):
        if set(parts) == set(_CONVOLUTION):
            # The first layer, or that behind the blocks.
            names = ("Conv1", "bn_Conv1") if index == 0 else ("Conv_1", "Conv_1_bn")
            named |= zip(names, (parts[part] for part in _CONVOLUTION), strict=True)
            continue
        block = "expanded_conv" if index == 1 else f"block_{index - 1}"
        named |= {
            f"{block}_{_PARTS[part]}" if part in _PARTS else f"{path}/{part}".rstrip("/"): held
            for part, held in parts.items()
        }
    return named
