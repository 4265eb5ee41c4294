"""Atrous convolutions over zeros that they add themselves, and the separable one.

A strided convolution with `same` padding starts its windows at certain pixels. Where a parallel branch starts its own
at the same ones, the dilated windows must too, and `same` padding of a dilated kernel would centre them instead.

All tensors are NHWC: (batch, height, width, channels).
"""

from __future__ import annotations

from typing import Any

from registry.backend import keras, tf
from registry.models.layers import AtrousConv2D, AtrousDepthwiseConv2D, atrous_depthwise_conv2d

__all__ = ["AtrousSeparableConv2D", "PaddedAtrousConv2D", "PaddedAtrousDepthwiseConv2D"]

_register = keras.saving.register_keras_serializable(package="atrous")

Edges = tuple[tuple[int, int], tuple[int, int]]


@_register
class AtrousSeparableConv2D(keras.layers.SeparableConv2D):
    """`tf_keras.layers.SeparableConv2D` whose `dilation_rate` (the atrous rate) is native, at stride 1.

    Same arguments, weights and results as the parent class.

    Args:
        *args: the parent's.
        edges: rows before and after, columns before and after, of zeros that are added first.
        **kwargs: the parent's.
    """

    def __init__(self, *args: Any, edges: Edges = ((0, 0), (0, 0)), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.edges = _edges(edges)

    def call(self, inputs: Any) -> Any:
        """Convolve each channel with its own dilated kernel, then mix the channels."""
        outputs = atrous_depthwise_conv2d(
            _padded(inputs, self.edges),
            self.depthwise_kernel,
            rate=self.dilation_rate,
            padding=self.padding.upper(),
        )
        outputs = tf.nn.conv2d(outputs, self.pointwise_kernel, 1, "VALID")
        if self.use_bias:
            outputs = tf.nn.bias_add(outputs, self.bias)
        return outputs if self.activation is None else self.activation(outputs)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The parent's, of the padded input."""
        return super().compute_output_shape(_padded_shape(input_shape, self.edges))

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {**super().get_config(), "edges": self.edges}


@_register
class PaddedAtrousConv2D(AtrousConv2D):
    """`AtrousConv2D` over an input padded with zeros by hand.

    What a strided convolution becomes where a parallel branch decides which pixels its window must see, and `same`
    padding would shift it against that branch.

    Args:
        *args: the parent's; `padding` is `valid`.
        edges: rows before and after, columns before and after.
        **kwargs: the parent's.
    """

    def __init__(self, *args: Any, edges: Edges = ((0, 0), (0, 0)), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.edges = _edges(edges)

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        """Convolve the padded `inputs`."""
        return super().convolution_op(_padded(inputs, self.edges), kernel)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The parent's, of the padded input."""
        return super().compute_output_shape(_padded_shape(input_shape, self.edges))

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {**super().get_config(), "edges": self.edges}


@_register
class PaddedAtrousDepthwiseConv2D(AtrousDepthwiseConv2D):
    """`AtrousDepthwiseConv2D` over an input padded with zeros by hand; see `PaddedAtrousConv2D`.

    Args:
        *args: the parent's; `padding` is `valid`.
        edges: rows before and after, columns before and after.
        **kwargs: the parent's.
    """

    def __init__(self, *args: Any, edges: Edges = ((0, 0), (0, 0)), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.edges = _edges(edges)

    def call(self, inputs: Any) -> Any:
        """Convolve each channel of the padded `inputs`."""
        return super().call(_padded(inputs, self.edges))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The parent's, of the padded input."""
        return super().compute_output_shape(_padded_shape(input_shape, self.edges))

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {**super().get_config(), "edges": self.edges}


def _edges(edges: Edges) -> Edges:
    (top, bottom), (left, right) = edges
    return (top, bottom), (left, right)


def _padded(x: Any, edges: Edges) -> Any:
    return tf.pad(x, ((0, 0), *edges, (0, 0))) if any(map(sum, edges)) else x


def _padded_shape(shape: Any, edges: Edges) -> Any:
    batch, height, width, channels = tuple(tf.TensorShape(shape))
    return tf.TensorShape(
        (batch, height and height + sum(edges[0]), width and width + sum(edges[1]), channels)
    )
