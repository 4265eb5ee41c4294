"""timm's files for CSPNet, renamed to KerasHub's layers. NumPy only."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from registry.weights.conversion import is_torch_layout, torch_layers

__all__ = ["from_timm", "is_timm"]

# Parts of a stage: timm's module → (KerasHub's convolution, its normalization) after `stage_<i>_<stage type>_`.
_STAGE = {
    "conv_down": ("conv_down_1", "bn_1"),
    "conv_exp": ("conv_exp", "bn_2"),
    "conv_transition_b": ("conv_transition_b", "transition_b_bn"),
    "conv_transition": ("conv_transition", "transition_bn"),
}
_STEM = re.compile(r"stem\.conv(\d+)\.(conv|bn)")
_BLOCK = re.compile(r"stages\.(\d+)\.blocks\.(\d+)\.conv(\d+)\.(conv|bn)")
_PART = re.compile(r"stages\.(\d+)\.(conv_\w+)(?:\.1)?\.(conv|bn)")


def is_timm(arrays: Mapping[str, Sequence[Any]]) -> bool:
    """Whether a file holds timm's CSPNet rather than KerasHub's layers."""
    return is_torch_layout(arrays) and any(name.startswith("stages.") for name in arrays)


def from_timm(arrays: Mapping[str, Sequence[Any]]) -> dict[str, Sequence[Any]]:
    """Name and arrange timm's parameters as our layers have them; the classifier is left out.

    Args:
        arrays: parameter name → one array.

    Returns:
        Layer name → arrays; a module that no rule knows keeps its name, so that loading reports it.
    """
    modules = torch_layers(arrays, depthwise=lambda _: False)
    stage_type = "csp" if any(".conv_transition_b." in name for name in arrays) else "cs3"
    if not any(".conv_exp." in name for name in arrays):
        stage_type = "dark"
    bottleneck = any(".blocks.0.conv3." in name for name in arrays)
    block_type = "bottleneck_block" if bottleneck else _two_convolution_block(arrays)
    return {
        _layer(name, stage_type, block_type): values
        for name, values in modules.items()
        if not name.startswith("head.")
    }


def _two_convolution_block(arrays: Mapping[str, Sequence[Any]]) -> str:
    """A dark block starts with a 1×1 convolution, an edge block with a 3×3."""
    (kernel,) = arrays["stages.0.blocks.0.conv1.conv.weight"]
    return "dark_block" if kernel.shape[-1] == 1 else "edge_block"


def _layer(module: str, stage_type: str, block_type: str) -> str:
    if match := _STEM.fullmatch(module):
        return f"csp_stem_{match[2]}_{int(match[1]) - 1}"
    if match := _BLOCK.fullmatch(module):
        return f"stage_{match[1]}_block_{match[2]}_{block_type}_{match[4]}_{match[3]}"
    if (match := _PART.fullmatch(module)) and match[2] in _STAGE:
        return f"stage_{match[1]}_{stage_type}_{_STAGE[match[2]][match[3] == 'bn']}"
    return module
