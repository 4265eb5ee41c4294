"""What rounds tensors in training as kernels round them in a file, on tensorflow-model-optimization's `Quantizer`.

Rounding is TensorFlow's fake quantization, which lets gradients through where a value lies within the range
(straight-through estimator, arXiv:1712.05877).
"""

from __future__ import annotations

import math
from typing import Any

from tensorflow_model_optimization.quantization.keras.quantizers import Quantizer

from registry.backend import tf

__all__ = ["FixedRange", "KernelRounding", "RangeObserver", "whole_range"]

_SMALLEST = 1e-6
"""Least width of a range."""
_OF_ZEROS = 1.0
"""Width of the range of a tensor that is always zero: kernels refuse to multiply by what the least width would take."""


def whole_range(low: Any, high: Any, bits: int) -> tuple[Any, Any]:
    """The range that a kernel can have: it holds zero, and with 16 bits zero is its middle.

    Args:
        low: smallest value.
        high: largest value.
        bits: 8 or 16.
    """
    low = tf.minimum(low, 0.0)
    high = tf.where(tf.maximum(-low, high) < _SMALLEST, _OF_ZEROS, tf.maximum(high, _SMALLEST))
    if bits == 16:
        high = tf.maximum(-low, high)
        low = -high
    return low, high


class RangeObserver(Quantizer):
    """Rounds activations to a range per tensor, which it keeps up with in training.

    The range starts where calibration set it, and follows each batch's extremes by an exponential average, until it
    is frozen.

    Args:
        bits: 8 or 16.
        momentum: weight of the past, 0 … 1.
        shared: variables of the range of several tensors; empty until the first observer of them makes it.
        frozen: whether it only rounds.
    """

    def __init__(
        self,
        bits: int = 8,
        momentum: float = 0.99,
        shared: dict[str, Any] | None = None,
        *,
        frozen: bool = False,
    ) -> None:
        self.bits, self.momentum = bits, momentum
        self.frozen = frozen
        self._shared = {} if shared is None else shared

    def build(self, tensor_shape: Any, name: str, layer: Any) -> dict[str, Any]:
        """Make the variables of the range, in the layer that gives the tensor."""
        if not self._shared:
            self._shared.update(self._made(name, layer))
        return self._shared

    def _made(self, name: str, layer: Any) -> dict[str, Any]:
        return {
            part: layer.add_weight(
                f"{name}_{part}",
                shape=(),
                initializer="zeros",
                trainable=False,
                # Replicas see parts of a batch; the mean of what they saw is everyone's.
                aggregation=tf.VariableAggregation.MEAN,
            )
            for part in ("min", "max")
        }

    def __call__(self, inputs: Any, training: Any, weights: dict[str, Any], **kwargs: Any) -> Any:
        """Observe where training, then round."""
        low, high = weights["min"], weights["max"]
        if training and not self.frozen:
            seen = tf.cast(tf.stop_gradient(inputs), tf.float32)
            for variable, extreme in ((low, tf.reduce_min(seen)), (high, tf.reduce_max(seen))):
                variable.assign(self.momentum * variable + (1.0 - self.momentum) * extreme)
        low, high = whole_range(low, high, self.bits)
        return tf.quantization.fake_quant_with_min_max_vars(inputs, low, high, num_bits=self.bits)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {"bits": self.bits, "momentum": self.momentum}


class FixedRange(Quantizer):
    """Rounds to a range that is known beforehand: of a sigmoid, a softmax, or of the pixels.

    Args:
        low: smallest value.
        high: largest value.
        bits: 8 or 16.
    """

    def __init__(self, low: float, high: float, bits: int = 8) -> None:
        self.low, self.high, self.bits = low, high, bits

    def build(self, tensor_shape: Any, name: str, layer: Any) -> dict[str, Any]:
        """There is nothing to remember."""
        return {}

    def __call__(self, inputs: Any, training: Any, weights: dict[str, Any], **kwargs: Any) -> Any:
        """Round."""
        low, high = whole_range(self.low, self.high, self.bits)
        return tf.quantization.fake_quant_with_min_max_vars(inputs, low, high, num_bits=self.bits)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {"low": self.low, "high": self.high, "bits": self.bits}


class KernelRounding(Quantizer):
    """Rounds a kernel symmetrically, with a scale for each output channel, as TFLite stores it.

    tensorflow-model-optimization's own quantizer takes the last axis, which of a depthwise kernel (rows, columns,
    channels, multiplier) is the multiplier: one scale for all channels.

    Args:
        axes: of the output channels: (3,) of a convolution, (2, 3) of a depthwise one, (2,) of a transposed one;
            none for one scale of the whole kernel.
        bits: of the weights.
    """

    def __init__(self, axes: tuple[int, ...], bits: int = 8) -> None:
        self.axes, self.bits = tuple(axes), bits

    def build(self, tensor_shape: Any, name: str, layer: Any) -> dict[str, Any]:
        """The scales follow from the kernel."""
        return {}

    def __call__(self, inputs: Any, training: Any, weights: dict[str, Any], **kwargs: Any) -> Any:
        """Round."""
        others = [axis for axis in range(inputs.shape.rank) if axis not in self.axes]
        order = [*others, *self.axes]
        moved = tf.transpose(inputs, order)
        flat = tf.reshape(moved, (-1, math.prod(inputs.shape[axis] for axis in self.axes)))
        reach = tf.maximum(tf.reduce_max(tf.abs(tf.stop_gradient(flat)), 0), _SMALLEST)
        rounded = tf.quantization.fake_quant_with_min_max_vars_per_channel(
            flat, -reach, reach, num_bits=self.bits, narrow_range=True
        )
        back = [order.index(axis) for axis in range(len(order))]
        return tf.transpose(tf.reshape(rounded, tf.shape(moved)), back)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {"axes": self.axes, "bits": self.bits}
