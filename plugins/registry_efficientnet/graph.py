"""The EfficientNet graph, one flat chain of layers named as in tf_keras.applications so that its files load by name."""

from __future__ import annotations

from typing import Any

from registry.backend import keras
from registry.models.activations import activation
from registry.models.layers import conv2d, depthwise_conv2d, squeeze_excite
from registry.models.output_stride import AtrousSchedule, Sampling
from registry_efficientnet.architecture import Architecture, Stage

__all__ = ["efficientnet_pyramid"]

layers = keras.layers

_SQUEEZE_EXCITE = {
    "pool": "se_squeeze",
    "reduce": "se_reduce",
    "activation": "se_activation",
    "expand": "se_expand",
    "gate": "se_gate",
    "scale": "se_excite",
}


def efficientnet_pyramid(
    inputs: Any, architecture: Architecture, *, output_stride: int, drop_connect_rate: float = 0.2
) -> dict[str, Any]:
    """Append an EfficientNet to a graph.

    Args:
        inputs: `KerasTensor` (batch, height, width, 3).
        architecture: widths, depths and kinds of its blocks.
        output_stride: 8, 16 or 32; later strides become atrous rates.
        drop_connect_rate: probability with which training drops the residual branch of the last block
            (stochastic depth, arXiv:1603.09382); it falls linearly to 0 at the first.

    Returns:
        `KerasTensor` per level: the last block of each stride, before the 1×1 convolution that widens P5 for
        classification.
    """
    graph = _Graph(architecture)
    schedule = AtrousSchedule(output_stride)
    x = graph.convolution(inputs, architecture.stem_filters, 3, schedule.next(2), "stem_conv")
    x = graph.normalized(x, "stem_bn", "stem_activation")
    pyramid: dict[str, Any] = {}
    index = 0
    for number, stage in enumerate(architecture.stages, start=1):
        sampling = schedule.next(stage.stride)
        if stage.stride > 1:
            pyramid[f"P{len(pyramid) + 1}"] = x
        for repeat in range(stage.repeats):
            residual = (repeat > 0 or stage.stride == 1) and x.shape[-1] == stage.filters
            at = sampling if repeat == 0 else Sampling(1, sampling.rate_out, sampling.rate_out)
            name = f"block{number}{chr(ord('a') + repeat)}_"
            branch = (graph.fused_branch if stage.fused else graph.branch)(x, stage, at, name)
            if residual:
                dropped = drop_connect_rate * index / architecture.drop_connect_blocks
                branch = _drop_connect(branch, dropped, f"{name}drop")
                branch = layers.Add(name=f"{name}add")([branch, x])
            x = branch
            index += 1
    pyramid[f"P{len(pyramid) + 1}"] = x
    return pyramid


def _drop_connect(x: Any, rate: float, name: str) -> Any:
    """Drop whole images of the batch in training; nothing at inference."""
    if rate == 0:
        return x
    return layers.Dropout(rate, noise_shape=(None, 1, 1, 1), name=name)(x)


class _Graph:
    """Appends layers with the constants of one architecture."""

    def __init__(self, architecture: Architecture) -> None:
        self.architecture = architecture

    def normalized(self, x: Any, norm_name: str, activation_name: str | None = None) -> Any:
        """Batch normalization, and the activation if it has a name."""
        x = layers.BatchNormalization(
            momentum=self.architecture.momentum, epsilon=self.architecture.epsilon, name=norm_name
        )(x)
        if activation_name is None:
            return x
        return activation(self.architecture.activation, name=activation_name)(x)

    def convolution(self, x: Any, filters: int, kernel_size: int, sampling: Sampling, name: str) -> Any:
        x, placement = self._placed(x, kernel_size, sampling, name)
        return conv2d(
            filters, kernel_size, use_bias=False, kernel_initializer=_initializer(), name=name, **placement
        )(x)

    def depthwise(self, x: Any, kernel_size: int, sampling: Sampling, name: str) -> Any:
        x, placement = self._placed(x, kernel_size, sampling, name)
        return depthwise_conv2d(
            kernel_size, use_bias=False, depthwise_initializer=_initializer(), name=name, **placement
        )(x)

    def _placed(self, x: Any, kernel_size: int, sampling: Sampling, name: str) -> tuple[Any, dict[str, Any]]:
        """Stride, rate and padding. `same` pads one side more where strided, so symmetric padding is explicit."""
        padding = "same"
        if self.architecture.symmetric_padding and sampling.stride > 1:
            x = layers.ZeroPadding2D(kernel_size // 2, name=f"{name}_pad")(x)
            padding = "valid"
        return x, {"strides": sampling.stride, "dilation_rate": sampling.rate_in, "padding": padding}

    def branch(self, x: Any, stage: Stage, sampling: Sampling, name: str) -> Any:
        """MBConv: 1×1 expansion → depthwise → squeeze-excite → 1×1 projection (arXiv:1801.04381)."""
        entering = x.shape[-1]
        if stage.expansion > 1:
            x = self.convolution(x, entering * stage.expansion, 1, Sampling(), f"{name}expand_conv")
            x = self.normalized(x, f"{name}expand_bn", f"{name}expand_activation")
        x = self.depthwise(x, stage.kernel_size, sampling, f"{name}{self.architecture.depthwise}")
        x = self.normalized(x, f"{name}bn", f"{name}activation")
        if stage.squeeze_excite:
            x = squeeze_excite(
                x,
                max(1, entering // 4),
                activation=self.architecture.activation,
                names={part: name + ending for part, ending in _SQUEEZE_EXCITE.items()},
            )
        x = self.convolution(x, stage.filters, 1, Sampling(), f"{name}project_conv")
        return self.normalized(x, f"{name}project_bn")

    def fused_branch(self, x: Any, stage: Stage, sampling: Sampling, name: str) -> Any:
        """Fused-MBConv: full convolution → 1×1 projection, or the convolution alone where nothing is expanded."""
        if stage.expansion == 1:
            x = self.convolution(x, stage.filters, stage.kernel_size, sampling, f"{name}project_conv")
            return self.normalized(x, f"{name}project_bn", f"{name}project_activation")
        expanded = x.shape[-1] * stage.expansion
        x = self.convolution(x, expanded, stage.kernel_size, sampling, f"{name}expand_conv")
        x = self.normalized(x, f"{name}expand_bn", f"{name}expand_activation")
        x = self.convolution(x, stage.filters, 1, Sampling(), f"{name}project_conv")
        return self.normalized(x, f"{name}project_bn")


def _initializer() -> Any:
    return keras.initializers.VarianceScaling(scale=2.0, mode="fan_out", distribution="truncated_normal")
