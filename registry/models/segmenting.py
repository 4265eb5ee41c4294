"""One image of any size through a Keras segmenter, by the protocol of `registry.Segmenter`.

Model and exported file then agree: both see the same pixels, and one code resizes and compares their scores.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from registry.backend import keras, tf
from registry.errors import ModelError
from registry.images import ImageSource, load_image, stretched
from registry.runtime.resample import mask_at_size

__all__ = ["compiled_logits", "segment_image"]


def segment_image(
    model: Any, logits: Callable[[Any], Any], image: ImageSource, size: int | tuple[int, int] | None
) -> NDArray[Any]:
    """The class mask of an image, at the image's own size.

    Args:
        model: an `ImageSegmenter`.
        logits: its `compiled_logits`.
        image: whatever `load_image` takes.
        size: as in `ImageSegmenter.segment`.

    Raises:
        Errors of `ImageSegmenter.segment`.
    """
    extent = _input_size(model, size)
    pixels = load_image(image)
    batch = tf.constant(stretched(pixels, extent)[np.newaxis])
    inputs = tf.cast(batch, tf.float32) if model.preprocessor is None else model.preprocessor(batch)
    scores = tf.cast(logits(inputs)[0], tf.float32).numpy()
    if not np.isfinite(scores).all():
        raise ModelError(
            "the scores of a model must be finite",
            received=f"{model.name}: {scores.size - int(np.isfinite(scores).sum())} of {scores.size} are not",
            repair="check its weights",
        )
    return mask_at_size(scores, (pixels.shape[0], pixels.shape[1]), 0.0)


def compiled_logits(model: Any, activation_layer: str) -> Callable[[Any], Any]:
    """A model up to its logits, as one compiled function.

    An exported file gives logits, and those are what is resized: probabilities, resized, cross elsewhere.

    Args:
        model: an `ImageSegmenter`.
        activation_layer: name of the layer after the logits, which the model need not have.
    """
    squashing = next((layer for layer in model.layers if layer.name == activation_layer), None)
    if squashing is None:
        return model._inference()
    bare = keras.Model(model.inputs, squashing.input)
    return tf.function(lambda images: bare(images, training=False), reduce_retracing=True)


def _input_size(model: Any, size: int | tuple[int, int] | None) -> tuple[int, int]:
    """Height and width that the image is stretched to."""
    fixed = tuple(model.input_shape[1:3])
    stated = None if model.preset_config is None else model.preset_config.input.size
    if size is not None:
        wanted = tuple(size) if isinstance(size, Sequence) else (size, size)
    elif stated is not None:
        wanted = tuple(own or other for own, other in zip(fixed, stated, strict=True))
    else:
        wanted = fixed
    if len(wanted) != 2 or any(type(side) is not int or side < 1 for side in wanted):
        raise ModelError(
            "`size` must say the input height and width in pixels where neither the model nor its preset does",
            received=size,
            repair="size=(512, 512), or one number for both",
        )
    if any(own not in (None, side) for own, side in zip(fixed, wanted, strict=True)):
        raise ModelError(
            f"the model is built for {fixed[0]}×{fixed[1]} pixels",
            received=wanted,
            repair="leave `size` out, or build the model with image_shape=(None, None, 3)",
        )
    model.check_input_shape((1, *wanted, 3))
    return wanted[0], wanted[1]
