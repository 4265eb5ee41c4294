"""Activations as layers, by the names that the papers use.

Each is one layer of one tensor with a class of its own, so that the inference form can fuse it, quantization can
annotate it and TFLite sees the operation that its kernels know.
"""

from __future__ import annotations

from typing import Any

from registry.backend import keras, tf
from registry.errors import ModelError, nearest

__all__ = ["ACTIVATIONS", "GELU", "HardGate", "HardSigmoid", "HardSwish", "Scale", "Swish", "activation"]

_register = keras.saving.register_keras_serializable(package="atrous")


class _Elementwise(keras.layers.Layer):
    """Keeps shape and dtype; supports masks as it has no time axis to mix."""

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Shape of the result, equal to the input's."""
        return tf.TensorShape(input_shape)


@_register
class HardSigmoid(_Elementwise):
    """`relu6(x + 3) / 6`, the gate of MobileNetV3's squeeze-excite (arXiv:1905.02244)."""

    def call(self, inputs: Any) -> Any:
        """Apply to each element."""
        return tf.nn.relu6(inputs + tf.cast(3.0, inputs.dtype)) * tf.cast(1.0 / 6.0, inputs.dtype)


@_register
class HardSwish(_Elementwise):
    """`x · relu6(x + 3) / 6` (arXiv:1905.02244); becomes one HARD_SWISH in TFLite."""

    def call(self, inputs: Any) -> Any:
        """Apply to each element."""
        gate = tf.nn.relu6(inputs + tf.cast(3.0, inputs.dtype))
        return inputs * gate * tf.cast(1.0 / 6.0, inputs.dtype)


@_register
class HardGate(_Elementwise):
    """`relu6(x + 3)`, six times the hard sigmoid; one ADD in TFLite."""

    def call(self, inputs: Any) -> Any:
        """Apply to each element."""
        return tf.nn.relu6(inputs + tf.cast(3.0, inputs.dtype))


@_register
class Scale(_Elementwise):
    """`x · factor`; one MUL in TFLite.

    Args:
        factor: the same for every element.
    """

    def __init__(self, factor: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.factor = factor

    def call(self, inputs: Any) -> Any:
        """Apply to each element."""
        return inputs * tf.cast(self.factor, inputs.dtype)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {**super().get_config(), "factor": self.factor}


@_register
class Swish(_Elementwise):
    """`x · sigmoid(x)`, also called SiLU (arXiv:1710.05941); LOGISTIC and MUL in TFLite."""

    def call(self, inputs: Any) -> Any:
        """Apply to each element."""
        return inputs * tf.sigmoid(inputs)


@_register
class GELU(_Elementwise):
    """`x · Φ(x)` with the exact normal distribution function Φ (arXiv:1606.08415); GELU in TFLite.

    Args:
        approximate: take the tanh approximation instead.
    """

    def __init__(self, approximate: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.approximate = approximate

    def call(self, inputs: Any) -> Any:
        """Apply to each element."""
        return tf.nn.gelu(inputs, approximate=self.approximate)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {**super().get_config(), "approximate": self.approximate}


def _relu6(name: str | None = None) -> Any:
    return keras.layers.ReLU(6.0, name=name)


def _sigmoid(name: str | None = None) -> Any:
    return keras.layers.Activation("sigmoid", name=name)


ACTIVATIONS = {
    "gelu": GELU,
    "hard_sigmoid": HardSigmoid,
    "hard_swish": HardSwish,
    "relu": keras.layers.ReLU,
    "relu6": _relu6,
    "sigmoid": _sigmoid,
    "swish": Swish,
}


def activation(kind: str, *, name: str | None = None) -> Any:
    """Make an activation layer.

    Args:
        kind: a key of `ACTIVATIONS`, for instance `hard_swish`.
        name: of the layer.

    Raises:
        ModelError: there is no activation of that name.
    """
    if kind not in ACTIVATIONS:
        raise ModelError(
            f"an activation is one of {', '.join(ACTIVATIONS)}",
            received=kind,
            repair=nearest(kind, ACTIVATIONS),
        )
    return ACTIVATIONS[kind](name=name)
