"""The layers of a CSPNet that tf-keras does not have, or not for training on CPU."""

from __future__ import annotations

from typing import Any

from registry.backend import keras, tf
from registry.models.layers import AtrousConv2D, has_grouped_kernels

__all__ = ["ChannelSlice", "GroupedConv2D"]

_register = keras.saving.register_keras_serializable(package="atrous")


@_register
class GroupedConv2D(AtrousConv2D):
    """`Conv2D` with `groups`, whose forward and backward passes are native and whose `dilation_rate` is, too.

    Same arguments, weights and results as `tf_keras.layers.Conv2D`. The parent compiles a grouped convolution by XLA,
    whose gradient takes some hundred times as long on CPU. In TFLite it is one CONV_2D.

    Where the device has no gradient of grouped convolutions (a CPU without oneDNN), it computes group by group; there
    TFLite gets a SPLIT, one CONV_2D per group and a CONCATENATION.
    """

    def call(self, inputs: Any) -> Any:
        """Convolve each group of input channels with its own filters."""
        if self.groups == 1 or has_grouped_kernels(inputs.dtype):
            outputs = self.convolution_op(inputs, self.kernel)
        else:
            outputs = self._by_group(inputs)
        if self.use_bias:
            outputs = tf.nn.bias_add(outputs, self.bias)
        return outputs if self.activation is None else self.activation(outputs)

    def _by_group(self, inputs: Any) -> Any:
        pairs = zip(
            tf.split(inputs, self.groups, axis=-1), tf.split(self.kernel, self.groups, axis=-1), strict=True
        )
        return tf.concat(
            [
                tf.nn.convolution(x, kernel, self.strides, self.padding.upper(), dilations=self.dilation_rate)
                for x, kernel in pairs
            ],
            axis=-1,
        )


@_register
class ChannelSlice(keras.layers.Layer):
    """Some neighbouring channels: `x[..., start:stop]`.

    Shapes: (batch, height, width, channels) → (batch, height, width, stop - start).

    Args:
        start: first channel.
        stop: channel after the last.
    """

    def __init__(self, start: int, stop: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.start = start
        self.stop = stop

    def call(self, inputs: Any) -> Any:
        """Take the channels; the dtype stays as it is."""
        return inputs[..., self.start : self.stop]

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The input's with fewer channels."""
        return tf.TensorShape([*tuple(input_shape)[:-1], self.stop - self.start])

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {**super().get_config(), "start": self.start, "stop": self.stop}
