"""Layers that the architectures and the encoder plugins share.

Every dilated convolution here reaches TFLite as one native dilated operation and can be trained on CPU. The
stock tf-keras layers do neither: their `dilation_rate` becomes SPACE_TO_BATCH_ND → CONV_2D → BATCH_TO_SPACE_ND.

All tensors are NHWC: (batch, height, width, channels).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from registry.backend import keras, tf
from registry.errors import ModelError
from registry.models.activations import activation as make_activation
from registry.models.native import atrous_conv2d, atrous_depthwise_conv2d, has_grouped_kernels
from registry.models.pooling import AtrousAveragePooling2D, AtrousMaxPooling2D

__all__ = [
    "AlignedUpSampling2D",
    "AtrousAveragePooling2D",
    "AtrousConv2D",
    "AtrousDepthwiseConv2D",
    "AtrousMaxPooling2D",
    "ResizeLike",
    "SpaceToDepth",
    "atrous_conv2d",
    "atrous_depthwise_conv2d",
    "bilinear_upsampling",
    "conv2d",
    "conv_bn_relu",
    "depthwise_conv2d",
    "has_grouped_kernels",
    "separable_conv_bn_relu",
    "squeeze_excite",
]

_register = keras.saving.register_keras_serializable(package="atrous")


@_register
class AtrousConv2D(keras.layers.Conv2D):
    """`tf_keras.layers.Conv2D` whose `dilation_rate` (the atrous rate) is native, and whose groups are.

    Same arguments, weights and results as the parent class, and a gradient on every device, where that of the native
    operation needs oneDNN or a GPU. The parent goes through `tf.nn.convolution`, which
    rearranges the batch into rate² slices (324 at rate 18) before it convolves; and it compiles grouped convolutions
    by XLA, anew for every size of image, also where the device has an operation for them.
    """

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        """Convolve `inputs` with `kernel` in one dilated operation."""
        if max(self.dilation_rate) == 1:
            return super().convolution_op(inputs, kernel)
        return atrous_conv2d(inputs, kernel, rate=self.dilation_rate, padding=self.padding.upper())

    def _jit_compiled_convolution_op(self, inputs: Any, kernel: Any) -> Any:
        """What the parent calls for a grouped convolution."""
        if has_grouped_kernels(inputs.dtype):
            return self.convolution_op(inputs, kernel)
        return super()._jit_compiled_convolution_op(inputs, kernel)


@_register
class AtrousDepthwiseConv2D(keras.layers.DepthwiseConv2D):
    """`tf_keras.layers.DepthwiseConv2D` whose `dilation_rate` (the atrous rate) is native.

    Same arguments, weights and results as the parent class, and the right gradient on CPU, where the native
    operation's own gradient ignores the dilation. Where the device has no native kernel for the dtype (oneDNN is
    off, float16 on most CPUs), it computes as the parent class does.
    """

    def call(self, inputs: Any) -> Any:
        """Convolve each channel with its own dilated kernel."""
        if max(self.dilation_rate) == 1:
            return super().call(inputs)
        outputs = atrous_depthwise_conv2d(
            inputs, self.depthwise_kernel, rate=self.dilation_rate, padding=self.padding.upper()
        )
        if self.use_bias:
            outputs = tf.nn.bias_add(outputs, self.bias)
        return outputs if self.activation is None else self.activation(outputs)


@_register
class AlignedUpSampling2D(keras.layers.UpSampling2D):
    """Bilinear `tf_keras.layers.UpSampling2D` whose corner pixels lie on those of its input (`align_corners`).

    Output row r reads input row r · (height - 1) / (height · factor - 1). TensorFlow 1's DeepLab and
    segmentation_models.pytorch resize so; half-pixel centres, as of the parent class, are the default elsewhere.

    Shapes: (batch, height, width, channels) → (batch, height · rows, width · columns, channels).
    """

    def __init__(
        self, size: int | tuple[int, int] = (2, 2), *, interpolation: str = "bilinear", **kwargs: Any
    ) -> None:
        if interpolation != "bilinear":
            raise ModelError("AlignedUpSampling2D interpolates bilinearly", received=interpolation)
        super().__init__(size, interpolation=interpolation, **kwargs)

    def call(self, inputs: Any) -> Any:
        """Resize; the dtype stays as it is."""
        height, width = inputs.shape[1], inputs.shape[2]
        if height is None or width is None:
            height, width = tf.unstack(tf.shape(inputs)[1:3])
        size = (height * self.size[0], width * self.size[1])
        resized = tf.raw_ops.ResizeBilinear(images=inputs, size=size, align_corners=True)
        return tf.cast(resized, inputs.dtype)


@_register
class ResizeLike(keras.layers.Layer):
    """Bilinear resize of the first tensor to the height and width of the second (half-pixel centres).

    Shapes: [(batch, h, w, channels), (batch, height, width, any)] → (batch, height, width, channels).
    """

    def call(self, inputs: Any) -> Any:
        """Resize `inputs[0]` to the size of `inputs[1]`; the dtype stays as it is."""
        x, reference = inputs
        height, width = reference.shape[1], reference.shape[2]
        size = tf.shape(reference)[1:3] if height is None or width is None else (height, width)
        return tf.cast(tf.image.resize(x, size, method="bilinear"), x.dtype)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Height and width of the second shape, channels of the first."""
        x, reference = (tuple(shape) for shape in input_shape)
        return tf.TensorShape((x[0], reference[1], reference[2], x[3]))


@_register
class SpaceToDepth(keras.layers.Layer):
    """Each `block_size`² square of pixels becomes the channels of one pixel (`tf.nn.space_to_depth`).

    Shapes: (batch, height, width, channels) → (batch, height/b, width/b, channels·b²); b must divide both sides.
    """

    def __init__(self, block_size: int = 2, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.block_size = block_size

    def call(self, inputs: Any) -> Any:
        """Rearrange; the channel of (row r, column c, channel k) of a square is (r·b + c)·channels + k."""
        return tf.nn.space_to_depth(inputs, self.block_size)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Sides divided by the block, channels multiplied by its area."""
        batch, height, width, channels = tuple(input_shape)
        block = self.block_size
        return tf.TensorShape(
            (batch, height and height // block, width and width // block, channels * block**2)
        )

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {**super().get_config(), "block_size": self.block_size}


def conv2d(filters: int, kernel_size: int, *, dilation_rate: int = 1, **kwargs: Any) -> Any:
    """Make a convolution layer: the stock `Conv2D`, or `AtrousConv2D` where the atrous rate asks for it.

    Args:
        filters: number of output channels.
        kernel_size: height and width of the kernel.
        dilation_rate: atrous rate; above 1 the stride must be 1.
        **kwargs: further arguments of `tf_keras.layers.Conv2D`.

    Returns:
        A layer. Stock where possible, since tensorflow-model-optimization matches layers by class.
    """
    if dilation_rate == 1:
        return keras.layers.Conv2D(filters, kernel_size, **kwargs)
    return AtrousConv2D(filters, kernel_size, dilation_rate=dilation_rate, **kwargs)


def depthwise_conv2d(kernel_size: int, *, dilation_rate: int = 1, **kwargs: Any) -> Any:
    """Make a depthwise convolution layer: stock, or `AtrousDepthwiseConv2D` where the atrous rate asks for it.

    Args:
        kernel_size: height and width of the kernel.
        dilation_rate: atrous rate; above 1 the stride must be 1.
        **kwargs: further arguments of `tf_keras.layers.DepthwiseConv2D`.
    """
    if dilation_rate == 1:
        return keras.layers.DepthwiseConv2D(kernel_size, **kwargs)
    return AtrousDepthwiseConv2D(kernel_size, dilation_rate=dilation_rate, **kwargs)


def bilinear_upsampling(
    x: Any, factors: int | tuple[int, int], *, name: str, align_corners: bool = False
) -> Any:
    """Append bilinear upsampling, or nothing where the factors are 1.

    Args:
        x: `KerasTensor` (batch, height, width, channels).
        factors: of rows and columns, one or two integers.
        name: of the layer.
        align_corners: lay corner pixels on corner pixels, instead of half-pixel centres.

    Returns:
        `KerasTensor` (batch, height · rows, width · columns, channels).
    """
    if factors in (1, (1, 1)):
        return x
    if align_corners:
        return AlignedUpSampling2D(factors, name=name)(x)
    return keras.layers.UpSampling2D(factors, interpolation="bilinear", name=name)(x)


def squeeze_excite(
    x: Any,
    reduced: int,
    *,
    activation: str = "relu",
    gate: str = "sigmoid",
    names: Mapping[str, str],
) -> Any:
    """Append squeeze-and-excitation (arXiv:1709.01507): each channel scaled by a gate that sees the whole map.

    Global average pooling → 1×1 to `reduced` channels → activation → 1×1 back → gate → multiplication, all at rank
    4, so that no reshape comes between.

    Args:
        x: `KerasTensor` (batch, height, width, channels).
        reduced: channels between the two convolutions.
        activation: after the first convolution, a key of `registry.models.activations.ACTIVATIONS`.
        gate: after the second one, likewise.
        names: layer names by part: `pool`, `reduce`, `activation`, `expand`, `gate`, `scale`.

    Returns:
        `KerasTensor` of the shape of `x`.
    """
    squeezed = keras.layers.GlobalAveragePooling2D(keepdims=True, name=names["pool"])(x)
    squeezed = keras.layers.Conv2D(reduced, 1, name=names["reduce"])(squeezed)
    squeezed = make_activation(activation, name=names["activation"])(squeezed)
    squeezed = keras.layers.Conv2D(x.shape[-1], 1, name=names["expand"])(squeezed)
    squeezed = make_activation(gate, name=names["gate"])(squeezed)
    return keras.layers.Multiply(name=names["scale"])([x, squeezed])


def conv_bn_relu(
    x: Any,
    filters: int,
    kernel_size: int = 1,
    *,
    dilation_rate: int = 1,
    names: tuple[str, str, str],
    batch_norm: dict[str, float] | None = None,
    activation: str = "relu",
) -> Any:
    """Append convolution without bias → batch normalization → ReLU, or another activation; size kept.

    Args:
        x: `KerasTensor` (batch, height, width, channels).
        filters: number of output channels.
        kernel_size: height and width of the kernel.
        dilation_rate: atrous rate.
        names: layer names of convolution, normalization and activation.
        batch_norm: `momentum` and `epsilon`, tf-keras's defaults where absent.
        activation: a key of `registry.models.activations.ACTIVATIONS`.

    Returns:
        `KerasTensor` (batch, height, width, filters).
    """
    conv_name, norm_name, activation_name = names
    x = conv2d(
        filters, kernel_size, dilation_rate=dilation_rate, padding="same", use_bias=False, name=conv_name
    )(x)
    x = keras.layers.BatchNormalization(name=norm_name, **(batch_norm or {}))(x)
    return make_activation(activation, name=activation_name)(x)


def separable_conv_bn_relu(
    x: Any,
    filters: int,
    kernel_size: int = 3,
    *,
    dilation_rate: int = 1,
    names: tuple[str, str, str],
    batch_norm: dict[str, float] | None = None,
    activation: str = "relu",
    depthwise_norm: bool = True,
) -> Any:
    """Append an atrous separable convolution: depthwise → BN → ReLU → pointwise → BN → ReLU (arXiv:1802.02611).

    Arguments and result are those of `conv_bn_relu`; the depthwise layers are named after `names` with
    `_depthwise` appended. Without `depthwise_norm`, the pointwise half follows the depthwise one directly.
    """
    depthwise_names = tuple(f"{name}_depthwise" for name in names)
    x = depthwise_conv2d(
        kernel_size, dilation_rate=dilation_rate, padding="same", use_bias=False, name=depthwise_names[0]
    )(x)
    if depthwise_norm:
        x = keras.layers.BatchNormalization(name=depthwise_names[1], **(batch_norm or {}))(x)
        x = make_activation(activation, name=depthwise_names[2])(x)
    return conv_bn_relu(x, filters, 1, names=names, batch_norm=batch_norm, activation=activation)
