"""A picture sheet: annotated images side by side with their masks in colour, and which colour is which class."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
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
_TILE = 2 * _CELL[0] + 2
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
        (data[index] for index in report.picks),
        names,
        ignore_label=report.ignore_label,
        palette=palette,
        background=report.classes[0].name in ("", "background"),
    )
    with atomic_path(path) as temporary:
        Image.fromarray(sheet).save(temporary)


def draw_sheet(
    examples: Iterable[Example],
    names: Sequence[str],
    *,
    ignore_label: int,
    palette: ArrayLike | None = None,
    background: bool = True,
) -> Pixels:
    """Draw examples in a grid, each as its image and its overlay, above a legend.

    Args:
        examples: one or more; one at a time is held in memory.
        names: what the legend says about each class, and about the ignore label last; what is empty is left out.
        ignore_label: mask value that is not counted; drawn in a light gray.
        palette: RGB colours (classes, 3) in 0…255; None takes Pascal VOC's.
        background: whether class 0 is a background; without a palette, it is black then, and nothing else is.

    Returns:
        uint8 (height, width, 3).
    """
    colors = _colors(len(names) - 1, palette, background)
    font = ImageFont.load_default(_TEXT)
    tiles = [_tile(example, ignore_label, colors, font) for example in examples]
    rows = [tiles[start : start + _COLUMNS] for start in range(0, len(tiles), _COLUMNS)]
    heights = [max(tile.height for tile in row) for row in rows]
    width = min(len(tiles), _COLUMNS) * (_TILE + _GAP) + _GAP
    sheet = Image.new("RGB", (width, sum(heights) + _GAP * (len(rows) + 1)), "white")
    top = _GAP
    for row, height in zip(rows, heights, strict=True):
        for column, tile in enumerate(row):
            sheet.paste(tile, (_GAP + column * (_TILE + _GAP), top + height - tile.height))
        top += height + _GAP
    legend = draw_legend(names, colors, width=sheet.width, font_size=_LEGEND_TEXT)
    return np.concatenate([np.asarray(sheet), legend])


def _tile(
    example: Example, ignore_label: int, colors: Pixels, font: ImageFont.FreeTypeFont | ImageFont.ImageFont
) -> Image.Image:
    """Image and overlay side by side, the name below."""
    height, width = example.mask.shape
    factor = min(_CELL[0] / width, _CELL[1] / height)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    smooth = Image.Resampling.BILINEAR if factor < 1 else Image.Resampling.NEAREST
    picture = Image.fromarray(example.image).resize(size, smooth)
    mask = np.asarray(Image.fromarray(example.mask).resize(size, Image.Resampling.NEAREST))
    left = _CELL[0] - size[0]
    tile = Image.new("RGB", (_TILE, size[1] + _CAPTION), "white")
    tile.paste(picture, (left, 0))
    tile.paste(_overlaid(picture, mask, ignore_label, colors), (_TILE - _CELL[0], 0))
    caption = _shortened(f"{example.name}   {width} x {height}", font, _TILE - left)
    ImageDraw.Draw(tile).text((left, size[1] + 2), caption, fill="black", font=font)
    return tile


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


def _colors(classes: int, palette: ArrayLike | None, background: bool) -> Pixels:
    """Colours of the classes, and that of the ignore label last."""
    known = np.asarray(palette, np.uint8) if palette is not None else pascal_voc_colormap()[not background :]
    return np.concatenate([known[np.arange(classes) % len(known)], np.array([_IGNORED], np.uint8)])


def _named(index: int, name: str, share: float) -> str:
    return f"{name or f'class {index}'} {share:.2%}"


def _shortened(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """The end of a caption that is too long: names of files differ there."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f"...{text}") > width:
        text = text[1:]
    return f"...{text}"
