"""Random changes to an image and its mask together, each a function of a seed alone.

Where pixels go (scale, crop, mirror) is computed on uint8 pixels by Pillow, as the runtime resizes images before it
runs a model; colours are changed by TensorFlow. Everything is stateless: the same seed gives the same result, in any
order and on any number of threads. Masks are only ever moved by whole pixels or sampled at their nearest one, so that
no class arises that was not there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from registry.backend import tf
from registry.errors import ModelError

__all__ = ["Augmentation", "augment", "fit", "recolour"]

Pixels = NDArray[np.uint8]

_GRAY = 128
"""The middle of the pixels' range, which DeepLab pads with."""


@dataclass(frozen=True)
class Augmentation:
    """What is varied, and how far. The defaults are those of the DeepLab papers (arXiv:1706.05587, section 4).

    Args:
        scale: range of the factor on the image's size, drawn uniformly on a logarithmic scale.
        flip: whether left and right are exchanged half of the time.
        brightness: largest summand, of a range of 255.
        contrast: largest change of the contrast's factor, 0.2 for 0.8…1.2.
        saturation: largest change of the saturation's factor.
        hue: largest rotation of the hue, as a share of the circle, at most 0.5.

    Raises:
        ModelError: a range is empty or out of bounds.
    """

    scale: tuple[float, float] = (0.5, 2.0)
    flip: bool = True
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0

    def __post_init__(self) -> None:
        smallest, largest = self.scale
        if not 0 < smallest <= largest:
            raise ModelError(
                "`scale` is a range of positive factors, smallest first",
                received=self.scale,
                repair="(0.5, 2.0)",
            )
        limits = {"brightness": 255.0, "contrast": 1.0, "saturation": 1.0, "hue": 0.5}
        for name, limit in limits.items():
            if not 0 <= getattr(self, name) <= limit:
                raise ModelError(
                    f"`{name}` must be in 0…{limit:g}",
                    received=getattr(self, name),
                    repair="0 leaves it as it is",
                )

    @property
    def recolours(self) -> bool:
        """Whether colours change at all."""
        return any((self.brightness, self.contrast, self.saturation, self.hue))


def augment(
    image: Pixels,
    mask: NDArray[Any],
    chance: np.random.Generator,
    settings: Augmentation,
    crop: tuple[int, int],
    ignore_label: int,
) -> tuple[Pixels, NDArray[Any]]:
    """Scale, crop and mirror an image and its mask.

    Args:
        image: uint8 (height, width, 3).
        mask: integer (height, width).
        chance: where the draws come from.
        settings: what is varied.
        crop: height and width of the result in pixels.
        ignore_label: mask value where there was no image.

    Returns:
        uint8 (*crop, 3) and a mask (*crop) of the dtype of `mask`.
    """
    smallest, largest = settings.scale
    factor = math.exp(chance.uniform(math.log(smallest), math.log(largest)))
    size = _scaled(mask.shape, factor)
    extent = (min(size[0], crop[0]), min(size[1], crop[1]))
    offset = [int(chance.integers(whole - part + 1)) for whole, part in zip(size, extent, strict=True)]
    mirrored = settings.flip and bool(chance.random() < 0.5)
    part, classes = _window(image, mask, size, (offset[0], offset[1]), extent, mirrored=mirrored)
    return _padded(part, classes, crop, ignore_label)


def fit(
    image: Pixels, mask: NDArray[Any], size: tuple[int, int], ignore_label: int
) -> tuple[Pixels, NDArray[Any]]:
    """Scale to fit into a size, proportions kept, and pad below and to the right: the form of evaluation.

    Args:
        image: uint8 (height, width, 3).
        mask: integer (height, width).
        size: height and width in pixels.
        ignore_label: mask value where there was no image.

    Returns:
        uint8 (*size, 3) and a mask (*size).
    """
    scaled = _scaled(mask.shape, min(size[0] / mask.shape[0], size[1] / mask.shape[1]))
    extent = (min(scaled[0], size[0]), min(scaled[1], size[1]))
    return _padded(*_window(image, mask, scaled, (0, 0), extent), size, ignore_label)


def recolour(image: Any, seed: Any, settings: Augmentation) -> Any:
    """Change brightness, contrast, saturation and hue.

    Args:
        image: uint8 tensor (height, width, 3).
        seed: int32 tensor (2,).
        settings: what is varied.

    Returns:
        A uint8 tensor of the same shape.
    """
    if not settings.recolours:
        return image
    seeds = tf.unstack(tf.random.split(seed, 4))
    changed = tf.cast(image, tf.float32)
    if settings.brightness:
        changed += _uniform(seeds[0], -settings.brightness, settings.brightness)
    if settings.contrast:
        mean = tf.reduce_mean(changed, axis=(0, 1), keepdims=True)
        changed = mean + (changed - mean) * _uniform(seeds[1], 1 - settings.contrast, 1 + settings.contrast)
    changed = tf.clip_by_value(changed, 0.0, 255.0)
    if settings.saturation:
        gray = tf.image.rgb_to_grayscale(changed)
        changed = gray + (changed - gray) * _uniform(
            seeds[2], 1 - settings.saturation, 1 + settings.saturation
        )
        changed = tf.clip_by_value(changed, 0.0, 255.0)
    if settings.hue:
        changed = 255.0 * tf.image.adjust_hue(
            changed / 255.0, _uniform(seeds[3], -settings.hue, settings.hue)
        )
    return tf.saturate_cast(tf.round(changed), tf.uint8)


def _uniform(seed: Any, low: Any, high: Any) -> Any:
    return tf.random.stateless_uniform((), seed, low, high)


def _scaled(shape: tuple[int, ...], factor: float) -> tuple[int, int]:
    return max(1, round(shape[0] * factor)), max(1, round(shape[1] * factor))


def _window(
    image: Pixels,
    mask: NDArray[Any],
    size: tuple[int, int],
    offset: tuple[int, int],
    extent: tuple[int, int],
    *,
    mirrored: bool = False,
) -> tuple[Pixels, NDArray[Any]]:
    """A window of image and mask as they would be if they were resized as a whole.

    Only the window is computed: resampling weights depend on where a pixel lies in the resized image, which `box` tells
    Pillow, and on nothing outside of the kernel's reach.
    """
    (top, left), (height, width) = offset, extent
    picture = Image.fromarray(image)
    if size == mask.shape:
        picture = picture.crop((left, top, left + width, top + height))
    else:
        down, across = mask.shape[0] / size[0], mask.shape[1] / size[1]
        right, bottom = min((left + width) * across, mask.shape[1]), min((top + height) * down, mask.shape[0])
        # Bilinear, widened where it shrinks (antialiased), or a strongly reduced image is mostly noise.
        picture = picture.resize(
            (width, height), Image.Resampling.BILINEAR, box=(left * across, top * down, right, bottom)
        )
    rows = _nearest(mask.shape[0], size[0], top, height)
    columns = _nearest(mask.shape[1], size[1], left, width)
    if mirrored:
        picture, columns = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT), columns[::-1]
    return np.asarray(picture), mask.take(rows, 0).take(columns, 1)


def _nearest(before: int, after: int, start: int, count: int) -> NDArray[np.intp]:
    """Pixels of an axis of `before` that lie nearest to `count` of `after`: floor((i + ½) · before / after)."""
    return (2 * np.arange(start, start + count) + 1) * before // (2 * after)


def _padded(
    image: Pixels, mask: NDArray[Any], size: tuple[int, int], ignore_label: int
) -> tuple[Pixels, NDArray[Any]]:
    """Pad below and to the right to a size, with gray pixels that do not count."""
    height, width = mask.shape
    canvas, classes = np.full((*size, 3), _GRAY, np.uint8), np.full(size, ignore_label, mask.dtype)
    canvas[:height, :width], classes[:height, :width] = image, mask
    return canvas, classes
