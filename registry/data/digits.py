"""Handwritten digits in photographs: a segmentation task that needs no download.

Real digits (scikit-learn's copy of the UCI "optdigits" set, 8×8 pixels) are enlarged, warped, coloured and laid over
crops of the photographs that scikit-learn and scikit-image ship, between clutter and behind occluders. To find and name
them is a task of 11 classes: the background and the digits 0 … 9. Digits and photographs of the splits are disjoint.

Each example follows from the seed, the split and its number alone: the same everywhere, in any order.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from registry.data.dataset import IGNORE_LABEL, Example
from registry.data.layouts import require_split
from registry.errors import DataError, EnvironmentUnsupportedError

__all__ = ["LABELS", "DigitsInPhotographs"]

LABELS = ("background", "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")

# Photographs without printed digits. scikit-learn's are named after their files, the others after scikit-image's.
_PHOTOGRAPHS = {
    "train": (
        "china.jpg",
        "flower.jpg",
        "astronaut",
        "brick",
        "coffee",
        "grass",
        "hubble_deep_field",
        "immunohistochemistry",
        "coins",
        "moon",
    ),
    "val": ("gravel", "retina", "motorcycle"),
    "test": ("camera", "cat", "rocket"),
}
# The set lists its writers one after the other, so that ranges keep most of them apart.
_DIGITS = {"train": (0, 1100), "val": (1100, 1350), "test": (1350, 1797)}

_ENLARGED = 64
"""Side of a digit before it is warped, in pixels; the set's own is 8."""
_INK = 7.0
"""Intensity, of 16, from which a pixel counts as ink."""

_CONTRAST = 80.0
"""Smallest difference of luminance, of 255, between ink and the mean of what it covers."""
_OVERLAP = 0.05
"""Largest share of a digit that may lie on others."""
_VISIBLE = 0.6
"""Share of a digit that must be in sight; what is left of a digit with less is labelled to be ignored."""
_SHADOW = 5
"""A shadow is shifted by fewer pixels than that."""
_ATTEMPTS = 10

Pixels = NDArray[np.uint8]


class DigitsInPhotographs(Sequence[Example]):
    """Generated examples: images with a few digits, and their masks.

    Pixels of digits that are mostly hidden have the ignore label, since nobody could name those.

    Args:
        split: `train`, `val` or `test`.
        count: number of examples.
        size: height and width in pixels.
        seed: of the generator; other seeds give other images of the same split.
        digit_size: smallest and largest side of a digit before it is warped, as shares of the image's shorter side.
        most_digits: largest number of digits in an image.

    Raises:
        DataError: an argument is wrong.
        EnvironmentUnsupportedError: scikit-learn or scikit-image is not installed.
    """

    num_classes = len(LABELS)
    ignore_label = IGNORE_LABEL
    labels = LABELS

    def __init__(
        self,
        split: str,
        count: int,
        *,
        size: tuple[int, int] = (224, 224),
        seed: int = 0,
        digit_size: tuple[float, float] = (0.28, 0.6),
        most_digits: int = 3,
    ) -> None:
        require_split(split, _DIGITS)
        if count < 1 or min(size) < 64:
            raise DataError(
                "generated data has at least one image, of at least 64×64 pixels",
                received=f"{count} images of {size[1]}×{size[0]}",
            )
        if not 0 < digit_size[0] <= digit_size[1] <= 1 or most_digits < 1:
            raise DataError(
                "generated images hold a digit or more, whose size is a share of the image: 0 < smallest ≤ largest ≤ 1",
                received=f"digit_size={tuple(digit_size)}, most_digits={most_digits}",
            )
        self.name = f"digits in photographs, {split}"
        self.digit_size, self.most_digits = digit_size, most_digits
        self.split, self._count, self.size, self.seed = split, count, size, seed
        self._photographs = [_photograph(name) for name in _PHOTOGRAPHS[split]]
        self._digits, self._targets = _digits(split)

    def __len__(self) -> int:
        """Number of examples."""
        return self._count

    @overload
    def __getitem__(self, index: int) -> Example: ...

    @overload
    def __getitem__(self, index: slice) -> list[Example]: ...

    def __getitem__(self, index: int | slice) -> Example | list[Example]:
        """Draw one example, or those of a slice."""
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(self._count))]
        if not -self._count <= index < self._count:
            raise IndexError(index)
        return self._draw(index % self._count)

    def __iter__(self) -> Iterator[Example]:
        """Draw one after the other."""
        return (self[index] for index in range(self._count))

    def _draw(self, index: int) -> Example:
        chance = np.random.default_rng((self.seed, list(_DIGITS).index(self.split), index))
        canvas = _background(self._photographs, self.size, chance)
        if self.split == "train":
            canvas = _varied(canvas, chance)
        mask = np.zeros(self.size, np.uint8)
        for _ in range(chance.integers(0, 3)):
            canvas = _scribble(canvas, chance)
        inks = []
        for _ in range(chance.integers(1, self.most_digits + 1)):
            number = int(chance.integers(len(self._digits)))
            alpha = _placed_beside(mask, self._digits[number], self.digit_size, chance)
            if alpha is not None:
                canvas = _inked(canvas, alpha, chance)
                inks.append(alpha > 0.5)
                mask[inks[-1]] = 1 + int(self._targets[number])
        for _ in range(chance.integers(0, 2)):
            canvas = _occluded(canvas, mask, chance)
        for ink in inks:
            if np.count_nonzero(mask[ink]) < _VISIBLE * np.count_nonzero(ink):
                mask[ink & (mask > 0)] = IGNORE_LABEL
        return Example(f"{self.split}-{self.seed}-{index:06}", _photographed(canvas, chance), mask)


def _missing(package: str, error: ImportError) -> EnvironmentUnsupportedError:
    return EnvironmentUnsupportedError(
        f"the digits task is made of what {package} ships",
        received=str(error),
        repair="pip install 'atrous[digits]'",
    )


@functools.cache
def _digits(split: str) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Enlarged digits (N, side, side), intensity 0…16, and the numbers they show."""
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise _missing("scikit-learn", error) from error
    content = load_digits()
    start, stop = _DIGITS[split]
    side = (_ENLARGED, _ENLARGED)
    enlarged = [
        # A border of empty pixels keeps strokes at the edge from being cut off straight.
        np.asarray(
            Image.fromarray(np.pad(image, 1).astype(np.float32)).resize(side, Image.Resampling.BICUBIC)
        )
        for image in content.images[start:stop]
    ]
    return np.stack(enlarged), content.target[start:stop]


@functools.cache
def _photograph(name: str) -> Image.Image:
    pixels: Any
    if name.endswith(".jpg"):
        try:
            from sklearn.datasets import load_sample_image
        except ImportError as error:
            raise _missing("scikit-learn", error) from error
        pixels = load_sample_image(name)
    else:
        try:
            from skimage import data
        except ImportError as error:
            raise _missing("scikit-image", error) from error
        pixels = data.stereo_motorcycle()[0] if name == "motorcycle" else getattr(data, name)()
    return Image.fromarray(np.asarray(pixels)).convert("RGB")


def _background(
    photographs: Sequence[Image.Image], size: tuple[int, int], chance: np.random.Generator
) -> Image.Image:
    photograph = photographs[int(chance.integers(len(photographs)))]
    height, width = size
    largest = min(photograph.width / width, photograph.height / height)
    zoom = largest * chance.uniform(0.35, 1.0)
    left = chance.uniform(0, photograph.width - zoom * width)
    top = chance.uniform(0, photograph.height - zoom * height)
    box = (left, top, left + zoom * width, top + zoom * height)
    crop = photograph.resize((width, height), Image.Resampling.BILINEAR, box=box, reducing_gap=1.5)
    return crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if chance.random() < 0.5 else crop


def _varied(canvas: Image.Image, chance: np.random.Generator) -> Image.Image:
    """Make more of few photographs: upside down, and with other colours."""
    if chance.random() < 0.5:
        canvas = canvas.transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    if chance.random() < 0.5:
        bands = canvas.split()
        canvas = Image.merge("RGB", [bands[index] for index in chance.permutation(3)])
    return canvas


def _placed_beside(
    mask: Pixels, digit: NDArray[np.float32], sizes: tuple[float, float], chance: np.random.Generator
) -> NDArray[np.float32] | None:
    """Find a place where a digit hardly covers another one; None where there is none left."""
    for _ in range(_ATTEMPTS):
        alpha = _placed(digit, sizes, mask.shape, chance)
        covered = mask[alpha > 0.5] > 0
        if covered.size and covered.mean() < _OVERLAP:
            return alpha
    return None


def _placed(
    digit: NDArray[np.float32],
    sizes: tuple[float, float],
    size: tuple[int, ...],
    chance: np.random.Generator,
) -> NDArray[np.float32]:
    """Warp a digit to some place of the image: its opacity (H, W), 0…1."""
    height, width = size
    side = chance.uniform(*sizes) * min(size)
    angle, shear = np.deg2rad(chance.uniform(-25, 25)), chance.uniform(-0.25, 0.25)
    stretch = np.exp(chance.uniform(-0.2, 0.2))
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    forward = side / _ENLARGED * rotation @ np.array([[stretch, shear], [0.0, 1.0 / stretch]])
    inverse = np.linalg.inv(forward)
    margin = 0.45 * side
    center = np.array([chance.uniform(margin, width - margin), chance.uniform(margin, height - margin)])
    offset = np.full(2, _ENLARGED / 2) - inverse @ center
    coefficients = (*inverse[0], offset[0], *inverse[1], offset[1])
    warped = Image.fromarray(digit).transform(
        (width, height), Image.Transform.AFFINE, coefficients, Image.Resampling.BICUBIC
    )
    # A steep ramp around the ink threshold: an edge of about two pixels, whatever the enlargement.
    steepness = 0.5 * side / _ENLARGED
    return np.clip(0.5 + steepness * (np.asarray(warped) - _INK) / 2, 0, 1).astype(np.float32)


def _inked(canvas: Image.Image, alpha: NDArray[np.float32], chance: np.random.Generator) -> Image.Image:
    """Lay ink over the image, of a colour that can be told from what it covers, sometimes with a shadow."""
    whole = np.asarray(canvas).copy()
    rows, columns = np.nonzero(alpha.any(1))[0], np.nonzero(alpha.any(0))[0]
    # What is around the digit, with room for its shadow, stays as it is.
    window = slice(rows[0], rows[-1] + _SHADOW), slice(columns[0], columns[-1] + _SHADOW)
    pixels, alpha = whole[window].astype(np.float32), alpha[window]
    covered = pixels[alpha > 0.5].mean(0)
    color = chance.uniform(0, 255, 3)
    while abs(float((color - covered) @ (0.299, 0.587, 0.114))) < _CONTRAST:
        color = chance.uniform(0, 255, 3)
    if chance.random() < 0.3:
        down, right = chance.integers(1, _SHADOW, 2)
        shadow = np.zeros_like(alpha)
        shadow[down:, right:] = alpha[:-down, :-right]
        pixels *= 1 - shadow[..., None] * np.float32(chance.uniform(0.2, 0.6))
    opacity = alpha[..., None] * np.float32(chance.uniform(0.9, 1.0))
    # Ink keeps some of the light and shade of what is under it.
    shade = 0.85 * color.astype(np.float32) + 0.15 * pixels
    whole[window] = np.clip(pixels + opacity * (shade - pixels), 0, 255).astype(np.uint8)
    return Image.fromarray(whole)


def _scribble(canvas: Image.Image, chance: np.random.Generator) -> Image.Image:
    """Clutter: a line from edge to edge or an area in some colour. What a pen began and ended here is a digit."""
    canvas = canvas.copy()
    draw = ImageDraw.Draw(canvas)
    color = tuple(int(value) for value in chance.integers(0, 256, 3))
    kind = chance.integers(4)
    if kind == 0:
        draw.line(_across(canvas.size, chance), color, int(chance.integers(2, 9)))
        return canvas
    x, y = (np.sort(chance.uniform(0, side, 2)) for side in canvas.size)
    corners = (float(x[0]), float(y[0]), float(x[1]) + 1, float(y[1]) + 1)
    if kind == 1:
        draw.ellipse(corners, color)
    elif kind == 2:
        draw.rectangle(corners, color)
    else:
        points = chance.uniform(0, min(canvas.size), (3, 2)) * 0.3 + chance.uniform(
            0, 0.7 * min(canvas.size), 2
        )
        draw.polygon([tuple(point) for point in points.tolist()], color)
    return canvas


def _across(size: tuple[int, int], chance: np.random.Generator) -> tuple[float, float, float, float]:
    """A line (x, y, x, y) from the left edge to the right one, or from the upper to the lower."""
    width, height = size
    if chance.random() < 0.5:
        return (0.0, float(chance.uniform(0, height)), float(width), float(chance.uniform(0, height)))
    return (float(chance.uniform(0, width)), 0.0, float(chance.uniform(0, width)), float(height))


def _occluded(canvas: Image.Image, mask: Pixels, chance: np.random.Generator) -> Image.Image:
    """Something lies across the image: a bar of one colour, or a piece of the image itself."""
    height, width = mask.shape
    bar = Image.new("L", (width, height))
    draw = ImageDraw.Draw(bar)
    draw.line(_across(bar.size, chance), 255, int(chance.uniform(0.02, 0.07) * min(mask.shape)) + 1)
    where = np.asarray(bar) > 0
    pixels = np.asarray(canvas).copy()
    if chance.random() < 0.5:
        pixels[where] = chance.integers(0, 256, 3)
    else:
        pixels[where] = np.roll(pixels, tuple(chance.integers(10, 60, 2)), (0, 1))[where]
    mask[where] = 0
    return Image.fromarray(pixels)


def _photographed(canvas: Image.Image, chance: np.random.Generator) -> Pixels:
    """Blur, exposure and noise of a camera."""
    if chance.random() < 0.5:
        canvas = canvas.filter(ImageFilter.GaussianBlur(float(chance.uniform(0.3, 1.2))))
    pixels = np.asarray(canvas, np.float32) * np.float32(chance.uniform(0.7, 1.25))
    pixels += np.float32(chance.uniform(-20, 20))
    pixels += np.float32(chance.uniform(0, 8)) * chance.standard_normal(pixels.shape, np.float32)
    return np.clip(pixels, 0, 255).astype(np.uint8)
