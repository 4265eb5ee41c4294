"""What every data set becomes: images with class masks, one way to read them.

Reading has two steps. `stored` says where the parts of one example are, and lets each be read on its own, which is what
a check of the data needs, to whom a broken one is a finding. Asking for the example itself decodes both and holds them
to the rules: one size, no value that is no class.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, overload, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from registry.errors import DataError
from registry.images import ImageSource, load_image, read_file

__all__ = [
    "IGNORE_LABEL",
    "AnnotatedImages",
    "Dataset",
    "Example",
    "Mask",
    "Sample",
    "Stored",
    "StoredImages",
    "checked_example",
    "is_unknown",
    "stored_example",
]

IGNORE_LABEL = 255
"""Mask value of pixels that neither training nor evaluation counts."""

Mask = NDArray[Any]


@dataclass(frozen=True)
class Sample:
    """Where one annotated image is.

    Args:
        name: unique in its data set.
        image: the image file.
        mask: the annotation file.
    """

    name: str
    image: Path
    mask: Path


@dataclass(frozen=True)
class Example:
    """One annotated image, decoded.

    Args:
        name: of its sample.
        image: uint8 (H, W, 3), RGB.
        mask: class indices (H, W), uint8; uint16 where there are more than 255 classes.
    """

    name: str
    image: NDArray[np.uint8]
    mask: Mask


@dataclass(frozen=True)
class Stored:
    """One annotated image as it is stored: nothing is decoded, nothing is checked.

    Args:
        name: of its sample.
        place: where it is, for messages.
        image: path, bytes or pixels.
        read_mask: reads class indices (H, W), whatever values they have; raises ImageError or DataError.
    """

    name: str
    place: str
    image: ImageSource
    read_mask: Callable[[], Mask]

    def read_image(self) -> NDArray[np.uint8]:
        """Decode the image: uint8 (H, W, 3), RGB.

        Raises:
            ImageError: it cannot be decoded.
        """
        return load_image(self.image, name=self.place)

    def encoded_image(self) -> bytes | None:
        """The bytes of the image's file; None for pixels that come from no file.

        Raises:
            ImageError: it cannot be read.
        """
        if isinstance(self.image, bytes):
            return self.image
        return read_file(self.image) if isinstance(self.image, Path) else None


class AnnotatedImages(Protocol):
    """Annotated images of any reader, decoded when they are asked for."""

    @property
    def name(self) -> str:
        """For messages."""

    @property
    def num_classes(self) -> int:
        """Mask values are 0 … num_classes - 1, and the ignore label."""

    @property
    def ignore_label(self) -> int:
        """Mask value that is not counted."""

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the classes; empty where the data set has none."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Example: ...


@runtime_checkable
class StoredImages(Protocol):
    """Annotated images that come from files."""

    def stored(self, index: int, /) -> Stored:
        """One of them, not yet decoded."""


def stored_example(data: AnnotatedImages, index: int) -> Stored:
    """One example of any data set as it is stored; drawn ones are their own pixels."""
    if isinstance(data, StoredImages):
        return data.stored(index)
    example = data[index]
    return Stored(example.name, f"{data.name}: {example.name}", example.image, lambda: example.mask)


def is_unknown(mask: Mask, num_classes: int, ignore_label: int) -> NDArray[np.bool_]:
    """Where a mask holds neither a class nor the ignore label: bool (H, W)."""
    return (mask >= num_classes) & (mask != ignore_label)


def checked_example(stored: Stored, data: AnnotatedImages) -> Example:
    """Decode an example and hold it to the rules.

    Raises:
        ImageError: image or annotation cannot be decoded.
        DataError: their sizes differ, or the mask holds values that are no class.
    """
    image, mask = stored.read_image(), stored.read_mask()
    if image.shape[:2] != mask.shape:
        raise DataError(
            "an image and its mask must have the same size",
            received=f"{stored.place}: image {_size(image)}, mask {_size(mask)}",
            repair="check that both files belong together and that neither was resized",
        )
    unknown = is_unknown(mask, data.num_classes, data.ignore_label)
    if unknown.any():
        raise DataError(
            f"a mask of {data.name} holds class indices 0…{data.num_classes - 1} and the ignore label "
            f"{data.ignore_label}",
            received=f"{stored.place}: {', '.join(map(str, np.unique(mask[unknown])[:8]))}",
            repair="check the number of classes and the annotation's encoding",
        )
    return Example(stored.name, image, mask)


@dataclass(frozen=True)
class Dataset(Sequence[Example]):
    """Annotated images, decoded when they are asked for.

    Args:
        name: for messages, for instance `pascal_voc trainaug`.
        samples: where they are.
        num_classes: mask values are 0 … num_classes - 1, and the ignore label.
        read_mask: turns the annotation of a sample into class indices.
        ignore_label: mask value that is not counted.
        labels: names of the classes, where the data set itself has them.
    """

    name: str
    samples: tuple[Sample, ...]
    num_classes: int
    read_mask: Callable[[Sample], Mask]
    ignore_label: int = IGNORE_LABEL
    labels: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.samples)

    @overload
    def __getitem__(self, index: int) -> Example: ...

    @overload
    def __getitem__(self, index: slice) -> Dataset: ...

    def __getitem__(self, index: int | slice) -> Example | Dataset:
        """Decode one example, or select a part of the data set.

        Raises:
            ImageError: image or annotation cannot be decoded.
            DataError: their sizes differ, or the mask holds values that are no class.
        """
        if isinstance(index, slice):
            return replace(self, samples=self.samples[index])
        return checked_example(self.stored(index), self)

    def stored(self, index: int) -> Stored:
        """One of the samples, not yet decoded."""
        sample = self.samples[index]
        return Stored(sample.name, str(sample.mask), sample.image, functools.partial(self.read_mask, sample))

    def __iter__(self) -> Iterator[Example]:
        """Decode one after the other."""
        return (self[index] for index in range(len(self)))


def _size(array: NDArray[Any]) -> str:
    return f"{array.shape[1]}×{array.shape[0]}"
