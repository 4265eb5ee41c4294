"""From images as a camera gives them to what a model takes in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from registry.backend import keras, tf
from registry.errors import ModelError

__all__ = ["SegmentationPreprocessor"]


@keras.saving.register_keras_serializable(package="atrous")
class SegmentationPreprocessor:
    """Resize images and masks, then scale the images: `pixel * scale + offset`.

    The meaning of each argument is that of KerasHub's `ImageConverter`.

    Args:
        image_size: (height, width) in pixels to resize to; None keeps the size.
        scale: factor on RGB pixels in 0…255, one or one per channel.
        offset: summand, one or one per channel.
        interpolation: of the images; masks are always resized by nearest neighbour.
        crop_to_aspect_ratio: crop the centre to the target's aspect ratio instead of stretching.
    """

    def __init__(
        self,
        image_size: Sequence[int] | None = None,
        scale: float | Sequence[float] = 1.0,
        offset: float | Sequence[float] = 0.0,
        interpolation: Literal["bilinear", "nearest"] = "bilinear",
        crop_to_aspect_ratio: bool = False,
    ) -> None:
        if interpolation not in ("bilinear", "nearest"):
            raise ModelError(
                "`interpolation` must be 'bilinear' or 'nearest'",
                received=interpolation,
                repair="choose one of them",
            )
        if image_size is not None and (
            len(image_size) != 2 or any(not isinstance(side, int) or side < 1 for side in image_size)
        ):
            raise ModelError(
                "`image_size` must be two positive integers, height and width",
                received=image_size,
                repair="for instance image_size=(512, 512)",
            )
        self.image_size = None if image_size is None else (int(image_size[0]), int(image_size[1]))
        self.scale = _per_channel(scale, "scale")
        self.offset = _per_channel(offset, "offset")
        self.interpolation = interpolation
        self.crop_to_aspect_ratio = bool(crop_to_aspect_ratio)

    @property
    def is_identity(self) -> bool:
        """Whether images pass unchanged but for their dtype."""
        return self.image_size is None and not self.scales

    @property
    def scales(self) -> bool:
        """Whether pixel values change."""
        return self.scale != 1.0 or self.offset != 0.0

    def __call__(self, x: Any, y: Any = None, sample_weight: Any = None) -> Any:
        """Preprocess a batch.

        Args:
            x: images (batch, height, width, 3), pixels in 0…255 of any numeric dtype.
            y: class masks (batch, height, width) or (batch, height, width, classes), or None.
            sample_weight: like `y`, or None.

        Returns:
            float32 images; or the tuple of images, masks and weights that were given.
        """
        images = self.scaled(self._resized(tf.cast(x, tf.float32), self.interpolation))
        if y is None:
            return images
        masks = self._resized_mask(y)
        if sample_weight is None:
            return images, masks
        weights = self._resized_mask(sample_weight) if len(sample_weight.shape) > 1 else sample_weight
        return images, masks, weights

    def range_of_pixels(self) -> tuple[float, float]:
        """Smallest and largest value that a pixel in 0…255 becomes, over all channels."""
        scales, offsets = (
            value if isinstance(value, tuple) else (value,) * 3 for value in (self.scale, self.offset)
        )
        ends = [
            pixel * scale + offset
            for scale, offset in zip(scales, offsets, strict=True)
            for pixel in (0.0, 255.0)
        ]
        return min(ends), max(ends)

    def scaled(self, images: Any) -> Any:
        """`images * scale + offset`, float32."""
        return images * tf.constant(self.scale, tf.float32) + tf.constant(self.offset, tf.float32)

    def _resized_mask(self, mask: Any) -> Any:
        if self.image_size is None:
            return mask
        has_channels = len(mask.shape) == 4
        resized = self._resized(mask if has_channels else mask[..., None], "nearest")
        return resized if has_channels else resized[..., 0]

    def _resized(self, x: Any, interpolation: str) -> Any:
        if self.image_size is None:
            return x
        if self.crop_to_aspect_ratio:
            x = self._centre_crop(x)
        return tf.cast(tf.image.resize(x, self.image_size, method=interpolation), x.dtype)

    def _centre_crop(self, x: Any) -> Any:
        """Cut to the largest centred box of the target's aspect ratio."""
        target_height, target_width = self.image_size or (1, 1)
        height, width = tf.shape(x)[1], tf.shape(x)[2]
        crop_height = tf.minimum(height, width * target_height // target_width)
        crop_width = tf.minimum(width, height * target_width // target_height)
        top, left = (height - crop_height) // 2, (width - crop_width) // 2
        return x[:, top : top + crop_height, left : left + crop_width]

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments, JSON-ready."""
        return {
            "image_size": self.image_size,
            "scale": self.scale,
            "offset": self.offset,
            "interpolation": self.interpolation,
            "crop_to_aspect_ratio": self.crop_to_aspect_ratio,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> SegmentationPreprocessor:
        """Rebuild from `get_config`."""
        return cls(**config)


def _per_channel(value: float | Sequence[float], name: str) -> float | tuple[float, ...]:
    if isinstance(value, (int, float)):
        return float(value)
    values = tuple(float(item) for item in value)
    if len(values) != 3:
        raise ModelError(
            f"`{name}` must be one number or three, one per RGB channel",
            received=value,
            repair="give one or three",
        )
    return values
