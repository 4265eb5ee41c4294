"""The ResNet graph, one flat chain of layers named as in KerasHub so that its weights load by name."""

from __future__ import annotations

from typing import Any

from registry.backend import keras
from registry.errors import ModelError
from registry.models.activations import activation
from registry.models.layers import AtrousAveragePooling2D, conv2d
from registry.models.output_stride import AtrousSchedule, Sampling
from registry_resnet.variants import ResNetArchitecture

__all__ = ["resnet_pyramid"]

layers = keras.layers


def resnet_pyramid(
    inputs: Any,
    architecture: ResNetArchitecture,
    *,
    output_stride: int,
    multi_grid: tuple[int, ...] | None = None,
) -> dict[str, Any]:
    """Append a ResNet to a graph.

    Args:
        inputs: `KerasTensor` (batch, height, width, 3).
        architecture: filters, blocks and block type.
        output_stride: 8, 16 or 32; later strides become atrous rates.
        multi_grid: factor on the rate of each block of the last stack, arXiv:1706.05587 section 3.2.1.

    Returns:
        `KerasTensor` per level: P1 the stem, P2 … the stacks. For v2 these are the sums before the next
        pre-activation, as KerasHub's `pyramid_outputs`.

    Raises:
        ModelError: `multi_grid` does not have one factor per block of the last stack.
    """
    blocks_in_last_stack = architecture.stackwise_num_blocks[-1]
    if multi_grid is not None and len(multi_grid) != blocks_in_last_stack:
        raise ModelError(
            f"`multi_grid` needs one factor per block of the last stack, {blocks_in_last_stack} here",
            received=list(multi_grid),
            repair=f"for instance multi_grid: {[2**index for index in range(blocks_in_last_stack)]}",
        )
    stem = _stem(inputs, architecture)
    pyramid = {"P1": stem}
    x = _stem_pooling(stem, architecture)
    schedule = AtrousSchedule(output_stride, early=architecture.early_rate)
    schedule.next(4)  # stem and pooling
    last = len(architecture.stackwise_num_blocks) - 1
    for index in range(last + 1):
        sampling = schedule.next(1 if index == 0 else 2)
        grid = multi_grid if index == last and multi_grid is not None else None
        x = _stack(x, architecture, index, sampling, grid)
        pyramid[f"P{index + 2}"] = x
    return pyramid


def _batch_norm(x: Any, architecture: ResNetArchitecture, name: str) -> Any:
    return layers.BatchNormalization(
        epsilon=architecture.norm_epsilon, momentum=architecture.norm_momentum, name=name
    )(x)


def _bn_activation(x: Any, architecture: ResNetArchitecture, prefix: str) -> Any:
    x = _batch_norm(x, architecture, f"{prefix}_bn")
    return activation(architecture.activation, name=f"{prefix}_relu")(x)


def _stem(inputs: Any, architecture: ResNetArchitecture) -> Any:
    """Convolve to stride 2: one 7×7, or three 3×3 for vd. v2 leaves the last without activation."""
    filters, kernels = architecture.input_conv_filters, architecture.input_conv_kernel_sizes
    x = _convolution(inputs, architecture, filters[0], kernels[0], 2, 1, "conv1")
    for index in range(1, len(filters)):
        x = _bn_activation(x, architecture, f"conv{index}")
        x = layers.Conv2D(
            filters[index], kernels[index], padding="same", use_bias=False, name=f"conv{index + 1}_conv"
        )(x)
    if architecture.use_pre_activation:
        return x
    return _bn_activation(x, architecture, f"conv{len(filters)}")


def _stem_pooling(x: Any, architecture: ResNetArchitecture) -> Any:
    """3×3 max pooling at stride 2 over one pixel of padding.

    After a ReLU zeros are neutral padding. Other stems have negative values, so there the pooling runs at stride 1,
    whose own `same` padding never wins a maximum, and is subsampled.
    """
    if architecture.padding == "same":
        return layers.MaxPooling2D(3, strides=2, padding="same", name="pool1_pool")(x)
    if architecture.use_pre_activation or architecture.activation != "relu":
        x = layers.MaxPooling2D(3, strides=1, padding="same", name="pool1_pool")(x)
        return layers.MaxPooling2D(1, strides=2, name="pool1_subsample")(x)
    x = layers.ZeroPadding2D(1, name="pool1_pad")(x)
    return layers.MaxPooling2D(3, strides=2, name="pool1_pool")(x)


def _stack(
    x: Any,
    architecture: ResNetArchitecture,
    index: int,
    sampling: Sampling,
    multi_grid: tuple[int, ...] | None,
) -> Any:
    for block in range(architecture.stackwise_num_blocks[index]):
        first = block == 0
        factor = multi_grid[block] if multi_grid else 1
        rates = (sampling.rate_in if first else sampling.rate_out, sampling.rate_out)
        x = _block(
            x,
            architecture,
            filters=architecture.stackwise_num_filters[index],
            sampling=Sampling(sampling.stride if first else 1, rates[0] * factor, rates[1] * factor),
            shortcut_rate=sampling.rate_in,
            # Only the first stack of plain basic blocks keeps its width and needs no projection.
            project=first and (architecture.block_type != "basic_block" or index > 0),
            # A pooled shortcut pools wherever the undilated network has a stride.
            pool=first and index > 0 and architecture.is_vd,
            name=f"stack{index}_block{block}",
        )
    return x


def _block(
    x: Any,
    architecture: ResNetArchitecture,
    *,
    filters: int,
    sampling: Sampling,
    shortcut_rate: int,
    project: bool,
    pool: bool,
    name: str,
) -> Any:
    pre_activation = architecture.use_pre_activation
    activated = _bn_activation(x, architecture, f"{name}_pre_activation") if pre_activation else x
    out_filters = filters * 4 if architecture.is_bottleneck else filters

    shortcut = x
    if project:
        strides = sampling.stride
        shortcut = activated
        if pool:
            shortcut, strides = _pool_shortcut(shortcut, strides, shortcut_rate, name), 1
        shortcut = layers.Conv2D(out_filters, 1, strides=strides, use_bias=False, name=f"{name}_0_conv")(
            shortcut
        )
        if not pre_activation:
            shortcut = _batch_norm(shortcut, architecture, f"{name}_0_bn")

    # (filters, kernel size, stride, atrous rate) of each convolution of the residual branch
    if architecture.is_bottleneck:
        branch = [(filters, 1, 1, 1), (filters, 3, sampling.stride, sampling.rate_in), (out_filters, 1, 1, 1)]
    else:
        branch = [(filters, 3, sampling.stride, sampling.rate_in), (filters, 3, 1, sampling.rate_out)]
    x = activated
    for number, (width, kernel, stride, rate) in enumerate(branch, start=1):
        x = _convolution(x, architecture, width, kernel, stride, rate, f"{name}_{number}")
        if number < len(branch):
            x = _bn_activation(x, architecture, f"{name}_{number}")
        elif not pre_activation:
            x = _batch_norm(x, architecture, f"{name}_{number}_bn")
    if pre_activation:
        return layers.Add(name=f"{name}_out")([shortcut, x])
    return activation(architecture.activation, name=f"{name}_out")(
        layers.Add(name=f"{name}_add")([shortcut, x])
    )


def _convolution(
    x: Any, architecture: ResNetArchitecture, filters: int, kernel: int, stride: int, rate: int, prefix: str
) -> Any:
    """Convolve with explicit symmetric padding where strided: `same` would pad one side only."""
    padding = "same"
    if stride > 1 and architecture.padding == "symmetric":
        x = layers.ZeroPadding2D((kernel - 1) // 2, name=f"{prefix}_pad")(x)
        padding = "valid"
    return conv2d(
        filters,
        kernel,
        strides=stride,
        dilation_rate=rate,
        padding=padding,
        use_bias=False,
        name=f"{prefix}_conv",
    )(x)


def _pool_shortcut(x: Any, stride: int, rate: int, name: str) -> Any:
    if stride > 1:
        return layers.AveragePooling2D(2, strides=stride, padding="same", name=f"{name}_0_pool")(x)
    return AtrousAveragePooling2D(rate, name=f"{name}_0_pool")(x)
