"""What a model sees of an image: stretched, padded, or window by window, at one scale."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from registry.errors import ModelError
from registry.evaluation.protocol import EvaluationProtocol
from registry.evaluation.subject import Pixels, Size, Subject
from registry.images import stretched

__all__ = ["PADDING", "View", "scaled_image", "view_at_scale", "window_starts", "windows"]

PADDING = 128
"""Value of pixels beyond the image: the mean of 0…255, which the DeepLab papers pad with, as a whole number."""


@dataclass(frozen=True, eq=False)
class View:
    """Pixels of a size that the model takes.

    Args:
        pixels: uint8 RGB (h, w, 3).
        shown: height and width of the image in them, from the upper left corner; the rest is padding.
    """

    pixels: Pixels
    shown: Size

    def part_of(self, size: tuple[int, ...]) -> tuple[float, float]:
        """The part of scores (h', w') of this view that shows the image; they may be coarser than the pixels."""
        height, width = self.pixels.shape[:2]
        return self.shown[0] * size[0] / height, self.shown[1] * size[1] / width


def view_at_scale(subject: Subject, protocol: EvaluationProtocol, image: Pixels, scale: float) -> View:
    """The one view of the protocols `stretched` and `whole`.

    Args:
        subject: the model.
        protocol: how.
        image: uint8 RGB (H, W, 3).
        scale: factor on the size.

    Raises:
        ModelError: the scaled image does not fit into the model's input.
    """
    if protocol.name == "stretched":
        assert protocol.size is not None
        size = _scaled_input(protocol.size, scale, subject.size_multiple)
        return View(stretched(image, size), size)
    scaled = scaled_image(image, scale)
    size = scaled.shape[0], scaled.shape[1]
    return View(_padded(scaled, _canvas(subject, protocol, size, scale)), size)


def windows(protocol: EvaluationProtocol, scaled: Pixels) -> Iterator[tuple[tuple[slice, slice], View]]:
    """The views of the protocol `sliding`, each with its rows and columns in the scaled image."""
    assert protocol.window is not None
    assert protocol.stride is not None
    down, across = (
        [slice(start, min(start + window, side)) for start in window_starts(side, window, stride)]
        for side, window, stride in zip(scaled.shape[:2], protocol.window, protocol.stride, strict=True)
    )
    for place in ((rows, columns) for rows in down for columns in across):
        seen = scaled[place]
        yield place, View(_padded(seen, protocol.window), (seen.shape[0], seen.shape[1]))


def window_starts(length: int, window: int, stride: int) -> list[int]:
    """Where windows start along an axis: every `stride`, the last one shifted inwards to end with the image."""
    spare = max(0, length - window)
    return [min(number * stride, spare) for number in range(math.ceil(spare / stride) + 1)]


def scaled_image(image: Pixels, scale: float) -> Pixels:
    """The image, each side times `scale`, rounded."""
    height, width = (max(1, round(side * scale)) for side in image.shape[:2])
    return stretched(image, (height, width))


def _scaled_input(size: Size, scale: float, multiple: Size) -> Size:
    """An input size times a scale, rounded to what the model takes."""
    if scale == 1.0:
        return size
    rows, columns = (
        max(1, round(side * scale / step)) * step for side, step in zip(size, multiple, strict=True)
    )
    return rows, columns


def _canvas(subject: Subject, protocol: EvaluationProtocol, size: Size, scale: float) -> Size:
    """Size of the padded image."""
    fixed = subject.input_size
    if fixed is not None:
        if size[0] > fixed[0] or size[1] > fixed[1]:
            raise ModelError(
                "the protocol 'whole' needs images that fit into the model's input",
                received=f"{size[0]}×{size[1]} at scale {scale:g}, input {fixed[0]}×{fixed[1]}",
                repair="protocol='sliding', which goes over larger images window by window",
            )
        return fixed
    height, width = (
        math.ceil(max(side, least) / step) * step
        for side, least, step in zip(size, protocol.size or (1, 1), subject.size_multiple, strict=True)
    )
    return height, width


def _padded(image: Pixels, size: Size) -> Pixels:
    """The image in the upper left corner of a grey canvas."""
    if image.shape[:2] == size:
        return image
    canvas = np.full((*size, 3), PADDING, np.uint8)
    canvas[: image.shape[0], : image.shape[1]] = image
    return canvas
