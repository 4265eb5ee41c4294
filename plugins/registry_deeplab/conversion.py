"""Other projects' DeepLabs under the names of our layers: checkpoints of TensorFlow 1 and 2, torchvision's files."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from registry.architecture import SegmenterWeights
from registry.errors import WeightsMismatchError
from registry.weights.arrays import StoredArray, stored
from registry.weights.conversion import is_torch_layout, torch_layers
from registry_deeplab.model_garden import garden_weights

__all__ = ["segmenter_weights"]

Arrays = Mapping[str, Sequence[Any]]

# TensorFlow DeepLab: the scope of each part that stands on the encoder.
_HEAD_SCOPES = ("image_pooling", "aspp", "concat_projection", "decoder", "logits")
_VARIABLES = ("weights", "depthwise_weights", "biases", "gamma", "beta", "moving_mean", "moving_variance")
# What training keeps beside the variables.
_TRAINING_STATE = re.compile(
    r"global_step|.*/(Momentum|RMSProp(_\d+)?|Adam(_\d+)?|Adagrad|ExponentialMovingAverage)"
)
_LOGITS = "logits/semantic"
# torchvision: module of the head → our layer, but for the branches, which are numbered.
_TORCHVISION = {
    "classifier.0.project.0": "conv_projection",
    "classifier.0.project.1": "bn_projection",
    "classifier.1": "segmentation_head_conv",
    "classifier.2": "segmentation_head_norm",
    "classifier.4": "segmentation_output",
}
_AUXILIARY = "aux_classifier."


def segmenter_weights(config: Any, arrays: Arrays) -> SegmenterWeights | None:
    """Take the weights of a whole DeepLab apart.

    Args:
        config: `DeepLabV3Config` or `DeepLabV3PlusConfig`.
        arrays: variables of a checkpoint (`aspp1_depthwise/depthwise_weights`, or Model Garden's
            `head/_classifier/kernel/.ATTRIBUTES/VARIABLE_VALUE`), or parameters of torchvision's file
            (`classifier.0.convs.1.0.weight`).

    Returns:
        The encoder's arrays in its own names, and the layers of ASPP, decoder and classifier; None if the names are of
        no such kind.

    Raises:
        WeightsMismatchError: the file is of segmentation_models.pytorch, whose network is another one, or of a network
            of Model Garden that cannot be expressed.
    """
    if is_torch_layout(arrays):
        if any(name.startswith("segmentation_head.") for name in arrays):
            raise WeightsMismatchError(
                "a DeepLab of segmentation_models.pytorch is another network: its last upsampling aligns the image's "
                "corners, its separable convolutions have no normalization between their halves, and its encoders "
                "dilate the convolution that loses its stride, too",
                received=f"{len(arrays)} parameters, segmentation_head.0.weight among them",
                repair="load its encoder alone: encoder_weights=… of a file of the parameters that start with "
                "'encoder.', without that word",
            )
        return _from_torchvision(arrays) if "classifier.0.project.0.weight" in arrays else None
    if "concat_projection/weights" in arrays:
        return _from_checkpoint(config, arrays)
    return garden_weights(arrays)


def _from_torchvision(arrays: Arrays) -> SegmenterWeights:
    prefix = "backbone."
    encoder = {name.removeprefix(prefix): held for name, held in arrays.items() if name.startswith(prefix)}
    rest = {name: held for name, held in arrays.items() if not name.startswith(prefix)}
    modules = torch_layers(rest)
    pooling = max(_branch_numbers(modules))
    head = {_torchvision_layer(module, pooling): held for module, held in modules.items()}
    unused = tuple(name for name in head if name.startswith(_AUXILIARY))
    return SegmenterWeights(encoder=encoder, head=head, unused=unused)


def _branch_numbers(modules: Mapping[str, Any]) -> list[int]:
    found = (re.match(r"classifier\.0\.convs\.(\d+)\.", module) for module in modules)
    return [int(match[1]) for match in found if match] or [0]


def _torchvision_layer(module: str, pooling: int) -> str:
    branch = re.fullmatch(r"classifier\.0\.convs\.(\d+)\.(\d)", module)
    if branch is None:
        return _TORCHVISION.get(module, module)
    number, part = int(branch[1]), int(branch[2])
    if number == pooling:  # pooling comes first within it
        return {1: "conv_pooling", 2: "bn_pooling"}.get(part, module)
    return f"aspp_{'bn' if part else 'conv'}_{number + 1}"


def _from_checkpoint(config: Any, arrays: Arrays) -> SegmenterWeights:
    encoder: dict[str, Sequence[Any]] = {}
    held: dict[str, dict[str, Any]] = {}
    for name, values in arrays.items():
        scope, _, variable = name.rpartition("/")
        if _TRAINING_STATE.fullmatch(name):
            continue
        if name.startswith(_HEAD_SCOPES) and variable in _VARIABLES:
            held.setdefault(_scope_layer(scope), {})[variable] = values[0]
        else:
            encoder[name] = values
    head: dict[str, Sequence[Any]] = {
        layer: [variables[name] for name in _VARIABLES if name in variables]
        for layer, variables in held.items()
    }
    if "conv_pooling" in head and "conv_projection" in head:
        # DeepLab concatenates the pooled features first, we last.
        first = config.aspp.filters
        head["conv_projection"] = [_first_to_last(head["conv_projection"][0], first)]
    return SegmenterWeights(encoder=encoder, head=head)


def _scope_layer(scope: str) -> str:
    """`aspp1_depthwise/BatchNorm` → `aspp_bn_2_depthwise`."""
    kind = "bn" if scope.endswith("/BatchNorm") else "conv"
    scope = scope.removesuffix("/BatchNorm")
    if scope == _LOGITS:
        return "segmentation_output"
    if scope in ("image_pooling", "concat_projection"):
        return f"{kind}_{'pooling' if scope == 'image_pooling' else 'projection'}"
    norm = "norm" if kind == "bn" else "conv"
    if scope == "decoder/feature_projection0":
        return f"decoder_{norm}"
    branch = re.fullmatch(r"aspp(\d+)(_depthwise|_pointwise)?", scope)
    if branch:
        return f"aspp_{kind}_{int(branch[1]) + 1}{'_depthwise' if branch[2] == '_depthwise' else ''}"
    # Plain convolutions of the decoder are `decoder_conv0/decoder_conv0_1`, counted from one.
    decoder = re.fullmatch(r"decoder/decoder_conv(\d)(_depthwise|_pointwise|/decoder_conv\d_(\d))", scope)
    if decoder:
        number = int(decoder[3]) if decoder[3] else int(decoder[1]) + 1
        suffix = "" if number == 1 else f"_{number}"
        return f"segmentation_head_{norm}{suffix}{'_depthwise' if decoder[2] == '_depthwise' else ''}"
    return scope


def _first_to_last(kernel: Any, count: int) -> StoredArray:
    """The kernel of a 1×1 convolution whose first `count` input channels come last."""
    array = stored(kernel)
    return StoredArray(array.shape, lambda: np.roll(np.asarray(array), -count, axis=2), array.dtype)
