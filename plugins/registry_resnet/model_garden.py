"""TF Model Garden's checkpoints of ResNets under the names of our layers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from registry.errors import WeightsMismatchError
from registry.weights.object_paths import numbered_layers
from registry_resnet.variants import ResNetArchitecture

__all__ = ["garden_layers"]

_NETWORK = "padding: same, norm_epsilon: 1.0e-3, and activation, early_rate and multi_grid as it was trained"


def garden_layers(
    arrays: Mapping[str, Sequence[Any]], architecture: ResNetArchitecture | None
) -> dict[str, Sequence[Any]] | None:
    """Name the variables of Model Garden's `ResNet` and `DilatedResNet` as our layers have them.

    Args:
        arrays: variables of a checkpoint of a whole model, of a classifier, or of the backbone alone.
        architecture: that they are for, if it is known.

    Returns:
        Layer → arrays; a variable without a layer keeps its name, and what is not the backbone's is left out. None if
        the names are not Model Garden's.

    Raises:
        WeightsMismatchError: it is a network that the options cannot express, or that the architecture is not.
    """
    numbered = numbered_layers(arrays)
    if numbered is None:
        return None
    _refuse_others(numbered, architecture)
    named: dict[str, Sequence[Any]] = {}
    stem, stack, block = 0, -1, -1
    for path, parts in numbered:
        if set(parts) == {""}:
            is_convolution = len(parts[""]) == 1
            stem += is_convolution
            name = f"conv{stem}_{'conv' if is_convolution else 'bn'}"
            named[path if name in named else name] = parts[""]
            continue
        # Each stack begins with the only block of it whose shortcut is a convolution.
        stack, block = (stack + 1, 0) if "_shortcut" in parts else (stack, block + 1)
        for part, held in parts.items():
            named[_layer(f"stack{stack}_block{block}", part) or f"{path}/{part}".rstrip("/")] = held
    return named


def _layer(block: str, part: str) -> str | None:
    if part == "_shortcut":
        return f"{block}_0_conv"
    match = re.fullmatch(r"_(conv|norm)(\d)", part)
    return match and f"{block}_{match[2]}_{'conv' if match[1] == 'conv' else 'bn'}"


def _refuse_others(
    numbered: list[tuple[str, dict[str, Any]]], architecture: ResNetArchitecture | None
) -> None:
    parts = {part.partition("/")[0] for _, held in numbered for part in held}
    convolutions = sum(set(held) == {""} and len(held[""]) == 1 for _, held in numbered)
    reason = None
    if "_squeeze_excitation" in parts:
        reason = "squeeze-and-excitation"
    elif "_shortcut1" in parts:
        reason = "shortcuts that average, also where nothing is strided (`resnetd_shortcut`)"
    elif convolutions in (2, 4):
        reason = "a strided convolution in place of the stem's pooling (`replace_stem_max_pool`)"
    if reason is not None:
        raise WeightsMismatchError(
            "of Model Garden's ResNets those with plain blocks and the stem types v0 and v1 can be expressed",
            received=f"a checkpoint of a ResNet with {reason}",
        )
    if architecture is not None and architecture.padding != "same" and "_shortcut" in parts:
        raise WeightsMismatchError(
            "Model Garden's ResNets pad as TensorFlow does, and have another epsilon than this encoder",
            received=f"its checkpoint, for an encoder with padding {architecture.padding!r} and epsilon "
            f"{architecture.norm_epsilon:g}",
            repair=f"variant: resnet_custom, options: {{…, {_NETWORK}}}; docs/convert.md has the whole preset",
        )
