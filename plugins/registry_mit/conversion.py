"""KerasHub's files for MiT: layers inside layers, there; a flat graph of convolutions, here. NumPy only."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

__all__ = ["from_keras_hub", "is_keras_hub"]

# KerasHub leaves the normalization after each stage unnamed, so that Keras numbers it as it is made.
_UNNAMED_NORM = re.compile(r"layer_normalization(?:_(\d+))?")
_PARTS = ("patch_and_embed_", "hierarchical_encoder_")


def is_keras_hub(arrays: Mapping[str, Sequence[Any]]) -> bool:
    """Whether names are KerasHub's paths, `hierarchical_encoder_0_0/attn/q`."""
    return any(name.startswith(_PARTS) and "/" in name for name in arrays)


def from_keras_hub(arrays: Mapping[str, Sequence[Any]]) -> dict[str, Sequence[Any]]:
    """Name and arrange KerasHub's arrays as our layers have them.

    Args:
        arrays: path of the layer → its arrays.

    Returns:
        Layer name → arrays. Names that no rule knows stay as they are, so that loading reports them.
    """
    numbers = {name: int(match[1] or 0) for name in arrays if (match := _UNNAMED_NORM.fullmatch(name))}
    stages = {name: stage for stage, name in enumerate(sorted(numbers, key=numbers.__getitem__))}
    converted: dict[str, Sequence[Any]] = {}
    for name, values in arrays.items():
        if name in stages:
            converted[f"output_level_{stages[name]}_norm"] = values
        elif name.startswith(_PARTS):
            converted[name.replace("/", "_")] = [_kernel_of_convolution(value) for value in values]
        else:
            converted[name] = values
    return converted


def _kernel_of_convolution(array: Any) -> Any:
    """A dense kernel (in, out) as that of a 1×1 convolution, (1, 1, in, out); others stay as they are."""
    return np.asarray(array)[np.newaxis, np.newaxis] if len(array.shape) == 2 else array
