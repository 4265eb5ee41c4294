"""What each layer does to the range of its values: the table by which a model is quantized.

A file's operations fall into a few kinds. A convolution, a sum or a product makes values of a new range (`Own`). A
maximum, a resize or a concatenation only moves values, and its kernel wants one scale for inputs and output (`Same`).
A sigmoid's range is known beforehand (`Fixed`). And some layers are several operations, whose results in between are
rounded, too (`Steps`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from registry.backend import keras, tf
from registry.errors import QuantizationError
from registry.models import activations, layers, padded, pooling

__all__ = ["Fixed", "Observe", "Own", "Rule", "Rules", "Same", "Steps", "rule_of"]

Observe: TypeAlias = Callable[[str, Any], Any]
"""Rounds a result in between, by its name within the layer; gives it back rounded."""


@dataclass(frozen=True)
class Own:
    """The result has a range of its own.

    Args:
        kernels: attributes of the layer that hold kernels → axes of their output channels.
    """

    kernels: Mapping[str, tuple[int, ...]] | None = None


@dataclass(frozen=True)
class Same:
    """Result and inputs have one range: values are moved, chosen or blended, not made.

    Args:
        blends: whether the result lies between values, so that it is rounded.
    """

    blends: bool = False


@dataclass(frozen=True)
class Fixed:
    """The result's range is known.

    Args:
        low: smallest value.
        high: largest value, of the last step of 8 bits.
    """

    low: float
    high: float


@dataclass(frozen=True)
class Steps:
    """Several operations, whose last result has a range of its own.

    Args:
        compute: (layer, inputs, observe) → result, which passes each result in between through `observe`.
        names: of the results in between.
        kernels: as of `Own`; `compute` finds them rounded.
    """

    compute: Callable[[Any, Any, Observe], Any]
    names: tuple[str, ...]
    kernels: Mapping[str, tuple[int, ...]] | None = None


Rule: TypeAlias = Own | Same | Fixed | Steps
Rules: TypeAlias = Mapping[type, Rule | Callable[[Any], Rule]]
"""Layer class → rule, or a function of the layer that gives it."""

_SIGMOID = Fixed(0.0, 255.0 / 256.0)
_TANH = Fixed(-1.0, 127.0 / 128.0)
_CONVOLUTION = Own({"kernel": (3,)})
_DEPTHWISE = Own({"depthwise_kernel": (2, 3)})


def _separable(layer: Any, inputs: Any, observe: Observe) -> Any:
    x = keras.backend.depthwise_conv2d(
        inputs,
        layer.depthwise_kernel,
        strides=layer.strides,
        padding=layer.padding,
        dilation_rate=layer.dilation_rate,
    )
    x = observe("depthwise", x)
    x = tf.nn.conv2d(x, layer.pointwise_kernel, 1, "VALID")
    x = tf.nn.bias_add(x, layer.bias) if layer.use_bias else x
    return x if layer.activation is None else layer.activation(x)


def _atrous_separable(layer: Any, inputs: Any, observe: Observe) -> Any:
    edges = layer.edges
    x = tf.pad(inputs, ((0, 0), *edges, (0, 0))) if any(map(sum, edges)) else inputs
    x = layers.atrous_depthwise_conv2d(
        x, layer.depthwise_kernel, rate=layer.dilation_rate, padding=layer.padding.upper()
    )
    x = observe("depthwise", x)
    x = tf.nn.conv2d(x, layer.pointwise_kernel, 1, "VALID")
    x = tf.nn.bias_add(x, layer.bias) if layer.use_bias else x
    return x if layer.activation is None else layer.activation(x)


def _swish(layer: Any, inputs: Any, observe: Observe) -> Any:
    return inputs * observe("gate", tf.sigmoid(inputs))


def _hard_sigmoid(layer: Any, inputs: Any, observe: Observe) -> Any:
    gate = observe("gate", tf.nn.relu6(inputs + tf.cast(3.0, inputs.dtype)))
    return gate * tf.cast(1.0 / 6.0, inputs.dtype)


def _hard_swish(layer: Any, inputs: Any, observe: Observe) -> Any:
    gate = observe("gate", tf.nn.relu6(inputs + tf.cast(3.0, inputs.dtype)))
    return observe("product", inputs * gate) * tf.cast(1.0 / 6.0, inputs.dtype)


def _layer_normalization(layer: Any, inputs: Any, observe: Observe) -> Any:
    axes = [axis % inputs.shape.rank for axis in tf.nest.flatten(layer.axis)]
    centered = observe("centered", inputs - observe("mean", tf.reduce_mean(inputs, axes, keepdims=True)))
    squared = observe("squared", centered * centered)
    power = observe("power", tf.reduce_mean(squared, axes, keepdims=True))
    variance = observe("variance", power + layer.epsilon)
    x = observe("normalized", centered * observe("inverse", tf.math.rsqrt(variance)))
    if layer.scale:
        x = x * layer.gamma
    if layer.center:
        x = (observe("scaled", x) if layer.scale else x) + layer.beta
    return x


def _average_pooling(layer: Any, inputs: Any, observe: Observe) -> Any:
    return layer.observed(inputs, observe)


_RULES: dict[type, Rule] = {
    # Convolutions and products of matrices, with the activation that is fused into them.
    keras.layers.Conv2D: _CONVOLUTION,
    layers.AtrousConv2D: _CONVOLUTION,
    padded.PaddedAtrousConv2D: _CONVOLUTION,
    keras.layers.DepthwiseConv2D: _DEPTHWISE,
    layers.AtrousDepthwiseConv2D: _DEPTHWISE,
    padded.PaddedAtrousDepthwiseConv2D: _DEPTHWISE,
    keras.layers.Conv2DTranspose: Own({"kernel": (2,)}),
    keras.layers.Dense: Own({"kernel": (1,)}),
    keras.layers.SeparableConv2D: Steps(
        _separable, ("depthwise",), {"depthwise_kernel": (2, 3), "pointwise_kernel": (3,)}
    ),
    padded.AtrousSeparableConv2D: Steps(
        _atrous_separable, ("depthwise",), {"depthwise_kernel": (2, 3), "pointwise_kernel": (3,)}
    ),
    # Arithmetic.
    keras.layers.Add: Own(),
    keras.layers.Subtract: Own(),
    keras.layers.Multiply: Own(),
    keras.layers.Average: Own(),
    keras.layers.Rescaling: Own(),
    keras.layers.GlobalAveragePooling2D: Own(),
    activations.Scale: Own(),
    activations.HardGate: Own(),
    activations.GELU: Own(),
    keras.layers.LeakyReLU: Own(),
    keras.layers.LayerNormalization: Steps(
        _layer_normalization,
        ("mean", "centered", "squared", "power", "variance", "inverse", "normalized", "scaled"),
    ),
    activations.Swish: Steps(_swish, ("gate",)),
    activations.HardSigmoid: Steps(_hard_sigmoid, ("gate",)),
    activations.HardSwish: Steps(_hard_swish, ("gate", "product")),
    pooling.AtrousAveragePooling2D: Steps(_average_pooling, pooling.AtrousAveragePooling2D.RESULTS),
    # What moves values.
    keras.layers.MaxPooling2D: Same(),
    keras.layers.AveragePooling2D: Same(blends=True),
    pooling.ConvolvedAveragePooling2D: Same(blends=True),
    keras.layers.GlobalMaxPooling2D: Same(),
    pooling.AtrousMaxPooling2D: Same(),
    keras.layers.UpSampling2D: Same(blends=True),
    layers.AlignedUpSampling2D: Same(blends=True),
    layers.ResizeLike: Same(blends=True),
    layers.SpaceToDepth: Same(),
    keras.layers.Concatenate: Same(),
    keras.layers.Maximum: Same(),
    keras.layers.Minimum: Same(),
    keras.layers.ZeroPadding2D: Same(),
    keras.layers.Cropping2D: Same(),
    keras.layers.Reshape: Same(),
    keras.layers.Flatten: Same(),
    keras.layers.Permute: Same(),
    keras.layers.Softmax: _SIGMOID,
}

# Activations by name, as layers of their own; None: rounded like any other result.
_ACTIVATIONS: dict[str, Rule] = {
    "linear": Same(),
    "relu": Own(),
    "relu6": Own(),
    "sigmoid": _SIGMOID,
    "softmax": _SIGMOID,
    "tanh": _TANH,
}
_FUSED = ("linear", "relu", "relu6")
"""Activations that a convolution's kernel applies itself."""


def rule_of(layer: Any, others: Rules) -> Rule:
    """The rule of a layer.

    Args:
        layer: of tf-keras, atrous or a plugin.
        others: rules of classes that are not known here, or that are to be treated otherwise.

    Raises:
        QuantizationError: there is none; says what to do.
    """
    given = others.get(type(layer))
    if given is not None:
        return given if isinstance(given, Own | Same | Fixed | Steps) else given(layer)
    if isinstance(layer, keras.layers.ReLU):
        return Own()
    is_activation = isinstance(layer, keras.layers.Activation)
    activation = keras.activations.serialize(layer.activation) if hasattr(layer, "activation") else "linear"
    known = (
        _ACTIVATIONS.get(activation if isinstance(activation, str) else "")
        if is_activation
        else _RULES.get(type(layer))
    )
    if known is None:
        raise _unknown(layer, f"the activation {activation!r}" if is_activation else type(layer).__name__)
    if isinstance(known, Own | Steps) and known.kernels and activation not in _FUSED:
        raise _unknown(layer, f"{type(layer).__name__} with the activation {activation!r}")
    return known


def _unknown(layer: Any, what: str) -> QuantizationError:
    return QuantizationError(
        "every layer of a model to quantize needs a rule that says what it does to the range of its values",
        received=f"{layer.name}: {what}",
        repair="keep it in float with `exclude`, give a rule with `rules={Class: registry.quantization.Own()}`, or let "
        "its plugin give one by the hook `registry_quantization_rules`",
    )
