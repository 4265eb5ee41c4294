"""Names of timm's, torchvision's, KerasHub's and TensorFlow's weights as those of our layers. NumPy only."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from registry.weights.conversion import is_torch_layout, torch_layers
from registry_mobilenet.architectures import Architecture, MobileNetV2, MobileNetV3, MobileNetV4
from registry_mobilenet.model_garden import garden_layers

__all__ = ["convert"]

Arrays = Mapping[str, Sequence[Any]]

# Parts of a V3 block by our name: timm's and KerasHub's. The first block has no expansion, and so other numbers.
_TIMM = {
    "expand": "conv_pw",
    "expand/BatchNorm": "bn1",
    "depthwise": "conv_dw",
    "depthwise/BatchNorm": "bn2",
    "squeeze_excite/Conv": "se.conv_reduce",
    "squeeze_excite/Conv_1": "se.conv_expand",
    "project": "conv_pwl",
    "project/BatchNorm": "bn3",
}
_TIMM_FIRST = {
    "depthwise": "conv_dw",
    "depthwise/BatchNorm": "bn1",
    "squeeze_excite/Conv": "se.conv_reduce",
    "squeeze_excite/Conv_1": "se.conv_expand",
    "project": "conv_pw",
    "project/BatchNorm": "bn2",
}
_KERAS_HUB = {
    "expand": "conv1",
    "expand/BatchNorm": "bn1",
    "depthwise": "conv2",
    "depthwise/BatchNorm": "bn2",
    "squeeze_excite/Conv": "se_conv_reduce",
    "squeeze_excite/Conv_1": "se_conv_expand",
    "project": "conv3",
    "project/BatchNorm": "bn3",
}
_KERAS_HUB_FIRST = {
    "depthwise": "conv1",
    "depthwise/BatchNorm": "bn1",
    "squeeze_excite/Conv": "squeeze_excite_conv_reduce",
    "squeeze_excite/Conv_1": "squeeze_excite_conv_expand",
    "project": "conv2",
    "project/BatchNorm": "bn2",
}

_SLIM_SCOPE = "MobilenetV2/"
_SLIM_VARIABLES = (
    "weights",
    "depthwise_weights",
    "biases",
    "gamma",
    "beta",
    "moving_mean",
    "moving_variance",
)
# What training keeps beside a variable.
_SLIM_TRAINING = re.compile(r"Momentum|RMSProp(_\d+)?|Adam(_\d+)?|ExponentialMovingAverage")


def convert(architecture: Architecture, arrays: Arrays) -> Mapping[str, Sequence[Any]] | None:
    """Name and arrange arrays as our layers have them: those of timm, torchvision, KerasHub, TensorFlow.

    Args:
        architecture: of the variant.
        arrays: what a file holds, in its own names.

    Returns:
        Layer → arrays; a name without a layer here stays as it is. None for names that need no conversion.
    """
    if is_torch_layout(arrays):
        modules = torch_layers(arrays)
        if isinstance(architecture, MobileNetV4):
            return {module.replace(".", "_"): held for module, held in modules.items()}
        if isinstance(architecture, MobileNetV3):
            names = _timm_names(architecture) if "conv_stem" in modules else _torchvision_names(architecture)
            return _renamed(modules, names)
    if isinstance(architecture, MobileNetV2) and any(name.startswith(_SLIM_SCOPE) for name in arrays):
        return _from_slim(arrays)
    if isinstance(architecture, MobileNetV2):
        return garden_layers(arrays)
    if isinstance(architecture, MobileNetV3) and "input_conv" in arrays:
        names = _keras_hub_names(architecture)
        renamed = _renamed(arrays, names)
        return {
            name: [_channelwise(held[0])] if name.endswith("/depthwise") else held
            for name, held in renamed.items()
        }
    return None


def _from_slim(arrays: Arrays) -> dict[str, Sequence[Any]]:
    """`MobilenetV2/expanded_conv_1/expand/BatchNorm/gamma` and its like, gathered by layer."""
    held: dict[str, dict[str, Any]] = {}
    for name, values in arrays.items():
        scope, _, variable = name.rpartition("/")
        if variable in _SLIM_VARIABLES:
            held.setdefault(_slim_layer(scope), {})[variable] = values[0]
        elif "/" in name and not _SLIM_TRAINING.fullmatch(variable):
            held[name] = {name: values[0]}
    return {
        layer: [variables[name] for name in (*_SLIM_VARIABLES, layer) if name in variables]
        for layer, variables in held.items()
    }


def _slim_layer(scope: str) -> str:
    scope = scope.removeprefix(_SLIM_SCOPE)
    layer, is_norm = scope.removesuffix("/BatchNorm"), scope.endswith("/BatchNorm")
    if layer == "Conv":
        return "bn_Conv1" if is_norm else "Conv1"
    if layer == "Conv_1":
        return "Conv_1_bn" if is_norm else "Conv_1"
    block = re.fullmatch(r"expanded_conv(?:_(\d+))?/(expand|depthwise|project)", layer)
    if block is None:
        return scope
    prefix = f"block_{block[1]}_" if block[1] else "expanded_conv_"
    return f"{prefix}{block[2]}{'_BN' if is_norm else ''}"


def _renamed(arrays: Arrays, names: Mapping[str, str]) -> dict[str, Sequence[Any]]:
    return {names.get(name, name): held for name, held in arrays.items()}


def _timm_names(architecture: MobileNetV3) -> dict[str, str]:
    last = f"blocks.{len(architecture.stages())}.0"
    names = {
        "conv_stem": "Conv",
        "bn1": "Conv/BatchNorm",
        f"{last}.conv": "Conv_1",
        f"{last}.bn1": "Conv_1/BatchNorm",
    }
    for stage, block, ours in _positions(architecture):
        for part, theirs in (_TIMM if stage else _TIMM_FIRST).items():
            names[f"blocks.{stage}.{block}.{theirs}"] = f"{ours}/{part}"
    return names


def _torchvision_names(architecture: MobileNetV3) -> dict[str, str]:
    """`features.4.block.2.fc1`, and `4.block.2.fc1` within a segmenter: parts of a block are counted."""
    blocks = architecture.blocks()
    names = {"0.0": "Conv", "0.1": "Conv/BatchNorm"}
    names |= {f"{len(blocks) + 1}.0": "Conv_1", f"{len(blocks) + 1}.1": "Conv_1/BatchNorm"}
    for number, (block, (_, _, ours)) in enumerate(zip(blocks, _positions(architecture), strict=True), 1):
        parts = ["expand"] if number > 1 else []
        parts += ["depthwise", *(["squeeze_excite"] if block.squeeze_excite else []), "project"]
        for place, part in enumerate(parts):
            theirs = f"{number}.block.{place}"
            if part == "squeeze_excite":
                names |= {f"{theirs}.fc1": f"{ours}/{part}/Conv", f"{theirs}.fc2": f"{ours}/{part}/Conv_1"}
            else:
                names |= {f"{theirs}.0": f"{ours}/{part}", f"{theirs}.1": f"{ours}/{part}/BatchNorm"}
    return names | {f"features.{theirs}": ours for theirs, ours in names.items()}


def _keras_hub_names(architecture: MobileNetV3) -> dict[str, str]:
    last = f"block_{len(architecture.stages())}_0"
    names = {
        "input_conv": "Conv",
        "input_batch_norm": "Conv/BatchNorm",
        f"{last}_conv": "Conv_1",
        f"{last}_bn": "Conv_1/BatchNorm",
    }
    for stage, block, ours in _positions(architecture):
        for part, theirs in (_KERAS_HUB if stage else _KERAS_HUB_FIRST).items():
            names[f"block_{stage}_{block}_{theirs}"] = f"{ours}/{part}"
    return names


def _positions(architecture: MobileNetV3) -> list[tuple[int, int, str]]:
    """Stage, number within the stage, and our prefix, of each block."""
    counted = [
        (stage, block) for stage, blocks in enumerate(architecture.stages()) for block in range(len(blocks))
    ]
    return [
        (stage, block, f"expanded_conv_{index}" if index else "expanded_conv")
        for index, (stage, block) in enumerate(counted)
    ]


def _channelwise(kernel: Any) -> np.ndarray:
    """KerasHub's depthwise kernels are those of grouped convolutions, (height, width, 1, channels)."""
    return np.transpose(np.asarray(kernel), (0, 1, 3, 2))
