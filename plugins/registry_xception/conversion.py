"""Other projects' Xception weights under the names of our layers. NumPy only."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from registry.errors import WeightsMismatchError
from registry.weights.conversion import is_torch_layout, torch_layers
from registry_xception.variants import AlignedArchitecture

__all__ = ["aligned_layers", "original_layers"]

Arrays = Mapping[str, Sequence[Any]]

# Places of a checkpoint's variables in those of a Keras layer.
_BATCH_NORM = ("gamma", "beta", "moving_mean", "moving_variance")
_KERNELS = ("weights", "depthwise_weights")
_SCOPE = re.compile(r"xception_\d+/")
# What training keeps beside the variables: counters, and slots named after the variable that they belong to.
_TRAINING_STATE = re.compile(
    r"global_step|.*/(Momentum|RMSProp(_\d+)?|Adam(_\d+)?|Adagrad|ExponentialMovingAverage)"
)

_TIMM_PARTS = {
    "conv_dw": "depthwise",
    "bn_dw": "depthwise_bn",
    "conv_pw": "pointwise",
    "bn_pw": "pointwise_bn",
}


def aligned_layers(arrays: Arrays, architecture: AlignedArchitecture) -> Arrays | None:
    """Rename and arrange what timm or TensorFlow DeepLab holds for an aligned Xception.

    Args:
        arrays: parameters of timm's file (`blocks.0.stack.conv1.conv_dw.weight`), or variables of a TensorFlow
            checkpoint (`xception_65/entry_flow/block1/unit_1/xception_module/separable_conv1_depthwise/…`).
        architecture: of the variant.

    Returns:
        Layer name → arrays; what has no layer in the encoder, such as a checkpoint's decoder, keeps its name. None if
        the names are of neither kind.

    Raises:
        WeightsMismatchError: the checkpoint's separable convolutions lack the normalization between their halves.
    """
    if is_torch_layout(arrays):
        return _from_timm(arrays, architecture)
    if any(_SCOPE.match(name) for name in arrays):
        return _from_checkpoint(arrays)
    return None


def original_layers(arrays: Arrays) -> Arrays | None:
    """Split KerasHub's separable convolutions into the depthwise and the pointwise half.

    Args:
        arrays: layer name → arrays, as KerasHub names them.

    Returns:
        Layer name → arrays; None if the file holds no separable convolution.
    """
    separable = {
        name
        for name, values in arrays.items()
        if re.fullmatch(r"block\d+_sepconv\d+", name) and len(values) == 2
    }
    if not separable:
        return None
    layers: dict[str, Sequence[Any]] = {}
    for name, values in arrays.items():
        if name in separable:
            layers[f"{name}_depthwise"], layers[f"{name}_pointwise"] = [values[0]], [values[1]]
        else:
            layers[name] = values
    return layers


def _from_timm(arrays: Arrays, architecture: AlignedArchitecture) -> dict[str, Sequence[Any]]:
    units = [unit.name for unit in architecture.units()]
    return {_timm_name(module, units): values for module, values in torch_layers(arrays).items()}


def _timm_name(module: str, units: Sequence[str]) -> str:
    if module == "head.fc":
        return "logits"
    stem = re.fullmatch(r"stem\.([01])\.(conv|bn)", module)
    if stem:
        return f"entry_flow_conv1_{int(stem[1]) + 1}{'_bn' if stem[2] == 'bn' else ''}"
    block = re.fullmatch(r"blocks\.(\d+)\.(.+)", module)
    if block is None or int(block[1]) >= len(units):
        return module
    unit, part = units[int(block[1])], block[2]
    if part in ("shortcut.conv", "shortcut.bn"):
        return f"{unit}_shortcut{'_bn' if part.endswith('bn') else ''}"
    separable = re.fullmatch(r"stack\.conv(\d)\.(\w+)", part)
    if separable is None or separable[2] not in _TIMM_PARTS:
        return module
    return f"{unit}_separable_conv{separable[1]}_{_TIMM_PARTS[separable[2]]}"


def _from_checkpoint(arrays: Arrays) -> dict[str, Sequence[Any]]:
    held: dict[str, dict[str, Any]] = {}
    passed: dict[str, Sequence[Any]] = {}
    for name, values in arrays.items():
        if _TRAINING_STATE.fullmatch(name):
            continue
        layer, _, variable = name.rpartition("/")
        if not _SCOPE.match(name):
            passed[name] = values
            continue
        if variable == "pointwise_weights":
            raise WeightsMismatchError(
                "an aligned Xception normalizes between depthwise and pointwise convolution",
                received=f"{name}, of a network trained with regularized depthwise kernels, which does not",
                repair="take a checkpoint with separable_conv1_depthwise/depthwise_weights and the like",
            )
        held.setdefault(_layer_of(layer), {})[variable] = values[0]
    return {layer: _in_order(variables) for layer, variables in held.items()} | passed


def _layer_of(scope: str) -> str:
    """`xception_65/exit_flow/…/xception_module/shortcut/BatchNorm` → `exit_flow_…_shortcut_bn`."""
    scope = _SCOPE.sub("", scope, count=1).replace("/xception_module/", "/")
    return re.sub(r"/BatchNorm$", "_bn", scope).replace("/", "_")


def _in_order(variables: Mapping[str, Any]) -> list[Any]:
    order = (*_KERNELS, "biases", *_BATCH_NORM)
    return [variables[name] for name in order if name in variables] + [
        array for name, array in variables.items() if name not in order
    ]
