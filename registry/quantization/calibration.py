"""Which values occur: ranges of activations, measured on images before anything is rounded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from registry.backend import tf
from registry.config.quantization import CalibrationConfig
from registry.errors import QuantizationError
from registry.quantization.wrapper import RESULT, QuantizedLayer

__all__ = ["calibrate"]

_BINS = 2048
_SHARES = np.linspace(0.01, 1.0, 100)
"""Parts of the whole range that are tried for the smallest error."""


@dataclass
class _Tensor:
    """Tensors of one range.

    Args:
        name: of one of them, for messages.
        variables: of the range.
        bits: that they are rounded to.
        result: the range of the whole layer's result.
        is_seen: whether one occurred on the images.
    """

    name: str
    variables: dict[str, Any]
    bits: int
    result: Any
    is_seen: bool = False
    low: float = np.inf
    high: float = -np.inf
    counts: NDArray[np.int64] = field(default_factory=lambda: np.zeros(_BINS, np.int64))

    def see(self, value: Any) -> None:
        self.is_seen = True
        self.low = min(self.low, float(tf.reduce_min(value)))
        self.high = max(self.high, float(tf.reduce_max(value)))

    def count(self, value: Any) -> None:
        if self.high > self.low:
            self.counts += tf.histogram_fixed_width(value, [self.low, self.high], nbins=_BINS).numpy()


def calibrate(
    model: Any,
    images: Iterable[NDArray[Any]],
    config: CalibrationConfig,
    *,
    announce: Callable[[str], None] = lambda step: None,
) -> None:
    """Set the ranges of a quantized segmenter by what its model computes in floating point.

    - `min_max`: from the smallest to the largest value of all images, as TFLite's converter does it.
    - `percentile`: such that this share of the values lies within, cut off at both ends alike.
    - `mse`: such that the expected squared error of rounding and clipping is smallest, by the values' histogram.

    A result in between that occurs at other image sizes only, as of pooling whose bins divide the map at this one, gets
    the range of its layer's result.

    Args:
        model: a `QuantizedSegmenter`.
        images: batches of pixels in 0…255 (batch, height, width, 3).
        config: how.
        announce: told of each batch.

    Raises:
        QuantizationError: there are no images, or a tensor is not finite.
    """
    batches = list(images)
    if not batches:
        raise QuantizationError(
            "calibration needs images",
            received="none",
            repair="pass about a hundred images like those that the model will see",
        )
    tensors = _tensors(model.rounding_layers.values())
    _run(model, batches, tensors, _Tensor.see, announce)
    seen = [tensor for tensor in tensors.values() if tensor.is_seen]
    damaged = [tensor.name for tensor in seen if not np.isfinite([tensor.low, tensor.high]).all()]
    if damaged:
        raise QuantizationError(
            "what a model computes on calibration images must be finite",
            received=f"NaN or infinity in {', '.join(damaged[:8])}",
            repair="check the weights and the images",
        )
    if config.method != "min_max":
        _run(model, batches, tensors, _Tensor.count, announce)
    for tensor in tensors.values():
        low, high = _chosen(tensor if tensor.is_seen else tensors[tensor.result], config)
        tensor.variables["min"].assign(low)
        tensor.variables["max"].assign(high)


def _tensors(layers: Iterable[QuantizedLayer]) -> dict[Any, _Tensor]:
    """Reference of a range's variable → the tensors that have it."""
    found: dict[Any, _Tensor] = {}
    for layer in layers:
        for name, variables in layer.ranges.items():
            tensor = _Tensor(
                f"{layer.name}, {name}",
                variables,
                layer.observers[name].bits,
                layer.ranges[RESULT]["min"].ref(),
            )
            found.setdefault(variables["min"].ref(), tensor)
    return found


def _run(
    model: Any,
    batches: list[NDArray[Any]],
    tensors: dict[Any, _Tensor],
    look: Callable[[_Tensor, Any], None],
    announce: Callable[[str], None],
) -> None:
    """Run the model without rounding, layer by layer, and look at every result."""
    with _watched(model.rounding_layers.values(), tensors, look):
        for number, batch in enumerate(batches, 1):
            announce(f"calibrating, batch {number} of {len(batches)}")
            pixels = tf.cast(tf.constant(batch), tf.float32)
            inputs = pixels if model.preprocessor is None else model.preprocessor.scaled(pixels)
            model(inputs, training=False)


@contextmanager
def _watched(
    layers: Iterable[QuantizedLayer], tensors: dict[Any, _Tensor], look: Callable[[_Tensor, Any], None]
) -> Iterator[None]:
    watched = list(layers)
    for layer in watched:
        layer.watch = lambda variables, value: look(tensors[variables["min"].ref()], value)
    try:
        yield
    finally:
        for layer in watched:
            layer.watch = None


def _chosen(tensor: _Tensor, config: CalibrationConfig) -> tuple[float, float]:
    if config.method == "min_max" or tensor.high <= tensor.low:
        return tensor.low, tensor.high
    edges = np.linspace(tensor.low, tensor.high, _BINS + 1)
    if config.method == "percentile":
        return _percentile(tensor.counts, edges, config.percentile)
    return _smallest_error(tensor.counts, edges, tensor.bits)


def _percentile(
    counts: NDArray[np.int64], edges: NDArray[np.float64], percentile: float
) -> tuple[float, float]:
    """The range without half of the rest at each end, to a bin."""
    below = np.cumsum(counts) / counts.sum()
    rest = (1.0 - percentile / 100.0) / 2.0
    first = int(np.searchsorted(below, rest, side="right"))
    last = int(np.searchsorted(below, 1.0 - rest, side="left"))
    return float(edges[first]), float(edges[min(last + 1, len(edges) - 1)])


def _smallest_error(counts: NDArray[np.int64], edges: NDArray[np.float64], bits: int) -> tuple[float, float]:
    """The part of the range with the smallest expected error; zero stays in it, and a side that is zero stays so."""
    centres, weights = (edges[:-1] + edges[1:]) / 2, counts / counts.sum()
    low, high = min(edges[0], 0.0), max(edges[-1], 0.0)
    best, chosen = np.inf, (low, high)
    for share in _SHARES:
        bottom, top = share * low, share * high
        if bits == 16:
            top = max(-bottom, top)
            bottom = -top
        step = max(top - bottom, 1e-12) / (2**bits - 1)
        clipped = np.clip(centres, bottom, top)
        # Within the range, rounding errs evenly up to half a step; beyond it, by the distance.
        error = float(np.sum(weights * (centres - clipped) ** 2)) + step**2 / 12.0
        if error < best:
            best, chosen = error, (share * low, share * high)
    return float(chosen[0]), float(chosen[1])
