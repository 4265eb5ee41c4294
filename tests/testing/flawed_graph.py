"""The network of `registry_flawed`, and the one place in which each variant differs from it."""

from registry.backend import keras, tf
from registry.models.layers import conv2d, squeeze_excite

layers = keras.layers
register = keras.saving.register_keras_serializable(package="flawed")


@register
class Crop(layers.Layer):
    def call(self, inputs):
        return inputs[:, :-1]

    def compute_output_shape(self, input_shape):
        return input_shape


@register
class DivideByItsDifference(layers.Layer):
    def call(self, inputs):
        return inputs / (inputs - inputs)


@register
class StopGradient(layers.Layer):
    def call(self, inputs):
        return tf.stop_gradient(inputs)


@register
class Scale(layers.Layer):
    def __init__(self, factor=1.0, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor

    def call(self, inputs):
        return inputs * self.factor

    def get_config(self):
        return super().get_config()


@register
class ErfInv(layers.Layer):
    def call(self, inputs):
        return tf.math.erfinv(tf.tanh(inputs) * 0.9)


@register
class Sine(layers.Layer):
    def call(self, inputs):
        return tf.sin(inputs)


@register
class TwoConvolutions(layers.Layer):
    """Layers within a layer, which Keras numbers as they are made."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.first, self.second = layers.Conv2D(8, 1), layers.Conv2D(8, 1)

    def call(self, inputs):
        return self.second(self.first(inputs))


class Unregistered(layers.Layer):
    def call(self, inputs):
        return inputs * 2.0


def flawed_pyramid(variant, inputs, output_stride):
    if variant == "raises":
        raise KeyError("stack")
    dilated = output_stride == 4
    named = (lambda name: {}) if variant == "counted_names" else (lambda name: {"name": name})

    def convolve(x, filters, name, *, stride=1, rate=1, kernel=3):
        make = layers.Conv2D if variant == "taken_apart" else conv2d
        pooled = variant == "smaller_than_it_says" and stride > 1
        strides = 1 if pooled else stride
        x = make(
            filters,
            kernel,
            strides=strides,
            dilation_rate=rate,
            padding="same",
            use_bias=False,
            **named(name),
        )(x)
        if pooled:  # `valid`, so a rest of one pixel is lost
            x = layers.MaxPooling2D(stride, name=f"{name}_pool")(x)
        return layers.BatchNormalization(**named(f"{name}_norm"))(x)

    first = layers.ReLU(name="relu1")(convolve(inputs, 8, "stem", stride=2))
    x = layers.ReLU(name="relu2")(convolve(first, 8, "middle", stride=2))
    x = inserted(variant, x)
    second = x
    x = layers.ReLU(name="relu3")(convolve(x, 8, "third", stride=1 if dilated else 2))
    rate = 2 if dilated and variant != "rate_forgotten" else 1
    filters = 16
    kernel = 1 if variant == "other_shapes" and dilated else 3
    x = convolve(x, filters, "decoder_conv" if variant == "head_name" else "last", rate=rate, kernel=kernel)
    if variant == "squeezed":
        x = squeeze_excite(
            x, 4, names={part: part for part in ("pool", "reduce", "activation", "expand", "gate", "scale")}
        )
    if variant == "uneven" and dilated:
        x = layers.ZeroPadding2D(((0, 1), (0, 1)))(x)
    return {"P1": first, "P2": second, "P3": x}


def inserted(variant, x):
    """What some variants have after the second convolution."""
    if variant in ("nested", "nested_and_known"):
        inner = keras.Input(x.shape[1:])
        return keras.Model(inner, layers.ReLU()(inner), name="inner")(x)
    if variant == "operation":
        return x * 2.0
    if variant == "applied_twice":
        twice = layers.Conv2D(8, 1, name="twice")
        return twice(twice(x))
    layer = {
        "code": lambda: layers.Lambda(lambda tensor: tensor * 2.0, name="code"),
        "infers_wrongly": lambda: Crop(name="crop"),
        "not_finite": lambda: DivideByItsDifference(name="division"),
        "no_gradient": lambda: StopGradient(name="stop"),
        "forgets_argument": lambda: Scale(3.0, name="scale3"),
        "flex": lambda: ErfInv(name="erfinv"),
        "float_only": lambda: Sine(name="sine"),
        "counted_variables": lambda: TwoConvolutions(name="two"),
        "unregistered": lambda: Unregistered(name="unregistered"),
    }.get(variant)
    return layer()(x) if layer else x
