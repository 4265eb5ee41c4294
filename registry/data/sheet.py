"""A picture sheet: annotated images side by side with their masks in colour, and which colour is which class."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw, ImageFont

from registry.atomic import atomic_path, check_output_path
from registry.data.dataset import AnnotatedImages, Example
from registry.data.report import DataReport
from registry.drawing import draw_legend, overlay, pascal_voc_colormap
from registry.errors import DataError

__all__ = ["draw_sheet", "save_sheet"]

_CELL = (240, 180)
"""Width and height in pixels that one picture is fitted into; a tile has two, the image and its overlay."""
_COLUMNS = 3
_GAP = 8
_CAPTION = 20
_TEXT = 13
_LEGEND_TEXT = 16
_IGNORED = (224, 224, 192)
"""Colour of the ignore label: the one that Pascal VOC's own pictures show it in."""
_ALPHA = 0.65
_PALE = 0.4
"""How far the gray image under the colours is lightened, so that no class is as dark as what it lies on."""

Pixels = NDArray[np.uint8]


def save_sheet(
    data: AnnotatedImages,
    report: DataReport,
    path: str | os.PathLike[str],
    *,
    palette: ArrayLike | None = None,
) -> None:
    """Draw the examples that a check has picked, and write them as PNG, completely or not at all.

    Args:
        data: what was checked.
        report: what `check_data` said about it.
        path: the file to write, `*.png`.
        palette: RGB colours (classes, 3) in 0…255; None takes Pascal VOC's.

    Raises:
        DataError: the report picked no example, since none is without an error.
        ImageError, DataError: an example can no longer be read.
        OutputPathError: the file cannot be written there.
    """
    check_output_path(path, suffixes=(".png",))
    if not report.picks:
        raise DataError(
            "a picture sheet needs examples without errors",
            received=f"none in {report.name}",
            repair="mend them first",
        )
    names = [_named(entry.index, entry.name, entry.share) if entry.images else "" for entry in report.classes]
    names.append(f"ignored {report.ignored:.2%}" if report.ignored else "")
    sheet = draw_sheet(
        [data[index] for index in report.picks], names, ignore_label=report.ignore_label, palette=palette
    )
    with atomic_path(path) as temporary:
        Image.fromarray(sheet).save(temporary)


def draw_sheet(
    examples: Sequence[Example], names: Sequence[str], *, ignore_label: int, palette: ArrayLike | None = None
) -> Pixels:
    """Draw examples in a grid, each as its image and its overlay, above a legend.

    Args:
        examples: one or more.
        names: what the legend says about each class, and about the ignore label last; what is empty is left out.
        ignore_label: mask value that is not counted; drawn in a light gray.
        palette: RGB colours (classes, 3) in 0…255; None takes Pascal VOC's.

    Returns:
        uint8 (height, width, 3).
    """
    colors = _colors(len(names) - 1, palette)
    columns = min(_COLUMNS, len(examples))
    width, height = 2 * _CELL[0] + 2, _CELL[1] + _CAPTION
    rows = -(-len(examples) // columns)
    size = (columns * (width + _GAP) + _GAP, rows * (height + _GAP) + _GAP)
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(_TEXT)
    for number, example in enumerate(examples):
        left = _GAP + number % columns * (width + _GAP)
        top = _GAP + number // columns * (height + _GAP)
        picture, mask = _thumbnails(example)
        for position, shown in enumerate((picture, _overlaid(picture, mask, ignore_label, colors))):
            middle = left + position * (_CELL[0] + 2) + (_CELL[0] - picture.width) // 2
            sheet.paste(shown, (middle, top + _CELL[1] - picture.height))
        caption = f"{example.name}   {example.image.shape[1]} x {example.image.shape[0]}"
        draw.text((left, top + _CELL[1] + 2), _shortened(caption, font, width), fill="black", font=font)
    legend = draw_legend(names, colors, width=sheet.width, font_size=_LEGEND_TEXT)
    return np.concatenate([np.asarray(sheet), legend])


def _thumbnails(example: Example) -> tuple[Image.Image, NDArray[Any]]:
    """Image and mask, fitted into a cell."""
    height, width = example.mask.shape
    factor = min(_CELL[0] / width, _CELL[1] / height)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    smooth = Image.Resampling.BILINEAR if factor < 1 else Image.Resampling.NEAREST
    mask = Image.fromarray(example.mask).resize(size, Image.Resampling.NEAREST)
    return Image.fromarray(example.image).resize(size, smooth), np.asarray(mask)


def _overlaid(picture: Image.Image, mask: NDArray[Any], ignore_label: int, colors: Pixels) -> Image.Image:
    """Colours over a pale gray image: what is coloured is the annotation, never the photograph."""
    gray = np.asarray(picture.convert("L"), np.float32)
    pale = np.rint(gray * (1 - _PALE) + 255 * _PALE).astype(np.uint8)
    indices = np.where(mask == ignore_label, len(colors) - 1, mask)
    # Black stands for a background that is nothing in particular.
    transparent = (0,) if tuple(colors[0]) == (0, 0, 0) else ()
    pixels = overlay(pale, indices, colors, _ALPHA, transparent=transparent)
    # Outlined, or a class whose colour is gray would not be seen.
    border = np.zeros(mask.shape, np.bool_)
    border[1:] |= indices[1:] != indices[:-1]
    border[:, 1:] |= indices[:, 1:] != indices[:, :-1]
    return Image.fromarray(np.where(border[..., None], np.uint8(0), pixels))


def _colors(classes: int, palette: ArrayLike | None) -> Pixels:
    """Colours of the classes, and that of the ignore label last."""
    known = pascal_voc_colormap() if palette is None else np.asarray(palette, np.uint8)
    return np.concatenate([known[np.arange(classes) % len(known)], np.array([_IGNORED], np.uint8)])


def _named(index: int, name: str, share: float) -> str:
    return f"{name or f'class {index}'} {share:.2%}"


def _shortened(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f"…{text}") > width:
        text = text[1:]
    return f"…{text}"
