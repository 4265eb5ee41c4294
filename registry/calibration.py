"""Images that show a quantizer which values occur, checked before the converter sees them.

The converter checks nothing: of no images or of NaN it makes a float file, of Inf it kills the process, of constant
images or of pixels in 0…1 it makes wrong scales, all without a word.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from registry.errors import CalibrationError, ImageError, ModelError, RegistryWarning
from registry.images import load_image, stretched

__all__ = ["DEFAULT_LIMIT", "FEW_IMAGES", "calibration_images"]

DEFAULT_LIMIT = 200
"""Images that are used where the caller names no number; ranges hardly change beyond a hundred."""

FEW_IMAGES = 8
"""Fewer images than this bring a warning."""

_SUFFIXES = frozenset(
    ".avif .bmp .gif .jpeg .jpg .jp2 .pgm .png .pnm .ppm .qoi .tif .tiff .webp".split()  # noqa: SIM905
)
_REPAIR = "calibration='photos/', or a list of paths, a tf.data.Dataset, or an array (N, height, width, 3)"

Pixels = NDArray[np.uint8]


def calibration_images(source: Any, size: tuple[int, int], *, limit: int = DEFAULT_LIMIT) -> Pixels:
    """Read, check and resize calibration images.

    Of a folder, a list or an array with more than `limit` images, evenly spaced ones are used (files in the order of
    their paths); of a dataset, the first ones. So the same source gives the same images each time, unless it is a
    dataset that shuffles.

    Args:
        source: folder of images (searched with its subfolders), list of paths, `tf.data.Dataset` of images or of
            (image, …), batched or not, array (N, height, width, 3), or list of arrays (height, width, 3). RGB pixels
            in 0…255 of any size, integers or floats.
        size: height and width in pixels to resize to.
        limit: largest number of images.

    Returns:
        uint8 (N, height, width, 3), as the runtime would feed them. The values 0 and 255 occur, so that an integer
        input holds the pixels themselves: if no image has one of them, a value in the first image's corner is set.

    Raises:
        CalibrationError: no images, or images that would spoil the quantization.
        ModelError: `source` or `limit` is of another kind.
    """
    if type(limit) is not int or limit < 1:
        raise ModelError(
            "`calibration_limit` must be a positive number of images", received=limit, repair="leave it out"
        )
    images, brightest = [], -np.inf
    for name, image in _named(source, limit):
        array = _checked(image, name)
        # Integers say what their range is; floats of at most 1 are suspicious.
        brightest = max(brightest, float(array.max()) if array.dtype.kind == "f" else np.inf)
        images.append(stretched(np.rint(array).astype(np.uint8), size))
    _require_useful(images, brightest, source)
    return _with_full_range(np.stack(images))


def _named(source: Any, limit: int) -> Iterator[tuple[str, Any]]:
    """Images, or paths already decoded, with what to call them in an error."""
    if isinstance(source, str | os.PathLike):
        for path in _spread(_files(Path(source)), limit):
            yield str(path), _decoded(path)
    elif isinstance(source, np.ndarray):
        yield from _of_array(source, limit)
    elif hasattr(source, "element_spec") and hasattr(source, "as_numpy_iterator"):
        yield from islice(_of_dataset(source), limit)
    elif isinstance(source, Sequence) and not isinstance(source, bytes):
        for index, item in _spread(list(enumerate(source)), limit):
            is_path = isinstance(item, str | os.PathLike)
            yield (str(item), _decoded(Path(item))) if is_path else (f"image {index}", item)
    else:
        raise ModelError(
            "`calibration` must be a folder, a list of paths, a tf.data.Dataset, an array or a list of arrays",
            received=f"{type(source).__module__}.{type(source).__qualname__}",
            repair=_REPAIR,
        )


def _spread(items: Sequence[Any], limit: int) -> list[Any]:
    """At most `limit` items, evenly spaced."""
    if len(items) <= limit:
        return list(items)
    return [items[index * len(items) // limit] for index in range(limit)]


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise CalibrationError(
            "the folder of the calibration images must exist", received=str(folder), repair="check the path"
        )
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in _SUFFIXES and not path.name.startswith(".") and path.is_file()
    )


def _decoded(path: Path) -> Pixels:
    try:
        return load_image(path)
    except ImageError as error:
        raise CalibrationError(
            "every calibration image must be readable",
            received=str(error.received),
            repair="fetch the file again, or take it out of the calibration images",
        ) from error


def _of_array(array: NDArray[Any], limit: int) -> Iterator[tuple[str, Any]]:
    if array.ndim != 4:
        raise _refusal(
            "an array of calibration images must have the shape (N, height, width, 3)",
            f"shape {array.shape}",
            "image[None] makes an array of one image",
        )
    for index in _spread(range(len(array)), limit):
        yield f"image {index}", array[index]


def _of_dataset(dataset: Any) -> Iterator[tuple[str, Any]]:
    number = 0
    for element in dataset.as_numpy_iterator():
        image = _image_of(element)
        batch: Iterable[Any] = image if getattr(image, "ndim", 3) == 4 else (image,)
        for single in batch:
            yield f"image {number}", single
            number += 1


def _image_of(element: Any) -> Any:
    """The image of (image, mask, …), of {"image": …}, or the element itself."""
    while isinstance(element, tuple | list | Mapping):
        if isinstance(element, Mapping):
            key = next((key for key in ("image", "images") if key in element), None)
            if key is None:
                raise _refusal(
                    "a dataset of dictionaries must have the key 'image' or 'images'",
                    f"keys {sorted(map(str, element))}",
                    "dataset.map(lambda element: element['…'])",
                )
            element = element[key]
        else:
            element = element[0]
    return element


def _checked(image: Any, name: str) -> NDArray[Any]:
    """One image as an array (height, width, 3) of finite values in 0…255."""
    array = np.asarray(image)
    if array.dtype.kind not in "iuf":
        raise _refusal(
            "calibration images must be of integers or floats", f"{name}: {array.dtype}", "use uint8"
        )
    if array.ndim != 3 or array.shape[2] != 3 or array.size == 0:
        raise _refusal(
            "a calibration image must have the shape (height, width, 3), RGB",
            f"{name}: shape {array.shape}",
            "convert it to RGB and put the channels last",
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        damaged = int(array.size - np.isfinite(array).sum())
        raise _refusal(
            "calibration images must hold finite values",
            f"{name}: {damaged} of {array.size} values are NaN or infinite",
            "take the image out, or repair what produces it",
        )
    low, high = float(array.min()), float(array.max())
    if low < 0 or high > 255:
        raise _refusal(
            "calibration images must hold pixels in 0…255; the exported graph normalizes them itself",
            f"{name}: values {low:g}…{high:g}",
            "give the images as they are before any normalization",
        )
    return array


def _require_useful(images: list[Pixels], brightest: float, source: Any) -> None:
    if not images:
        shown = str(source) if isinstance(source, str | os.PathLike) else type(source).__name__
        raise _refusal("calibration needs images", f"none in {shown}", _REPAIR)
    if brightest <= 1:
        raise _refusal(
            "calibration images must hold pixels in 0…255",
            f"floats of at most {brightest:g} in all {len(images)} images",
            "multiply images in 0…1 by 255; for images that dark, use an integer dtype",
        )
    if all(image.min() == image.max() for image in images):
        raise _refusal(
            "calibration images must show something",
            f"{len(images)} images of one value each",
            "give photographs like those that the model will see",
        )
    if len(images) < FEW_IMAGES:
        warnings.warn(
            f"{len(images)} calibration image(s) show few of the values that will occur; give about a hundred",
            RegistryWarning,
            stacklevel=2,
        )


def _with_full_range(images: Pixels) -> Pixels:
    corner = images[0].reshape(-1)  # a view: images is contiguous
    for position, value in enumerate((0, 255)):
        if not (images == value).any():
            corner[position] = value
    return images


def _refusal(rule: str, received: str, repair: str) -> CalibrationError:
    return CalibrationError(rule, received=received, repair=repair)
