"""Decode any photograph that a user may own into RGB pixels, or refuse it with a reason.

What comes out is always uint8 RGB as a viewer shows it:

- EXIF orientation is applied. A damaged EXIF block counts as "upright".
- Transparency is dropped, not composited: training loaders (`tf.io.decode_image(channels=3)`, Pillow's
  `convert("RGB")`, OpenCV) do the same, so one file gives one mask everywhere, and no background is invented.
- 16-bit grayscale is scaled from its whole range (0…65535 → 0…255), never clipped.
- CMYK goes through its embedded ICC profile where there is a usable one, else through Pillow's conversion.
  RGB profiles are not applied, as in the training data.
- Of an animation or a multi-page file the first picture counts.

Files are untrusted: only raster formats with a decoder in Pillow itself are tried (never EPS, which starts
Ghostscript), the number of pixels is checked in the header before anything is decoded, and no global state of
Pillow is changed.
"""

from __future__ import annotations

import io
import math
import os
import stat
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, UnidentifiedImageError

from registry.errors import ImageError

__all__ = [
    "FORMATS",
    "MAX_IMAGE_PIXELS",
    "ImageSource",
    "load_image",
    "load_indices",
    "plain_format",
    "read_file",
    "stretched",
]

MAX_IMAGE_PIXELS = 64 * 1024 * 1024
"""Largest number of pixels that is decoded; 8192 by 8192, 192 MiB as RGB."""

FORMATS = ("AVIF", "BMP", "DIB", "GIF", "JPEG", "JPEG2000", "MPO", "PNG", "PPM", "QOI", "TIFF", "WEBP")
"""Pillow's names of the formats that are tried."""

ImageSource = str | os.PathLike[str] | bytes | bytearray | memoryview | Image.Image | NDArray[Any]
Pixels = NDArray[np.uint8]
Converter = Callable[[Image.Image, str], NDArray[Any]]

_ORIENTATION_TAG = 0x0112
_BITS_PER_SAMPLE_TAG, _PHOTOMETRIC_TAG, _WHITE_IS_ZERO = 258, 262, 0
_LOSSY = ("AVIF", "JPEG", "JPEG2000", "MPO", "WEBP")
_SIXTEEN_BIT_MODES = ("I;16", "I;16L", "I;16B", "I;16N")

_warnings_lock = threading.Lock()


def load_image(source: ImageSource, *, name: str | None = None) -> Pixels:
    """Decode an image to RGB.

    Args:
        source: path of an image file; its bytes; a PIL image (its current frame); or an array of uint8
            pixels, (H, W) or (H, W, 1) grayscale, (H, W, 3) RGB or (H, W, 4) RGBA, of any size.
        name: what messages call bytes, which have no path to be named by.

    Returns:
        uint8 array (H, W, 3), RGB, 0…255. May share memory with an array or a PIL image that was passed in.

    Raises:
        ImageError: absent, unreadable, not an image, corrupt, truncated, more than `MAX_IMAGE_PIXELS`
            pixels, or with pixels whose range is unknown (32-bit integers, floats).
    """
    if isinstance(source, np.ndarray):
        return _from_array(source)
    if isinstance(source, Image.Image):
        return _decode(source, "the PIL image")
    if isinstance(source, bytes | bytearray | memoryview):
        return _from_bytes(bytes(source), name)
    if isinstance(source, str | os.PathLike):
        return _from_path(Path(source))
    raise ImageError(
        "an image must be a path, bytes, a PIL image or a NumPy array",
        received=f"{type(source).__module__}.{type(source).__qualname__}",
        repair="np.asarray(image) turns most tensors into an array",
    )


def load_indices(source: str | os.PathLike[str] | bytes, *, name: str | None = None) -> NDArray[Any]:
    """Decode an annotation: the values as they are stored, never through a palette.

    Args:
        source: path or bytes of a PNG (or another lossless raster file) of palette indices, gray values, or colours.
        name: what messages call bytes.

    Returns:
        (H, W) uint8, or uint16 for 16-bit files; (H, W, 3) uint8 for a file of colours, whose alpha is dropped.

    Raises:
        ImageError: absent, unreadable, corrupt, too large, or of a format that loses values (JPEG).
    """
    if isinstance(source, bytes):
        return _from_bytes(source, name, _stored_values)
    return _from_path(Path(source), _stored_values)


def read_file(path: str | os.PathLike[str]) -> bytes:
    """The bytes of an image file, whatever they are.

    Raises:
        ImageError: absent, unreadable, or no regular file.
    """
    with _opened(Path(path)) as (stream, _):
        return stream.read()


def plain_format(data: bytes) -> str | None:
    """`jpeg` or `png`, where any decoder of that format gives the pixels that `load_image` gives.

    None stands for all that decoders differ about: EXIF orientation, 16 bits, CMYK, other formats, damaged headers.
    """
    try:
        with _open(io.BytesIO(data)) as image:
            kind, mode, orientation = image.format, image.mode, _orientation(image)
    except Exception:  # whoever decodes it will say what is wrong
        return None
    if orientation != 1:
        return None
    if kind in ("JPEG", "MPO") and mode in ("L", "RGB"):
        return "jpeg"
    return "png" if kind == "PNG" and mode in ("L", "P", "RGB", "RGBA") else None


def stretched(pixels: Pixels, size: tuple[int, int]) -> Pixels:
    """Resize an image as the runtime does before it runs a model: bilinear, antialiased when shrinking.

    Args:
        pixels: uint8 (H, W, 3).
        size: height and width in pixels.

    Returns:
        uint8 (height, width, 3); the argument itself if it has that size.
    """
    if pixels.shape[:2] == size:
        return pixels
    # Pillow widens the bilinear kernel when it shrinks, which is what "antialiased" means.
    return np.asarray(Image.fromarray(pixels).resize((size[1], size[0]), Image.Resampling.BILINEAR))


def _from_bytes(data: bytes, name: str | None, convert: Converter | None = None) -> NDArray[Any]:
    return _decode_stream(io.BytesIO(data), name or f"{len(data)} bytes", len(data), convert)


def _from_path(path: Path, convert: Converter | None = None) -> NDArray[Any]:
    with _opened(path) as (stream, size):
        return _decode_stream(stream, str(path), size, convert)


@contextmanager
def _opened(path: Path) -> Iterator[tuple[io.BufferedReader, int]]:
    """A file and its size in bytes."""
    try:
        status = path.stat()
        # Opening a pipe or a device could wait, or read, forever.
        if not stat.S_ISREG(status.st_mode):
            raise ImageError("an image path must name a regular file", received=str(path))
        with path.open("rb") as stream:
            yield stream, status.st_size
    except FileNotFoundError as error:
        raise ImageError("the image file must exist", received=str(path), repair="check the path") from error
    except (OSError, ValueError) as error:
        if isinstance(error, ImageError):
            raise
        raise ImageError("the image file must be readable", received=f"{str(path)!r}: {error}") from error


def _decode_stream(
    stream: io.BufferedIOBase, name: str, size: int, convert: Converter | None = None
) -> NDArray[Any]:
    if size == 0:
        raise ImageError(
            "an image file must not be empty", received=f"{name}, 0 bytes", repair="fetch it again"
        )
    with _refusing(name), _open(stream) as image:
        return _decode(image, name, convert)


def _open(stream: io.BufferedIOBase) -> Image.Image:
    """Read the header only, without Pillow's own warning about large images."""
    Image.init()
    formats = [name for name in FORMATS if name in Image.OPEN]
    with _without_warnings():
        return Image.open(stream, formats=formats)  # type: ignore[arg-type]


@contextmanager
def _without_warnings() -> Iterator[None]:
    # `warnings.catch_warnings` swaps a list that all threads share, so only one of ours may do it at a time;
    # hence around headers only, never around decoding.
    with _warnings_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def _refusing(name: str) -> Iterator[None]:
    """Turn whatever a decoder raises into an `ImageError`."""
    try:
        yield
    except ImageError:
        raise
    except UnidentifiedImageError as error:
        raise ImageError(
            "an image must be in a format that can be decoded",
            received=f"{name}: no known image header",
            repair=f"convert it to PNG or JPEG; known formats: {', '.join(FORMATS)}",
        ) from error
    except Image.DecompressionBombError as error:
        raise _too_large(f"{name}: {error}") from error
    # Pillow documents no list of what its decoders raise: OSError, SyntaxError, struct.error, zlib.error, …
    except Exception as error:
        raise ImageError(
            "an image must decode completely",
            received=f"{name}: {type(error).__name__}: {error}",
            repair="the file is corrupt or truncated: fetch it again, or save it anew in an image editor",
        ) from error


def _too_large(received: str) -> ImageError:
    return ImageError(
        f"an image may have at most {MAX_IMAGE_PIXELS:,} pixels",
        received=received,
        repair="scale it down first, or decode it yourself and pass the array if you trust it",
    )


def _decode(image: Image.Image, name: str, convert: Converter | None = None) -> NDArray[Any]:
    width, height = image.size
    if width * height > MAX_IMAGE_PIXELS:
        raise _too_large(f"{name}: {width} x {height} pixels")
    if width * height == 0:
        raise ImageError(
            "an image must have at least one pixel", received=f"{name}: {width} x {height} pixels"
        )
    with _refusing(name):
        image.load()
        if convert is not None:
            return convert(image, name)
        pixels = _to_rgb(image, name)
        return np.ascontiguousarray(_upright(pixels, _orientation(image)))


def _stored_values(image: Image.Image, name: str) -> NDArray[Any]:
    if image.format in _LOSSY:
        raise ImageError(
            "an annotation must be stored without loss, or its class indices change",
            received=f"{name}: {image.format}",
            repair="use the original PNG",
        )
    if image.mode in _SIXTEEN_BIT_MODES or image.mode == "I":
        values = np.asarray(image)
        if values.min() < 0 or values.max() > 65535:
            raise ImageError(
                "an annotation may hold 16 bits per pixel",
                received=f"{name}: values {values.min()}…{values.max()}",
                repair="save class indices as 8-bit or 16-bit PNG",
            )
        return values.astype(np.uint16)
    if image.mode in ("P", "L", "1"):
        return np.asarray(image).astype(np.uint8)
    if image.mode in ("RGB", "RGBA"):
        return np.ascontiguousarray(np.asarray(image)[:, :, :3])
    raise ImageError(
        "an annotation must hold palette indices, gray values or RGB colours",
        received=f"{name}: mode {image.mode!r}",
        repair="save it as indexed or gray PNG",
    )


def _to_rgb(image: Image.Image, name: str) -> Pixels:
    if image.mode in _SIXTEEN_BIT_MODES:
        return _gray_to_rgb(_sixteen_to_eight_bit(image))
    if image.mode == "I" and image.format == "PPM":
        # Pillow scales a PGM of more than 8 bits to 0…65535, whatever its own maximum is.
        return _gray_to_rgb(_scaled(np.asarray(image), 65535))
    if image.mode in ("I", "F"):
        low, high = image.getextrema()
        raise ImageError(
            "pixels must have a known range: 8-bit channels or 16-bit grayscale",
            received=f"{name}: mode {image.mode!r} (32-bit), values {low}…{high}",
            repair="scale the values to 0…255 and save the image as 8-bit, or pass a uint8 array",
        )
    if image.mode == "RGB":
        return np.asarray(image)
    if image.mode == "CMYK":
        return np.asarray(_cmyk_to_rgb(image))
    if image.mode in ("P", "PA", "La", "RGBa"):
        # By way of RGBA: a palette may hold transparency, and premultiplied colours have to be divided again.
        image = image.convert("RGBA")
    return np.asarray(image.convert("RGB"))


def _sixteen_to_eight_bit(image: Image.Image) -> Pixels:
    values = np.asarray(image)
    tags = getattr(image, "tag_v2", {})  # TIFF only
    white = 4095 if tags.get(_BITS_PER_SAMPLE_TAG) == (12,) else 65535
    scaled = _scaled(values, white)
    return ~scaled if tags.get(_PHOTOMETRIC_TAG) == _WHITE_IS_ZERO else scaled


def _scaled(values: NDArray[Any], white: int) -> Pixels:
    """Map 0…white to 0…255, rounded to nearest."""
    table = (np.arange(white + 1, dtype=np.uint32) * 255 + white // 2) // white
    pixels: Pixels = table.astype(np.uint8)[np.clip(values, 0, white)]
    return pixels


def _gray_to_rgb(gray: Pixels) -> Pixels:
    return np.repeat(gray[:, :, np.newaxis], 3, axis=2)


def _cmyk_to_rgb(image: Image.Image) -> Image.Image:
    profile = image.info.get("icc_profile")
    if profile:
        try:
            converted = ImageCms.profileToProfile(
                image,
                ImageCms.ImageCmsProfile(io.BytesIO(profile)),
                ImageCms.createProfile("sRGB"),
                outputMode="RGB",
            )
        except (ImageCms.PyCMSError, OSError, ValueError, ImportError):
            # A broken profile, one for another colour space, a Pillow without LittleCMS: the pixels are good.
            return image.convert("RGB")
        if converted is not None:
            return converted
    return image.convert("RGB")


def _orientation(image: Image.Image) -> int:
    """EXIF orientation 1…8; 1 if there is none or it cannot be read.

    Asked for after decoding: the TIFF decoder turns the pixels itself and then drops the tag.
    """
    try:
        with _without_warnings():
            value = image.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:  # the parser meets arbitrary bytes; the pixels do not depend on them
        return 1
    return value if value in range(1, 9) else 1


def _upright(pixels: Pixels, orientation: int) -> Pixels:
    """Undo the rotation and mirroring that an EXIF orientation declares."""
    if orientation >= 5:  # stored with rows and columns exchanged
        pixels = pixels.swapaxes(0, 1)
    mirror_rows = orientation in (3, 4, 7, 8)
    mirror_columns = orientation in (2, 3, 6, 7)
    return pixels[:: -1 if mirror_rows else 1, :: -1 if mirror_columns else 1]


def _from_array(array: NDArray[Any]) -> Pixels:
    if array.dtype != np.uint8:
        raise ImageError(
            "an image array must hold uint8 pixels in 0…255",
            received=_describe(array),
            repair="for values in 0…1: np.rint(array * 255).astype(np.uint8), after replacing NaN",
        )
    channels = 1 if array.ndim == 2 else array.shape[-1] if array.ndim == 3 else 0
    if channels not in (1, 3, 4) or 0 in array.shape:
        raise ImageError(
            "an image array must have the shape (H, W), (H, W, 3) or (H, W, 4), with at least one pixel",
            received=_describe(array),
            repair="pass one image at a time, channels last",
        )
    if channels == 1:
        return _gray_to_rgb(array.reshape(array.shape[:2]))
    return np.ascontiguousarray(array[:, :, :3])


def _describe(array: NDArray[Any]) -> str:
    text = f"{array.dtype} array of shape {array.shape}"
    if array.dtype.kind not in "fiu" or array.size == 0:
        return text
    if array.dtype.kind == "f" and (damaged := int(array.size - np.isfinite(array).sum())):
        return f"{text} with {damaged} NaN or infinite values"
    low, high = array.min(), array.max()
    return f"{text}, values {low:g}…{high:g}" if math.isfinite(high) else text
