"""TensorFlow 1's DeepLab checkpoints under the names of our layers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from registry.architecture import SegmenterWeights
from registry.weights.arrays import StoredArray, stored

__all__ = ["checkpoint_weights"]

Arrays = Mapping[str, Sequence[Any]]

# The scope of each part that stands on the encoder.
_HEAD_SCOPES = ("image_pooling", "aspp", "concat_projection", "decoder", "logits")
_VARIABLES = ("weights", "depthwise_weights", "biases", "gamma", "beta", "moving_mean", "moving_variance")
# What training keeps beside the variables.
_TRAINING_STATE = re.compile(
    r"global_step|.*/(Momentum|RMSProp(_\d+)?|Adam(_\d+)?|Adagrad|ExponentialMovingAverage)"
)
_LOGITS = "logits/semantic"


def checkpoint_weights(config: Any, arrays: Arrays) -> SegmenterWeights | None:
    """Take a checkpoint of `research/deeplab` apart.

    Args:
        config: `DeepLabV3Config` or `DeepLabV3PlusConfig`.
        arrays: variables by name: `aspp1_depthwise/depthwise_weights`.

    Returns:
        The encoder's variables in their own names, and the layers of ASPP, decoder and classifier; None if the names
        are of no such checkpoint.
    """
    if "concat_projection/weights" not in arrays:
        return None
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
