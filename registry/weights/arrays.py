"""An array that stays in its file until it is asked for: a model and its weights need not both be in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

__all__ = ["Arrays", "HasShape", "StoredArray", "stored"]


class HasShape(Protocol):
    """An array, or what becomes one when NumPy asks for it."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Known without reading the values."""


# Layer or parameter name → its arrays, in the order of the layer's variables.
Arrays = Mapping[str, Sequence[HasShape]]


@dataclass(frozen=True, eq=False)
class StoredArray:
    """An array that is read each time it is asked for, and not kept.

    Args:
        shape: its shape, known without reading.
        read: reads it; the result has that shape.
        dtype: type of its values, where known without reading.
    """

    shape: tuple[int, ...]
    read: Callable[[], np.ndarray]
    dtype: np.dtype | None = None

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """Read it, as NumPy's protocol asks."""
        return np.asarray(self.read(), dtype=dtype)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    def transpose(self, *axes: int) -> StoredArray:
        """The same array with its axes in another order, still unread.

        Args:
            *axes: a permutation of the axes; none of them reverses their order.
        """
        order = axes or tuple(reversed(range(self.ndim)))
        shape = tuple(self.shape[axis] for axis in order)
        return StoredArray(shape, lambda: np.transpose(self.read(), order), self.dtype)

    def reshape(self, *shape: int) -> StoredArray:
        """The same values in another shape, still unread.

        Args:
            *shape: all of its extents; none is inferred.
        """
        if np.prod(shape, dtype=int) != np.prod(self.shape, dtype=int):
            raise ValueError(f"cannot reshape {self.shape} into {shape}")
        return StoredArray(tuple(shape), lambda: np.reshape(self.read(), shape), self.dtype)


def stored(array: Any) -> StoredArray:
    """Any array as a `StoredArray`; one of these is returned as it is."""
    if isinstance(array, StoredArray):
        return array
    return StoredArray(tuple(array.shape), lambda: np.asarray(array), getattr(array, "dtype", None))
