"""Models and photographs that quantization can be tried on."""

import numpy as np
import pytest
from small_networks import SMALL_PRESET

_PRESET = SMALL_PRESET | {
    "input": {"normalization": {"scale": [0.0171, 0.0175, 0.0174], "offset": [-2.12, -2.04, -1.80]}}
}


def photographs(count, height=64, width=64):
    """uint8 (count, height, width, 3): gradients, bright boxes and some noise, never quite black or white."""
    rng = np.random.default_rng(11)
    rows, columns = np.mgrid[0:height, 0:width] / max(height, width)
    images = []
    for _ in range(count):
        slopes = rng.uniform(-120, 120, (2, 3))
        image = rng.uniform(80, 170, 3) + rows[..., None] * slopes[0] + columns[..., None] * slopes[1]
        for _ in range(4):
            top, left = rng.integers(0, height - 8), rng.integers(0, width - 8)
            image[top : top + rng.integers(8, 32), left : left + rng.integers(8, 32)] = rng.uniform(
                20, 235, 3
            )
        images.append(np.clip(image + rng.normal(0, 4, image.shape), 3, 250))
    return np.rint(images).astype(np.uint8)


def labels_of(images, classes):
    """A task that a few steps learn: dark, bright, or which colour prevails; or bright against all others."""
    brightness = images.mean(-1)
    if classes == 1:
        return (brightness > 125).astype(np.int64)
    colour = images.argmax(-1)
    return np.where(brightness > 150, 4, np.where(brightness < 90, 3, colour))


def train(model, images):
    """A few steps, then batch normalization's statistics of these images: margins as trained models have them."""
    from registry.backend import keras, tf

    inputs = tf.constant(images, tf.float32)
    inputs = inputs if model.preprocessor is None else model.preprocessor.scaled(inputs)
    labels = tf.constant(labels_of(images, model.num_classes))
    loss = (
        keras.losses.BinaryCrossentropy()
        if model.num_classes == 1
        else keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    optimizer = keras.optimizers.Adam(0.01)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            value = loss(labels, model(inputs, training=True))
        gradients = tape.gradient(value, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))

    for _ in range(60):
        step()
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    model(inputs, training=True)
    return model


@pytest.fixture(scope="session")
def images():
    return photographs(10)


@pytest.fixture(scope="session")
def trained_model(images):
    """A small DeepLabV3+ with ImageNet's normalization trained a little; treat it as read-only."""
    import registry
    from registry.backend import keras

    keras.utils.set_random_seed(4)
    return train(registry.build(_PRESET, weights=None), images)


@pytest.fixture(scope="session")
def binary_model(images):
    """The same with one class, a sigmoid at its end, and pixels that go in as they are."""
    import registry
    from registry.backend import keras

    keras.utils.set_random_seed(5)
    preset = {key: value for key, value in _PRESET.items() if key != "input"}
    preset |= {"num_classes": 1, "activation": "sigmoid"}
    return train(registry.build(preset, weights=None), images)
