"""Make class masks visible: palettes, indexed PNG files, overlays, legends."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw, ImageFont

from registry.atomic import atomic_path, check_output_path
from registry.errors import ModelError
from registry.images import ImageSource, load_image

__all__ = [
    "MASK_SUFFIXES",
    "OVERLAY_SUFFIXES",
    "draw_legend",
    "mask_image",
    "overlay",
    "pascal_voc_colormap",
    "save_image",
    "save_mask",
    "save_overlay",
]

MASK_SUFFIXES = (".png",)
OVERLAY_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")


def pascal_voc_colormap(num_classes: int = 256) -> NDArray[np.uint8]:
    """The colour map of Pascal VOC: the bits of the class index, spread over red, green and blue.

    Args:
        num_classes: number of colours; they repeat never within the first 256, and index 0 is black.

    Returns:
        uint8 (num_classes, 3), RGB.
    """
    index = np.arange(num_classes, dtype=np.uint32)
    colors = np.zeros((num_classes, 3), np.uint32)
    for shift in range(8):
        for channel in range(3):
            bit = (index >> (3 * shift + channel)) & 1
            colors[:, channel] |= bit << (7 - shift)
    return colors.astype(np.uint8)


def save_image(image: ImageSource, path: str | os.PathLike[str]) -> None:
    """Write an image as PNG, JPEG or WebP, completely or not at all.

    Args:
        image: whatever `load_image` takes.
        path: the file to write; its suffix chooses the format.

    Raises:
        ImageError: the image cannot be decoded.
        OutputPathError: the file cannot be written there.
    """
    _save(Image.fromarray(load_image(image)), path, OVERLAY_SUFFIXES)


def save_mask(mask: ArrayLike, path: str | os.PathLike[str], palette: ArrayLike | None = None) -> None:
    """Write a class mask as PNG, completely or not at all.

    Up to 256 classes it is an indexed PNG, whose pixel values are the class indices and whose palette shows
    them in colour, as Pascal VOC's own annotations. With more than 256 it is a 16-bit grayscale PNG of the
    indices, without colours, since PNG palettes end at 256.

    Args:
        mask: class indices (H, W), integers.
        path: the file to write, `*.png`.
        palette: RGB colours (classes, 3) in 0…255; None takes Pascal VOC's.

    Raises:
        ModelError: the mask is no array of class indices, or has classes that the palette lacks.
        OutputPathError: the file cannot be written there.
    """
    _save(mask_image(mask, palette), path, MASK_SUFFIXES)


def mask_image(mask: ArrayLike, palette: ArrayLike | None = None) -> Image.Image:
    """A class mask as the image that `save_mask` writes.

    Args:
        mask: class indices (H, W), integers.
        palette: RGB colours (classes, 3) in 0…255; None takes Pascal VOC's.

    Returns:
        An image of mode P up to 256 classes, else one of 16 bits.

    Raises:
        ModelError: the mask is no array of class indices, or has classes that the palette lacks.
    """
    indices, colors = _checked_mask(mask), _checked_palette(palette)
    highest = int(indices.max())
    if palette is not None:
        _check_covered(highest, colors)
    if max(highest, len(colors) - 1) > 255:
        return Image.fromarray(indices.astype(np.uint16))
    image = Image.fromarray(indices.astype(np.uint8))
    image.putpalette(colors.tobytes())  # turns mode L into P, values kept
    return image


def overlay(
    image: ImageSource,
    mask: ArrayLike,
    palette: ArrayLike | None = None,
    alpha: float = 0.5,
    *,
    transparent: Collection[int] = (),
) -> NDArray[np.uint8]:
    """Lay a mask's colours over the image.

    Args:
        image: whatever `load_image` takes.
        mask: class indices (H, W) of the same size.
        palette: RGB colours (classes, 3) in 0…255; None takes Pascal VOC's, which repeat beyond 256 classes.
        alpha: weight of the colours, 0 (image only) to 1 (colours only).
        transparent: classes under which the image stays as it is, for instance the background.

    Returns:
        uint8 (H, W, 3), RGB.

    Raises:
        ImageError: the image cannot be decoded.
        ModelError: sizes differ, `alpha` is out of range, or the mask has classes that the palette lacks.
    """
    pixels, indices, colors = load_image(image), _checked_mask(mask), _checked_palette(palette)
    if indices.shape != pixels.shape[:2]:
        raise ModelError(
            "mask and image must have the same height and width",
            received=f"mask {indices.shape}, image {pixels.shape[:2]}",
            repair="Segmenter.predict gives masks of the image's size",
        )
    if not 0.0 <= alpha <= 1.0:
        raise ModelError("`alpha` must lie between 0 and 1", received=alpha, repair="0.5 shows both equally")
    if palette is None:
        indices = indices & 0xFF
    else:
        _check_covered(int(indices.max()), colors)
    colored = colors[indices]
    for label in transparent:
        hidden = indices == label
        colored[hidden] = pixels[hidden]
    return np.asarray(Image.blend(Image.fromarray(pixels), Image.fromarray(colored), alpha))


def draw_legend(
    labels: Sequence[str], palette: ArrayLike | None = None, *, width: int, font_size: int | None = None
) -> NDArray[np.uint8]:
    """Draw a strip that says which colour is which class.

    Args:
        labels: class names, in the order of the palette; an empty name leaves its class out.
        palette: RGB colours (classes, 3) in 0…255; None takes Pascal VOC's.
        width: width of the strip in pixels.
        font_size: height of the letters in pixels; None takes what suits the width.

    Returns:
        uint8 (h, width, 3), RGB, black text on white; h grows with the number of rows that the names need.
    """
    colors = _checked_palette(palette)
    _check_covered(len(labels) - 1, colors)
    size = max(11, min(width // 50, 40)) if font_size is None else font_size
    font = ImageFont.load_default(size)
    box, margin = size, size // 2
    entries = [(index, name) for index, name in enumerate(labels) if name]
    positions, x, y = [], margin, margin
    for _, name in entries:
        needed = box + margin + int(font.getlength(name)) + 2 * margin
        if x > margin and x + needed > width:
            x, y = margin, y + box + margin
        positions.append((x, y))
        x += needed
    strip = Image.new("RGB", (width, y + box + margin), "white")
    draw = ImageDraw.Draw(strip)
    for (index, name), (left, top) in zip(entries, positions, strict=True):
        color = (int(colors[index][0]), int(colors[index][1]), int(colors[index][2]))
        draw.rectangle((left, top, left + box - 1, top + box - 1), fill=color, outline="black")
        draw.text((left + box + margin // 2, top), name, fill="black", font=font)
    return np.asarray(strip)


def save_overlay(
    image: ImageSource,
    mask: ArrayLike,
    path: str | os.PathLike[str],
    palette: ArrayLike | None = None,
    alpha: float = 0.5,
    *,
    labels: Sequence[str] = (),
    transparent: Collection[int] = (),
) -> None:
    """Write an overlay as PNG, JPEG or WebP, completely or not at all.

    Args:
        image: whatever `load_image` takes.
        mask: class indices (H, W) of the same size.
        path: the file to write; its suffix chooses the format.
        palette: RGB colours (classes, 3) in 0…255; None takes Pascal VOC's.
        alpha: weight of the colours, 0…1.
        labels: class names; given, a legend of the classes that occur is added below the image.
        transparent: classes under which the image stays as it is.

    Raises:
        ImageError: the image cannot be decoded.
        ModelError: the arguments do not fit each other.
        OutputPathError: the file cannot be written there.
    """
    picture = overlay(image, mask, palette, alpha, transparent=transparent)
    if labels:
        present = set(np.unique(_checked_mask(mask)).tolist())
        shown = [name if index in present else "" for index, name in enumerate(labels)]
        picture = np.concatenate([picture, draw_legend(shown, palette, width=picture.shape[1])])
    _save(Image.fromarray(picture), path, OVERLAY_SUFFIXES)


def _save(image: Image.Image, path: str | os.PathLike[str], suffixes: tuple[str, ...]) -> None:
    check_output_path(path, suffixes=suffixes)
    options: dict[str, Any] = {} if Path(path).suffix.lower() == ".png" else {"quality": 95}
    with atomic_path(path) as temporary:
        image.save(temporary, **options)


def _checked_mask(mask: ArrayLike) -> NDArray[Any]:
    indices = np.asarray(mask)
    if indices.ndim != 2 or indices.dtype.kind not in "iu" or indices.size == 0:
        raise ModelError(
            "a mask must be an integer array (H, W) of class indices",
            received=f"{indices.dtype} array of shape {indices.shape}",
            repair="take the argmax over the classes, and one image of a batch",
        )
    if indices.min() < 0 or indices.max() > 65535:
        raise ModelError(
            "class indices must lie in 0…65535",
            received=f"{indices.min()}…{indices.max()}",
            repair="check the mask",
        )
    return indices


def _checked_palette(palette: ArrayLike | None) -> NDArray[np.uint8]:
    if palette is None:
        return pascal_voc_colormap()
    colors = np.asarray(palette)
    if colors.ndim != 2 or colors.shape[1:] != (3,) or colors.dtype.kind not in "iu" or len(colors) == 0:
        raise ModelError(
            "a palette must be whole numbers (classes, 3)",
            received=f"{colors.dtype} array of shape {colors.shape}",
            repair="give one RGB colour per class, or none for Pascal VOC's",
        )
    if colors.min() < 0 or colors.max() > 255:
        raise ModelError("palette colours must lie in 0…255", received=f"{colors.min()}…{colors.max()}")
    return colors.astype(np.uint8)


def _check_covered(highest: int, colors: NDArray[np.uint8]) -> None:
    if highest >= len(colors):
        raise ModelError(
            "the palette must have a colour for every class of the mask",
            received=f"class {highest}, {len(colors)} colours",
            repair="add colours, or leave the palette out",
        )
