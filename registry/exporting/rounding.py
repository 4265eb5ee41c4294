"""Ranges that atrous chooses, and layers that stay in floating point: by way of the model that rounds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from registry.config.quantization import CalibrationConfig, QuantizationConfig
from registry.config.sections import checked_section
from registry.errors import CalibrationError, ExportError, ModelError, nearest
from registry.exporting.modes import Mode
from registry.models.base import ImageSegmenter
from registry.quantization import (
    QuantizedSegmenter,
    calibrated,
    calibration_steps,
    quantized,
)

__all__ = ["METHODS", "CalibrationMethod", "Rounding", "require_calibration", "resolve_rounding"]

CalibrationMethod = Literal["min_max", "percentile", "mse"]
METHODS: tuple[str, ...] = get_args(CalibrationMethod)
"""How ranges are chosen, as `registry.quantize` has it; the first is what the converter does."""


@dataclass(frozen=True)
class Rounding:
    """How a model is made to round before it becomes a file.

    Args:
        config: what is rounded.
        measuring: how the ranges of activations are chosen.
    """

    config: QuantizationConfig
    measuring: CalibrationConfig

    def steps(self, images: int) -> int:
        """Steps that `apply` announces."""
        return calibration_steps(images, self.measuring)

    def apply(
        self, model: ImageSegmenter, images: NDArray[np.uint8], announce: Callable[[str], None]
    ) -> QuantizedSegmenter:
        """Make the model that rounds, its ranges measured on images of one size, uint8 (N, height, width, 3)."""
        result = quantized(model, self.config)
        calibrated(result, images, self.measuring, progress=lambda step, number, total: announce(step))
        return result


_PLAIN = Rounding(QuantizationConfig(), CalibrationConfig())


def _is_clustered(model: Any) -> bool:
    compression = getattr(model, "compression", None)
    return compression is not None and compression.config.clustering is not None


def resolve_rounding(model: Any, mode: Mode, method: str, exclude: Sequence[str]) -> Rounding | None:
    """Find out whether the converter's own quantizer is to be avoided, and whether that is possible.

    Args:
        model: what is exported.
        mode: of the file.
        method: one of `METHODS`.
        exclude: layers that stay in floating point.

    Returns:
        None where the converter measures and rounds as asked for.

    Raises:
        ModelError: an argument is wrong, or the model is none that atrous can make round.
        ExportError: the mode measures nothing, or the model has ranges of its own.
    """
    if method not in METHODS:
        raise ModelError(
            f"`calibration_method` is one of {', '.join(METHODS)}",
            received=method,
            repair=nearest(str(method), METHODS),
        )
    if method == METHODS[0] and not exclude:
        is_clustered = (
            mode.name == "int8" and not isinstance(model, QuantizedSegmenter) and _is_clustered(model)
        )
        # The converter would give each channel of a clustered kernel a scale, and the kernel many more values.
        return _PLAIN if is_clustered else None
    asked = f"calibration_method={method!r}" if method != METHODS[0] else f"exclude={list(exclude)}"
    if not mode.calibrated:
        raise ExportError(
            f"mode {mode.name!r} has no ranges to choose, and no layers to leave out",
            received=asked,
            repair="quantization='int8', or leave it out",
        )
    if isinstance(model, QuantizedSegmenter):
        raise ExportError(
            "a quantized model has ranges of its own, and layers that stay in floating point",
            received=asked,
            repair="pass it to registry.quantize",
        )
    if mode.name != "int8":
        raise ExportError(
            "with 16 bits the converter measures all values of all layers",
            received=asked,
            repair="leave it out: a rare large value costs little there; or quantization='int8'",
        )
    if not isinstance(model, ImageSegmenter):
        raise ModelError(
            "ranges are chosen, and layers left out, for segmenters of atrous",
            received=f"{asked} for a {type(model).__module__}.{type(model).__qualname__}",
            repair="leave it out, or build the model with registry.build",
        )
    return Rounding(
        checked_section(QuantizationConfig, scheme="int8", exclude=tuple(exclude)),
        checked_section(CalibrationConfig, method=method),
    )


def require_calibration(model: Any, mode: Mode, calibration: Any) -> None:
    """Refuse images that nobody would look at, and their absence where they are needed.

    Args:
        model: what is exported.
        mode: of the file.
        calibration: what the user gave.

    Raises:
        CalibrationError: ranges are to be measured, and there is nothing to measure them on.
        ExportError: the images would be ignored.
    """
    if isinstance(model, QuantizedSegmenter):
        _require_own_mode(model, mode, calibration)
    elif mode.calibrated and calibration is None:
        raise CalibrationError(
            f"mode {mode.name!r} needs images, to measure which values occur",
            received="no `calibration`",
            repair="calibration='photos/' (about a hundred images like those that the model will see), a list of "
            "paths, a tf.data.Dataset, or an array (N, height, width, 3); 'dynamic' and 'float16' need none",
        )
    if not mode.calibrated and calibration is not None:
        raise ExportError(
            f"mode {mode.name!r} measures nothing, so `calibration` would be ignored",
            received=f"calibration and quantization={mode.name!r}",
            repair="quantization='int8', or leave `calibration` out",
        )


def _require_own_mode(model: QuantizedSegmenter, mode: Mode, calibration: Any) -> None:
    """A model that rounds says itself to what; with 16 bits, the converter still wants to measure."""
    scheme = model.placement.config.scheme
    if mode.name != scheme:
        raise ExportError(
            "a quantized model is exported as what it rounds to",
            received=f"quantization={mode.name!r} for a model of scheme {scheme!r}",
            repair=f"quantization={scheme!r}, or export the model in floating point that it was made of",
        )
    if scheme == "int8" and calibration is not None:
        raise ExportError(
            "a quantized model has ranges of its own, so `calibration` would be ignored",
            received="calibration",
            repair="leave it out; registry.quantize measured the ranges, and training went on with them",
        )
    if scheme == "int16x8" and model.float_layers:
        raise ExportError(
            "a file of 16 bits has no layers in floating point",
            received=f"a model that leaves out {', '.join(model.float_layers[:8])}",
            repair="registry.quantize(model, 'int16x8', …) without `exclude`, or scheme 'int8'",
        )
    if scheme == "int16x8" and calibration is None:
        raise CalibrationError(
            "the converter measures the ranges of 16 bits on images",
            received="no `calibration`",
            repair="calibration='photos/', as for a model in floating point",
        )
