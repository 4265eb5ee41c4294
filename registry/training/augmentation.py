"""Random changes to an image and its mask together, each a function of a seed alone.

All functions take float32 pixels in 0…255, (height, width, 3), and masks (height, width, 1); they are stateless: the
same seed gives the same result, in any order and on any number of threads. Masks are only ever moved by whole pixels
or sampled at their nearest one, so that no class arises that was not there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from registry.backend import tf
from registry.errors import ModelError

__all__ = ["Augmentation", "augment", "fit", "pad_to"]


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


def augment(
    image: Any, mask: Any, seed: Any, settings: Augmentation, crop: tuple[int, int], ignore_label: int
) -> tuple[Any, Any]:
    """Scale, crop, mirror and recolour an image and its mask.

    Args:
        image: float32 (height, width, 3), 0…255.
        mask: integer (height, width, 1).
        seed: int32 (2,).
        settings: what is varied.
        crop: height and width of the result in pixels.
        ignore_label: mask value where there was no image.

    Returns:
        float32 (*crop, 3) in 0…255 and a mask (*crop, 1) of the dtype of `mask`.
    """
    seeds = tf.unstack(tf.random.split(seed, 7))
    image, mask = _scaled(
        image, mask, _uniform(seeds[0], *(tf.math.log(float(edge)) for edge in settings.scale))
    )
    image, mask = _cropped(image, mask, seeds[1], crop, ignore_label)
    if settings.flip:
        mirrored = _uniform(seeds[2], 0.0, 1.0) < 0.5
        image = tf.cond(mirrored, lambda: tf.reverse(image, [1]), lambda: image)
        mask = tf.cond(mirrored, lambda: tf.reverse(mask, [1]), lambda: mask)
    return _recoloured(image, seeds[3:], settings), mask


def fit(image: Any, mask: Any, size: tuple[int, int], ignore_label: int) -> tuple[Any, Any]:
    """Scale to fit into a size, proportions kept, and pad below and to the right: the form of evaluation.

    Args:
        image: float32 (height, width, 3), 0…255.
        mask: integer (height, width, 1).
        size: height and width in pixels.
        ignore_label: mask value where there was no image.

    Returns:
        float32 (*size, 3) and a mask (*size, 1).
    """
    shape = tf.cast(tf.shape(image)[:2], tf.float32)
    factor = tf.reduce_min(tf.constant(size, tf.float32) / shape)
    image, mask = _scaled(image, mask, tf.math.log(factor))
    return pad_to(image, mask, size, ignore_label)


def pad_to(image: Any, mask: Any, size: tuple[int, int], ignore_label: int) -> tuple[Any, Any]:
    """Pad below and to the right to a size, with gray pixels that do not count; what is larger is cut off."""
    image, mask = image[: size[0], : size[1]], mask[: size[0], : size[1]]
    shape = tf.shape(image)
    padding = [[0, size[0] - shape[0]], [0, size[1] - shape[1]], [0, 0]]
    image = tf.pad(image, padding, constant_values=_GRAY)
    mask = tf.pad(mask, padding, constant_values=tf.cast(ignore_label, mask.dtype))
    return tf.ensure_shape(image, (*size, 3)), tf.ensure_shape(mask, (*size, 1))


_GRAY = 127.5
"""The mean of the pixels' range, which DeepLab pads with."""


def _uniform(seed: Any, low: Any, high: Any) -> Any:
    return tf.random.stateless_uniform((), seed, low, high)


def _scaled(image: Any, mask: Any, log_factor: Any) -> tuple[Any, Any]:
    shape = tf.cast(tf.shape(image)[:2], tf.float32)
    size = tf.maximum(tf.cast(tf.round(shape * tf.exp(log_factor)), tf.int32), 1)
    # Antialiased, or a strongly reduced image is mostly noise; at a factor of 1 and above that changes nothing.
    image = tf.clip_by_value(tf.image.resize(image, size, "bilinear", antialias=True), 0.0, 255.0)
    return image, tf.image.resize(mask, size, "nearest")


def _cropped(image: Any, mask: Any, seed: Any, crop: tuple[int, int], ignore_label: int) -> tuple[Any, Any]:
    shape = tf.shape(image)[:2]
    spare = tf.maximum(shape - tf.constant(crop), 0)
    draw = tf.random.stateless_uniform((2,), seed, 0.0, 1.0)
    offset = tf.minimum(tf.cast(draw * tf.cast(spare + 1, tf.float32), tf.int32), spare)
    image, mask = image[offset[0] :, offset[1] :], mask[offset[0] :, offset[1] :]
    return pad_to(image, mask, crop, ignore_label)


def _recoloured(image: Any, seeds: Any, settings: Augmentation) -> Any:
    changed = image
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
    return changed
