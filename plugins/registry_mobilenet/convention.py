"""Convolution and batch normalization as the sources of the weights have them: TensorFlow's way or PyTorch's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from registry.backend import keras
from registry.models.layers import conv2d, depthwise_conv2d

__all__ = ["SLIM", "TENSORFLOW", "TORCH", "Convention"]

layers = keras.layers


@dataclass(frozen=True)
class Convention:
    """How strided layers pad, and the constants of batch normalization.

    Args:
        symmetric: strided layers pad both sides alike, as PyTorch's. Otherwise they pad as TensorFlow's `same`, more
            at the end where the sides of the image are even.
        epsilon: added to the variance.
        momentum: of the moving statistics.
    """

    symmetric: bool
    epsilon: float
    momentum: float

    def convolution(
        self,
        x: Any,
        filters: int,
        kernel: int,
        *,
        stride: int = 1,
        rate: int = 1,
        name: str,
        pad_name: str = "",
    ) -> Any:
        """Append a convolution without bias.

        Args:
            x: `KerasTensor` (batch, height, width, channels).
            filters: number of output channels.
            kernel: height and width of the kernel.
            stride: of the convolution; above 1 the rate is 1.
            rate: atrous rate.
            name: of the layer.
            pad_name: of the padding that a symmetric convention puts before a strided layer.

        Returns:
            `KerasTensor` (batch, height ÷ stride, width ÷ stride, filters).
        """
        x, padding = self._padded(x, kernel, stride, pad_name or f"{name}_pad")
        return conv2d(
            filters,
            kernel,
            strides=stride,
            dilation_rate=rate,
            padding=padding,
            use_bias=False,
            name=name,
        )(x)

    def depthwise(
        self, x: Any, kernel: int, *, stride: int = 1, rate: int = 1, name: str, pad_name: str = ""
    ) -> Any:
        """Append a depthwise convolution without bias; arguments and result as of `convolution`."""
        x, padding = self._padded(x, kernel, stride, pad_name or f"{name}_pad")
        return depthwise_conv2d(
            kernel, strides=stride, dilation_rate=rate, padding=padding, use_bias=False, name=name
        )(x)

    def normalization(self, x: Any, name: str) -> Any:
        """Append batch normalization."""
        return layers.BatchNormalization(epsilon=self.epsilon, momentum=self.momentum, name=name)(x)

    def _padded(self, x: Any, kernel: int, stride: int, name: str) -> tuple[Any, str]:
        if stride == 1 or kernel == 1 or not self.symmetric:
            return x, "same"
        return layers.ZeroPadding2D((kernel - 1) // 2, name=name)(x), "valid"


# V1 keeps Keras's own constants; V2 and V3 have those of the TF-Slim training.
SLIM = Convention(symmetric=False, epsilon=1e-3, momentum=0.99)
TENSORFLOW = Convention(symmetric=False, epsilon=1e-3, momentum=0.999)
TORCH = Convention(symmetric=True, epsilon=1e-5, momentum=0.9)
