"""Which kernels of a model can be pruned and clustered, and which of their axes are channels.

The table is that of tensorflow-model-optimization, by base class: its own goes by the exact class, so that it refuses
every atrous convolution. Depthwise kernels are not in it, as in its: they are a hundredth of the weights, and each
channel has only nine.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from registry.backend import keras, tf
from registry.errors import CompressionError, nearest

__all__ = [
    "Kernel",
    "KernelFacts",
    "kernel_attribute",
    "kernel_facts",
    "kernels_of",
    "matches",
    "require_names",
]


@dataclass(frozen=True)
class _Place:
    """Where a layer has its kernel: attribute, axis of input channels, axis of output channels."""

    attribute: str
    inputs: int
    outputs: int


_PLACES: dict[type, _Place | None] = {
    keras.layers.Dense: _Place("kernel", 0, 1),
    keras.layers.Conv2D: _Place("kernel", 2, 3),
    keras.layers.Conv2DTranspose: _Place("kernel", 3, 2),
    keras.layers.SeparableConv2D: _Place("pointwise_kernel", 2, 3),
    keras.layers.DepthwiseConv2D: None,
}


@dataclass(frozen=True, eq=False)
class Kernel:
    """One kernel.

    Args:
        layer: name of its layer.
        variable: its values.
        inputs: axis of the input channels.
        outputs: axis of the output channels.
    """

    layer: str
    variable: Any
    inputs: int
    outputs: int

    @property
    def input_channels(self) -> int:
        """Number of input channels, of one group."""
        return int(self.variable.shape[self.inputs])

    def matrices(self, values: Any) -> Any:
        """Values of the kernel's shape as (taps, output channels, input channels), as a file has them."""
        moved = tf.transpose(values, self._order)
        return tf.reshape(moved, (-1, *moved.shape[-2:]))

    def from_matrices(self, matrices: Any) -> Any:
        """What `matrices` gave, in the kernel's own shape."""
        order = self._order
        moved = tf.reshape(matrices, [self.variable.shape[axis] for axis in order])
        return tf.transpose(moved, [order.index(axis) for axis in range(len(order))])

    @property
    def _order(self) -> list[int]:
        channels = (self.outputs, self.inputs)
        return [axis for axis in range(self.variable.shape.rank) if axis not in channels] + list(channels)


@dataclass(frozen=True)
class KernelFacts:
    """What a kernel consists of.

    Args:
        layer: name of its layer.
        shape: as the layer has it.
        sparsity: share of zeros.
        values: number of different values.
    """

    layer: str
    shape: tuple[int, ...]
    sparsity: float
    values: int


def kernel_facts(model: Any) -> tuple[KernelFacts, ...]:
    """What the kernels of a model consist of, in the order of its layers."""
    return tuple(_facts(kernel) for kernel in _found(model.layers))


def kernel_attribute(layer: type) -> str | None:
    """Name of the attribute that holds the kernel of a layer of that class; None where there is none to compress."""
    place = _place(layer)
    return None if place is None else place.attribute


def kernels_of(model: Any, exclude: Iterable[str], *, strict: bool = True) -> list[Kernel]:
    """The kernels of a model, without those of excluded layers.

    Args:
        model: flat functional model; layers may be wrapped.
        exclude: names of layers, or patterns with `*` and `?`.
        strict: whether layers whose weights are not known must be excluded.

    Raises:
        CompressionError: a layer has weights that are not known here.
    """
    excluded = {layer.name for layer in model.layers if matches(layer.name, exclude)}
    if strict:
        unknown = [layer for layer in model.layers if layer.name not in excluded and not _is_known(layer)]
        if unknown:
            names = [layer.name for layer in unknown]
            raise CompressionError(
                "kernels are pruned and clustered in convolutions and dense layers",
                received="; ".join(f"{layer.name}: {type(_bare(layer)).__name__}" for layer in unknown[:12]),
                repair=f"keep what else has weights as it is: exclude={names}",
            )
    return [kernel for kernel in _found(model.layers) if kernel.layer not in excluded]


def require_names(model: Any, exclude: Iterable[str]) -> None:
    """Refuse a pattern that names no layer.

    Raises:
        CompressionError: there is one.
    """
    names = [layer.name for layer in model.layers]
    for pattern in exclude:
        if not any(matches(name, (pattern,)) for name in names):
            raise CompressionError(
                "`exclude` names layers of the model, or patterns that match some",
                received=pattern,
                repair=nearest(pattern, names),
            )


def matches(name: str, patterns: Iterable[str]) -> bool:
    """Whether a name is one of these, or fits one of these patterns."""
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _found(layers: Iterable[Any]) -> Iterator[Kernel]:
    for layer in layers:
        place = _place(type(_bare(layer)))
        if place is not None:
            variable = getattr(_bare(layer), place.attribute)
            yield Kernel(layer.name, variable, place.inputs, place.outputs)


def _facts(kernel: Kernel) -> KernelFacts:
    values = kernel.variable.numpy()
    return KernelFacts(kernel.layer, values.shape, float(np.mean(values == 0)), int(np.unique(values).size))


def _bare(layer: Any) -> Any:
    return layer.layer if isinstance(layer, keras.layers.Wrapper) else layer


def _place(layer: type) -> _Place | None:
    return next((_PLACES[base] for base in layer.__mro__ if base in _PLACES), None)


def _is_known(layer: Any) -> bool:
    bare = _bare(layer)
    if any(base in _PLACES for base in type(bare).__mro__):
        return True
    # Scales and offsets are one number for each channel.
    return all(np.sum(np.array(variable.shape) > 1) < 2 for variable in bare.trainable_weights)
