"""A plugin that imports TensorFlow to be listed."""

from registry.backend import keras
from registry.hookspecs import hookimpl
from registry.pyramid import EncoderSpec


@hookimpl
def registry_encoders():
    return [EncoderSpec(name="heavy", channels={"P1": 8}, output_strides=(2,), min_size=2)]


@hookimpl
def registry_build_encoder(inputs):
    return {"P1": keras.layers.Conv2D(8, 3, strides=2, padding="same", name="heavy_stem")(inputs)}
