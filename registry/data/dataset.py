"""What every data set becomes: images with class masks, one way to read them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from registry.errors import DataError
from registry.images import load_image

__all__ = ["IGNORE_LABEL", "Dataset", "Example", "Mask", "Sample"]

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
        sample = self.samples[index]
        image, mask = load_image(sample.image), self.read_mask(sample)
        if image.shape[:2] != mask.shape:
            raise DataError(
                "an image and its mask must have the same size",
                received=f"{sample.name}: image {_size(image)}, mask {_size(mask)}",
                repair="check that both files belong together and that neither was resized",
            )
        unknown = self.unknown_values(mask)
        if unknown:
            raise DataError(
                f"a mask of {self.name} holds class indices 0…{self.num_classes - 1} and the ignore label "
                f"{self.ignore_label}",
                received=f"{sample.mask}: {', '.join(map(str, unknown[:8]))}",
                repair="check the number of classes and the annotation's encoding",
            )
        return Example(sample.name, image, mask)

    def __iter__(self) -> Iterator[Example]:
        """Decode one after the other."""
        return (self[index] for index in range(len(self)))

    def unknown_values(self, mask: Mask) -> list[int]:
        """Values of a mask that are neither a class nor the ignore label."""
        values = np.flatnonzero(np.bincount(mask.ravel()))
        return [int(value) for value in values if value >= self.num_classes and value != self.ignore_label]


def _size(array: NDArray[Any]) -> str:
    return f"{array.shape[1]}×{array.shape[0]}"
