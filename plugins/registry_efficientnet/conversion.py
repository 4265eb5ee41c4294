"""Layer names of timm's and KerasHub's files → those of tf_keras.applications, which the graph has.

tf-keras's own files load as they are, but for the number that Keras may have put behind its `normalization` layer.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from registry.weights.conversion import is_torch_layout, torch_layers
from registry_efficientnet.architecture import Architecture, Stage

__all__ = ["renamed_layers"]

# timm's module → our layer. Inside a block, normalizations count up, so the names depend on the kind of block.
_TIMM_ENDS = {
    "conv_stem": "stem_conv",
    "bn1": "stem_bn",
    "conv_head": "top_conv",
    "bn2": "top_bn",
    "classifier": "predictions",
}
_TIMM_SQUEEZE_EXCITE = {"se.conv_reduce": "se_reduce", "se.conv_expand": "se_expand"}
_TIMM_INVERTED = {
    "conv_pw": "expand_conv",
    "bn1": "expand_bn",
    "conv_dw": "{depthwise}",
    "bn2": "bn",
    "conv_pwl": "project_conv",
    "bn3": "project_bn",
    **_TIMM_SQUEEZE_EXCITE,
}
_TIMM_SEPARABLE = {
    "conv_dw": "{depthwise}",
    "bn1": "bn",
    "conv_pw": "project_conv",
    "bn2": "project_bn",
    **_TIMM_SQUEEZE_EXCITE,
}
_TIMM_FUSED = {
    "conv_exp": "expand_conv",
    "bn1": "expand_bn",
    "conv_pwl": "project_conv",
    "bn2": "project_bn",
}
_TIMM_PLAIN = {"conv": "project_conv", "bn1": "project_bn"}

_TIMM_BLOCK = re.compile(r"blocks\.(\d+)\.(\d+)\.(.+)")
_KERAS_HUB_BLOCK = re.compile(r"(block\d+[a-z]_)(dwconv_bn|project)")
_KERAS_HUB = {"dwconv_bn": "bn", "project": "project_conv"}
_NUMBERED_NORMALIZATION = re.compile(r"normalization_\d+")


def renamed_layers(
    architecture: Architecture, arrays: Mapping[str, Sequence[Any]]
) -> Mapping[str, Sequence[Any]] | None:
    """Name the layers of a file as the graph does; its own names tell where it comes from.

    Args:
        architecture: of the variant that is to be loaded.
        arrays: parameter → one array of timm's safetensors, or layer → arrays of Keras's files.

    Returns:
        Layer → arrays, a layer that the architecture does not have under its own name; None where nothing differs.
    """
    if is_torch_layout(arrays):
        modules = torch_layers(arrays, depthwise=lambda module: module.endswith(".conv_dw"))
        return {_layer_of_module(architecture, module): held for module, held in modules.items()}
    renamed = {name: _layer_of_keras(name) for name in arrays}
    if all(name == layer for name, layer in renamed.items()):
        return None
    return {renamed[name]: held for name, held in arrays.items()}


def _layer_of_module(architecture: Architecture, module: str) -> str:
    match = _TIMM_BLOCK.fullmatch(module)
    if match is None:
        return _TIMM_ENDS.get(module, module)
    stage, block, part = int(match[1]), int(match[2]), match[3]
    if stage >= len(architecture.stages) or block >= architecture.stages[stage].repeats:
        return module
    layer = _parts_of(architecture.stages[stage]).get(part)
    if layer is None:
        return module
    return f"block{stage + 1}{chr(ord('a') + block)}_" + layer.format(depthwise=architecture.depthwise)


def _parts_of(stage: Stage) -> Mapping[str, str]:
    if stage.fused:
        return _TIMM_FUSED if stage.expansion > 1 else _TIMM_PLAIN
    return _TIMM_INVERTED if stage.expansion > 1 else _TIMM_SEPARABLE


def _layer_of_keras(name: str) -> str:
    if _NUMBERED_NORMALIZATION.fullmatch(name):
        return "normalization"
    match = _KERAS_HUB_BLOCK.fullmatch(name)
    return name if match is None else match[1] + _KERAS_HUB[match[2]]
