"""Max pooling whose stride became an atrous rate."""

from __future__ import annotations

from typing import Any

from registry.backend import keras, tf

__all__ = ["AtrousSameMaxPooling2D"]


@keras.saving.register_keras_serializable(package="registry_xception")
class AtrousSameMaxPooling2D(keras.layers.Layer):
    """3×3 max pooling at stride 1 with an atrous rate.

    What `MaxPooling2D(3, strides=2, padding="same")` becomes when its stride turns into a rate: subsampled by two
    (at rate 1), the results are equal, borders included. TensorFlow pads an even size only at the end, an odd one at
    both sides, so each axis takes the largest of `x[i]`, `x[i + r]`, `x[i + 2r]` or of `x[i - r]`, `x[i]`, `x[i + r]`,
    as the strided network's size, ⌈size ÷ r⌉, is even or odd. Taps beyond the border do not count. The window of
    `registry.models.layers.AtrousMaxPooling2D` is fixed when the graph is built, so it serves one of the two.

    Shapes: (batch, height, width, channels) → the same.

    Args:
        rate: distance in pixels between the taps of each axis.
    """

    def __init__(self, rate: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rate = rate

    def call(self, inputs: Any) -> Any:
        """Take the maximum over the window; shape and dtype stay as they are."""
        return self._largest(self._largest(inputs, axis=1), axis=2)

    def _largest(self, x: Any, axis: int) -> Any:
        near = tf.maximum(x, _ahead(x, self.rate, axis))
        size = x.shape[axis]
        if size is not None:
            odd = -(-size // self.rate) % 2
            return tf.maximum(near, _behind(x, self.rate, axis) if odd else _ahead(x, 2 * self.rate, axis))
        odd = tf.equal(-(-tf.shape(x)[axis] // self.rate) % 2, 1)
        return tf.maximum(near, tf.where(odd, _behind(x, self.rate, axis), _ahead(x, 2 * self.rate, axis)))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """Shape of the result, equal to the input's."""
        return tf.TensorShape(input_shape)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {**super().get_config(), "rate": self.rate}


# Where the tap would lie beyond the border, both take the pixel itself, which the window holds anyway.


def _ahead(x: Any, distance: int, axis: int) -> Any:
    """`x[i + distance]` along an axis."""
    if axis == 1:
        taps = tf.concat([x[:, distance:], x[:, -distance:]], axis=1)
    else:
        taps = tf.concat([x[:, :, distance:], x[:, :, -distance:]], axis=2)
    return tf.ensure_shape(taps, x.shape)


def _behind(x: Any, distance: int, axis: int) -> Any:
    """`x[i - distance]` along an axis."""
    if axis == 1:
        taps = tf.concat([x[:, :distance], x[:, :-distance]], axis=1)
    else:
        taps = tf.concat([x[:, :, :distance], x[:, :, :-distance]], axis=2)
    return tf.ensure_shape(taps, x.shape)
