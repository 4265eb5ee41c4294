"""The CSPNet graph, one flat chain of layers named as in KerasHub so that its weights load by name."""

from __future__ import annotations

from typing import Any, NamedTuple

from registry.backend import keras
from registry.models.activations import activation as make_activation
from registry.models.layers import AtrousAveragePooling2D, conv2d
from registry.models.output_stride import AtrousSchedule, Sampling
from registry_cspnet.architecture import CSPNetArchitecture, Stage
from registry_cspnet.layers import ChannelSlice, GroupedConv2D

__all__ = ["cspnet_pyramid"]

layers = keras.layers

# KerasHub's names of what is ours already.
_ACTIVATIONS = {"silu": "swish", "hard_silu": "hard_swish"}


class _Convolution(NamedTuple):
    """One convolution of a block: `hidden` filters or the block's own, the kernel, whether an activation follows."""

    hidden: bool
    kernel: int
    activated: bool = True


_BLOCKS = {
    "bottleneck_block": (_Convolution(True, 1), _Convolution(True, 3), _Convolution(False, 1, False)),
    "dark_block": (_Convolution(True, 1), _Convolution(False, 3)),
    "edge_block": (_Convolution(True, 3), _Convolution(False, 1)),
}


def cspnet_pyramid(inputs: Any, architecture: CSPNetArchitecture, *, output_stride: int) -> dict[str, Any]:
    """Append a CSPNet to a graph.

    Args:
        inputs: `KerasTensor` (batch, height, width, 3).
        architecture: stem, stages and blocks.
        output_stride: 8, 16 or 32; later strides become atrous rates.

    Returns:
        `KerasTensor` per level: the last one of each stride of the undilated network.
    """
    builder = _Builder(architecture, AtrousSchedule(output_stride))
    return builder.pyramid(inputs)


class _Builder:
    """Appends the parts of one architecture; knows its activation, its groups and the stride so far."""

    def __init__(self, architecture: CSPNetArchitecture, schedule: AtrousSchedule) -> None:
        self.architecture = architecture
        self.schedule = schedule
        self.undilated_stride = 1

    def pyramid(self, inputs: Any) -> dict[str, Any]:
        """Stem and stages; each result replaces the one before at the same undilated stride."""
        levels: dict[int, Any] = {}
        x = inputs
        strides = self.architecture.stem_convolution_strides
        for index, (filters, stride) in enumerate(zip(self.architecture.stem_filters, strides, strict=True)):
            x = self._stem_convolution(x, index, filters, self._next(stride))
            levels[self.undilated_stride] = x
        if self.architecture.stem_pooling:
            x = _stem_pooling(x, self._next(2))
            levels[self.undilated_stride] = x
        for index, stage in enumerate(self.architecture.stages()):
            x = self._stage(x, stage, self._next(stage.stride), f"stage_{index}")
            levels[self.undilated_stride] = x
        return {f"P{stride.bit_length() - 1}": tensor for stride, tensor in levels.items() if stride > 1}

    def _next(self, stride: int) -> Sampling:
        self.undilated_stride *= stride
        return self.schedule.next(stride)

    def _stem_convolution(self, x: Any, index: int, filters: int, sampling: Sampling) -> Any:
        kernel = self.architecture.stem_kernel_size
        if sampling.stride > 1:
            x = layers.ZeroPadding2D((kernel - 1) // 2, name=f"csp_stem_pad_{index}")(x)
        x = conv2d(
            filters,
            kernel,
            strides=sampling.stride,
            padding="valid" if sampling.stride > 1 else "same",
            dilation_rate=sampling.rate_in,
            use_bias=False,
            name=f"csp_stem_conv_{index}",
        )(x)
        x = _batch_norm(x, f"csp_stem_bn_{index}")
        return self._activation(x, f"csp_stem_activation_{index}")

    def _stage(self, x: Any, stage: Stage, sampling: Sampling, name: str) -> Any:
        kind = self.architecture.stage_type
        prefix = f"{name}_{kind}"
        if stage.stride > 1 or kind == "dark":
            x = self._downsample(x, stage, sampling, prefix)
        if kind == "dark":
            return self._blocks(x, stage, sampling.rate_out, name)

        x = _pointwise(x, stage.expand_filters, f"{prefix}_conv_exp")
        x = _batch_norm(x, f"{prefix}_bn_2")
        if not self.architecture.cross_linear:
            x = self._activation(x, f"{prefix}_activation_2")
        half = stage.expand_filters // 2
        first = ChannelSlice(0, half, name=f"{prefix}_first_half")(x)
        second = ChannelSlice(half, 2 * half, name=f"{prefix}_second_half")(x)
        if kind == "cs3":
            first = self._blocks(first, stage, sampling.rate_out, name)
        else:
            second = self._blocks(second, stage, sampling.rate_out, name)
            second = _pointwise(second, half, f"{prefix}_conv_transition_b")
            second = _batch_norm(second, f"{prefix}_transition_b_bn")
            second = self._activation(second, f"{prefix}_transition_b_activation")
        x = layers.Concatenate(name=f"{prefix}_concat")([first, second])
        x = _pointwise(x, stage.channels, f"{prefix}_conv_transition")
        x = _batch_norm(x, f"{prefix}_transition_bn")
        return self._activation(x, f"{prefix}_transition_activation")

    def _downsample(self, x: Any, stage: Stage, sampling: Sampling, prefix: str) -> Any:
        filters = stage.down_filters or x.shape[-1]
        name = f"{prefix}_conv_down_1"
        if self.architecture.avg_down:
            if sampling.stride > 1:
                x = layers.AveragePooling2D(2, name=f"{prefix}_avg_pool")(x)
            elif stage.stride > 1:
                x = AtrousAveragePooling2D(sampling.rate_in, name=f"{prefix}_avg_pool")(x)
            x = self._convolution(x, filters, 1, name=name)
        else:
            padding = "same"
            if sampling.stride > 1:
                x = layers.ZeroPadding2D(1, name=f"{prefix}_conv_pad_1")(x)
                padding = "valid"
            x = self._convolution(
                x,
                filters,
                3,
                strides=sampling.stride,
                padding=padding,
                dilation_rate=sampling.rate_in,
                name=name,
            )
        return self._activation(_batch_norm(x, f"{prefix}_bn_1"), f"{prefix}_activation_1")

    def _blocks(self, x: Any, stage: Stage, rate: int, name: str) -> Any:
        for index in range(stage.depth):
            x = self._block(x, stage, rate, f"{name}_block_{index}_{self.architecture.block_type}")
        return x

    def _block(self, x: Any, stage: Stage, rate: int, name: str) -> Any:
        """Convolutions around a shortcut; only the bottleneck has its last activation after the sum."""
        shortcut = x
        convolutions = _BLOCKS[self.architecture.block_type]
        for number, convolution in enumerate(convolutions, start=1):
            filters = stage.hidden_filters if convolution.hidden else stage.block_filters
            conv_name = f"{name}_conv_{number}"
            if convolution.kernel == 1:
                x = _pointwise(x, filters, conv_name)
            else:
                x = self._convolution(
                    x, filters, convolution.kernel, padding="same", dilation_rate=rate, name=conv_name
                )
            x = _batch_norm(x, f"{name}_bn_{number}")
            if convolution.activated:
                x = self._activation(x, f"{name}_activation_{number}")
        x = layers.Add(name=f"{name}_add")([x, shortcut])
        return x if convolutions[-1].activated else self._activation(x, f"{name}_activation_4")

    def _convolution(
        self, x: Any, filters: int, kernel: int, *, dilation_rate: int = 1, **kwargs: Any
    ) -> Any:
        groups = self.architecture.groups
        if groups > 1:
            make: Any = GroupedConv2D(
                filters, kernel, groups=groups, dilation_rate=dilation_rate, use_bias=False, **kwargs
            )
        else:
            make = conv2d(filters, kernel, dilation_rate=dilation_rate, use_bias=False, **kwargs)
        return make(x)

    def _activation(self, x: Any, name: str) -> Any:
        kind = self.architecture.activation
        if kind == "leaky_relu":
            return layers.LeakyReLU(alpha=0.01, name=name)(x)
        return make_activation(_ACTIVATIONS.get(kind, kind), name=name)(x)


def _batch_norm(x: Any, name: str) -> Any:
    return layers.BatchNormalization(epsilon=1e-5, name=name)(x)


def _pointwise(x: Any, filters: int, name: str) -> Any:
    return layers.Conv2D(filters, 1, use_bias=False, name=name)(x)


def _stem_pooling(x: Any, sampling: Sampling) -> Any:
    """3×3 max pooling at stride 2 over one pixel of padding that never wins a maximum.

    A leaky activation has negative values, so zeros would win. Pooling at stride 1 has such padding by itself; its
    result is subsampled.
    """
    x = layers.MaxPooling2D(3, strides=1, padding="same", name="csp_stem_pool")(x)
    return layers.MaxPooling2D(1, strides=sampling.stride, name="csp_stem_pool_subsample")(x)
