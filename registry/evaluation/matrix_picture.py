"""A confusion matrix as a picture: a row per annotated class, a column per predicted one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from registry.evaluation.confusion import ConfusionMatrix

__all__ = ["draw_confusion_matrix"]

_RIGHT, _WRONG = np.array((23, 105, 170.0)), np.array((200, 40, 40.0))
_EMPTY, _ABSENT = np.array((255, 255, 255.0)), (232, 235, 239)
_INK, _SOFT, _LINE = (27, 35, 48), (102, 112, 133), (205, 211, 219)
# Colours follow the root of a share, or a class that is missed in one pixel of twenty would look like none.
_CONTRAST = 0.5
_MARGIN = 16
_LONGEST_NAME = 28
# (up to so many classes, pixels per cell)
_CELLS = ((12, 58), (30, 36), (60, 22), (256, 15))
_LARGEST = 3840
_LEAST_WITH_NAMES, _LEAST_WITH_NUMBERS = 11, 30
_LEAST_SHARE_WITH_NUMBER = 0.005


@dataclass(frozen=True)
class _Layout:
    """Where things are, in pixels."""

    cell: int
    left: int
    top: int
    side: int
    font: Any

    @property
    def width(self) -> int:
        return self.left + self.side + _MARGIN

    @property
    def height(self) -> int:
        return self.top + self.side + 76


def draw_confusion_matrix(matrix: ConfusionMatrix, labels: Sequence[str]) -> NDArray[np.uint8]:
    """Draw the share of each annotated class that was predicted as each class.

    Up to 30 classes, each cell has its percentage; up to 256, each row and column its name.

    Args:
        matrix: the counts.
        labels: name per class.

    Returns:
        uint8 RGB (h, w, 3): what is right in blue, what is wrong in red, rows without annotated pixels grey.
    """
    names = [_short(name) for name in labels]
    layout = _layout(names)
    shares, absent = matrix.normalized(), matrix.counts.sum(1) == 0
    canvas = Image.new("RGB", (layout.width, layout.height), "white")
    cells = np.kron(_colors(shares, absent), np.ones((layout.cell, layout.cell, 1), np.uint8))
    canvas.paste(Image.fromarray(cells), (layout.left, layout.top))
    draw = ImageDraw.Draw(canvas)
    _draw_grid(draw, layout, len(names))
    if layout.cell >= _LEAST_WITH_NUMBERS:
        _draw_numbers(draw, layout, shares)
    if layout.cell >= _LEAST_WITH_NAMES:
        _draw_names(canvas, draw, layout, names)
    _draw_titles(canvas, draw, layout)
    _draw_scale(canvas, draw, layout)
    return np.asarray(canvas)


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"


def _layout(names: Sequence[str]) -> _Layout:
    count = len(names)
    cell = next((pixels for most, pixels in _CELLS if count <= most), max(1, _LARGEST // count))
    font = ImageFont.load_default(min(16, max(10, cell - 3)))
    named = cell >= _LEAST_WITH_NAMES
    longest = max(int(font.getlength(name)) for name in names) if named else 0
    edge = _MARGIN + 30 + longest + 8
    # A matrix of few classes is still as wide as the scale below it.
    return _Layout(cell, max(edge, _MARGIN + 340 - cell * count), edge, cell * count, font)


def _colors(shares: NDArray[np.float64], absent: NDArray[np.bool_]) -> NDArray[np.uint8]:
    full = np.where(np.eye(len(shares), dtype=bool)[..., np.newaxis], _RIGHT, _WRONG)
    weight = (shares**_CONTRAST)[..., np.newaxis]
    colors = np.rint(_EMPTY + weight * (full - _EMPTY)).astype(np.uint8)
    colors[absent] = _ABSENT
    return colors


def _draw_grid(draw: ImageDraw.ImageDraw, layout: _Layout, count: int) -> None:
    right, bottom = layout.left + layout.side, layout.top + layout.side
    # Between tiny cells, lines would cover the cells.
    for number in range(count + 1) if layout.cell >= _LEAST_WITH_NAMES else (0, count):
        x, y = layout.left + number * layout.cell, layout.top + number * layout.cell
        draw.line((x, layout.top, x, bottom), fill=_LINE)
        draw.line((layout.left, y, right, y), fill=_LINE)


def _draw_numbers(draw: ImageDraw.ImageDraw, layout: _Layout, shares: NDArray[np.float64]) -> None:
    font = ImageFont.load_default(max(11, layout.cell // 4))
    for row, column in np.argwhere(shares >= _LEAST_SHARE_WITH_NUMBER):
        share = shares[row, column]
        center = (layout.left + (column + 0.5) * layout.cell, layout.top + (row + 0.5) * layout.cell)
        ink = "white" if share**_CONTRAST > 0.6 else _INK
        draw.text(center, f"{100 * share:.0f}", fill=ink, font=font, anchor="mm")


def _draw_names(
    canvas: Image.Image, draw: ImageDraw.ImageDraw, layout: _Layout, names: Sequence[str]
) -> None:
    for index, name in enumerate(names):
        middle = (index + 0.5) * layout.cell
        draw.text((layout.left - 6, layout.top + middle), name, fill=_INK, font=layout.font, anchor="rm")
        _upright(canvas, name, layout.font, _INK, (layout.left + middle, layout.top - 6))


def _draw_titles(canvas: Image.Image, draw: ImageDraw.ImageDraw, layout: _Layout) -> None:
    font = ImageFont.load_default(15)
    middle = layout.side / 2
    draw.text((layout.left + middle, _MARGIN), "predicted", fill=_SOFT, font=font, anchor="ma")
    length = font.getlength("annotated")
    _upright(canvas, "annotated", font, _SOFT, (_MARGIN + 8, layout.top + middle + length / 2))


def _upright(
    canvas: Image.Image, text: str, font: Any, ink: tuple[int, int, int], bottom: tuple[float, float]
) -> None:
    """Write from bottom to top, centred on a vertical line that ends there."""
    _, above, right, below = font.getbbox(text, anchor="ls")
    strip = Image.new("L", (max(1, int(right) + 2), max(1, int(below - above) + 4)))
    ImageDraw.Draw(strip).text((1, 2 - above), text, fill=255, font=font, anchor="ls")
    turned = strip.transpose(Image.Transpose.ROTATE_90)
    place = (round(bottom[0] - turned.width / 2), round(bottom[1] - turned.height))
    canvas.paste(Image.new("RGB", turned.size, ink), place, turned)


def _draw_scale(canvas: Image.Image, draw: ImageDraw.ImageDraw, layout: _Layout) -> None:
    """What the colours mean, in percent of an annotated class."""
    font = ImageFont.load_default(13)
    left, top = layout.left + layout.side - 316, layout.top + layout.side + 16
    ramp = np.linspace(0, 1, 128) ** _CONTRAST
    for row, (word, color) in enumerate((("right", _RIGHT), ("wrong", _WRONG))):
        y = top + 18 * row
        strip = np.rint(_EMPTY + ramp[:, np.newaxis] * (color - _EMPTY)).astype(np.uint8)
        draw.text((left, y), word, fill=_SOFT, font=font)
        canvas.paste(Image.fromarray(np.repeat(strip[np.newaxis], 12, axis=0)), (left + 44, y + 2))
    for share in (0, 50, 100):
        draw.text((left + 44 + 1.27 * share, top + 36), f"{share} %", fill=_SOFT, font=font, anchor="ma")
    draw.rectangle((left + 206, top + 2, left + 218, top + 14), fill=_ABSENT)
    draw.text((left + 224, top), "not annotated", fill=_SOFT, font=font)
