"""DeepLabs of torchvision and segmentation_models.pytorch under the names of our layers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from registry.architecture import SegmenterWeights
from registry.weights.conversion import torch_layers
from registry_deeplab.fitting import misfit

__all__ = ["state_dict_weights"]

Arrays = Mapping[str, Sequence[Any]]

# Module of the head → our layer, but for ASPP's branches, which are numbered.
_TORCHVISION = {
    "classifier.1": "segmentation_head_conv",
    "classifier.2": "segmentation_head_norm",
    "classifier.4": "segmentation_output",
}
_AUXILIARY = "aux_classifier."
_SEGMENTATION_MODELS = {
    "aspp.1.0": "aspp_conv_output_depthwise",
    "aspp.1.1": "aspp_conv_output",
    "aspp.2": "aspp_bn_output",
    "block1.0": "decoder_conv",
    "block1.1": "decoder_norm",
    "block2.0.0": "segmentation_head_conv_depthwise",
    "block2.0.1": "segmentation_head_conv",
    "block2.1": "segmentation_head_norm",
    "conv": "segmentation_head_conv",
    "bn": "segmentation_head_norm",
}
# DeepLabV3's decoder was a list of layers once.
_NUMBERED_DECODER = {"0": "aspp", "1": "conv", "2": "bn"}


def state_dict_weights(config: Any, arrays: Arrays) -> SegmenterWeights | None:
    """Take the parameters of a whole DeepLab apart.

    Args:
        config: `DeepLabV3Config` or `DeepLabV3PlusConfig`.
        arrays: parameter → one array, in PyTorch's layout.

    Returns:
        The encoder's parameters without the prefix, and the layers of ASPP, decoder and classifier; None if the names
        are of neither project.
    """
    if "classifier.0.project.0.weight" in arrays:
        return _from_torchvision(config, arrays)
    if "segmentation_head.0.weight" in arrays:
        return _from_segmentation_models(config, arrays)
    return None


def _from_torchvision(config: Any, arrays: Arrays) -> SegmenterWeights:
    is_mobilenet = "backbone.1.block.0.0.weight" in arrays
    encoder, rest = _divided(arrays, "backbone.")
    modules = torch_layers(rest)
    aspp = _aspp_layers(modules, "classifier.0")
    head = {aspp.get(module) or _TORCHVISION.get(module, module): held for module, held in modules.items()}
    return SegmenterWeights(
        encoder=encoder,
        head=head,
        unused=tuple(name for name in head if name.startswith(_AUXILIARY)),
        refusal=misfit(config, "torchvision's DeepLabV3", {"align_corners": False}),
        encoder_options={"torch_padding": True, "norm_epsilon": 1e-3} if is_mobilenet else {},
        dilated_encoder={"early_rate": is_mobilenet},
    )


def _from_segmentation_models(config: Any, arrays: Arrays) -> SegmenterWeights:
    # timm's networks stand in a wrapper, and dilate as ours do; its own lose a stride in another way.
    wrapped = any(name.startswith("encoder.model.") for name in arrays)
    encoder, rest = _divided(arrays, "encoder.model." if wrapped else "encoder.")
    modules = {_numbered(module): held for module, held in torch_layers(rest).items()}
    plus = "decoder.aspp.1.0" in modules
    aspp = _aspp_layers(modules, "decoder.aspp.0" if plus else "decoder.aspp")
    head = {aspp.get(module) or _segmentation_models_layer(module): held for module, held in modules.items()}
    needed: dict[str, Any] = {
        "align_corners": True,
        "aspp.separable": "aspp_conv_2_depthwise" in head,
        "aspp.output_convolution": "separable" if plus else "none",
        "decoder.separable": plus,
    }
    if plus:
        needed |= {"aspp.depthwise_norm": False, "decoder.depthwise_norm": False}
    elif needed["aspp.separable"]:
        needed["aspp.depthwise_norm"] = False
    return SegmenterWeights(
        encoder=encoder,
        head=head,
        refusal=misfit(config, f"segmentation_models.pytorch's DeepLabV3{'Plus' if plus else ''}", needed),
        dilated_encoder={} if wrapped else {"early_rate": True},
    )


def _divided(arrays: Arrays, prefix: str) -> tuple[dict[str, Sequence[Any]], dict[str, Sequence[Any]]]:
    """The encoder's parameters without their prefix, and the others."""
    encoder = {name.removeprefix(prefix): held for name, held in arrays.items() if name.startswith(prefix)}
    return encoder, {name: held for name, held in arrays.items() if not name.startswith(prefix)}


def _aspp_layers(modules: Mapping[str, Any], prefix: str) -> dict[str, str]:
    """Module → layer, of ASPP: `convs.2.1` → `aspp_bn_3`; both projects call its parts alike."""
    named: dict[str, str] = {}
    parts = {
        module: re.fullmatch(
            rf"{re.escape(prefix)}\.(?:convs\.(\d{{1,4}})\.([0-2])(?:\.([01]))?|project\.([01]))", module
        )
        for module in modules
    }
    pooling = max((int(part[1]) for part in parts.values() if part and part[1]), default=0)
    for module, part in parts.items():
        if part is None:
            continue
        if part[4] is not None:
            named[module] = f"{'bn' if part[4] == '1' else 'conv'}_projection"
        elif int(part[1]) == pooling:  # pooling itself comes first within its branch
            named[module] = {"1": "conv_pooling", "2": "bn_pooling"}.get(part[2], module)
        else:
            half = "_depthwise" if part[3] == "0" else ""
            named[module] = f"aspp_{'bn' if part[2] == '1' else 'conv'}_{int(part[1]) + 1}{half}"
    return named


def _numbered(module: str) -> str:
    """A module of the decoder that was a list, by its later name."""
    part = re.match(r"decoder\.([012])(?=\.|$)", module)
    return module if part is None else f"decoder.{_NUMBERED_DECODER[part[1]]}{module[part.end() :]}"


def _segmentation_models_layer(module: str) -> str:
    if module == "segmentation_head.0":
        return "segmentation_output"
    return _SEGMENTATION_MODELS.get(module.removeprefix("decoder."), module)
