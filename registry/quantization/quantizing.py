"""`quantize`: a model in floating point → one that computes as its integer file will."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from registry.calibration import DEFAULT_LIMIT, calibration_images
from registry.compression import hold_alike
from registry.config import PresetConfig
from registry.config.quantization import CalibrationConfig, QuantizationConfig
from registry.config.sections import checked_section
from registry.discovery import load_architecture, load_plugin
from registry.errors import QuantizationError
from registry.models.base import ImageSegmenter
from registry.progress import Progress, progress_display
from registry.quantization.aware import place
from registry.quantization.calibration import calibrate
from registry.quantization.rules import Rules
from registry.quantization.segmenter import QuantizedSegmenter

__all__ = ["calibrated", "calibration_steps", "quantize", "quantized"]

_BATCH = 4
"""Images that are looked at together in calibration."""


def quantize(
    model: ImageSegmenter,
    scheme: str = "int8",
    *,
    calibration: Any,
    calibration_limit: int = DEFAULT_LIMIT,
    method: str = "min_max",
    percentile: float = 99.99,
    exclude: Sequence[str] = (),
    rules: Rules | None = None,
    size: tuple[int, int] | None = None,
    progress: Progress = None,
) -> QuantizedSegmenter:
    """Make a model that rounds as its quantized file will, to be trained on (arXiv:1712.05877) or exported as it is.

    It is the model's inference form: batch normalizations are folded into convolutions. Kernels are rounded with a
    scale for each output channel, activations with one for each tensor, whose range starts at what calibration
    measures. Before any training it computes what a file of post-training quantization computes.

    Of a pruned model, zeros stay zeros; of a clustered one, equal values stay equal, and each kernel has one scale.

    Args:
        model: a segmenter of atrous with trained weights.
        scheme: `int8`; or `int16x8`, int16 activations and int8 weights.
        calibration: images that show which values occur, as for `registry.export`.
        calibration_limit: largest number of them to use.
        method: how ranges are chosen: `min_max`, `percentile` or `mse` (see `registry.quantization.calibration`).
        percentile: share of the values within the range, in percent, for that method.
        exclude: layers of the inference form that stay in floating point; names, or patterns with `*` and `?`.
        rules: layer class → rule, for layers that neither atrous nor a plugin has one for.
        size: height and width that calibration images are resized to; None takes the preset's.
        progress: None shows progress in a terminal; True or False always or never.

    Returns:
        A `QuantizedSegmenter` with the model's weights, its preprocessor and its preset.

    Raises:
        QuantizationError: a layer cannot be quantized; names it, with the way out.
        CalibrationError: images that would spoil the ranges, or none.
        ModelError: `model` is no segmenter of atrous, or another argument does not fit.
    """
    config = checked_section(QuantizationConfig, scheme=scheme, exclude=tuple(exclude))
    measuring = checked_section(
        CalibrationConfig, images=calibration_limit, method=method, percentile=percentile
    )
    result = quantized(model, config, rules=rules)
    images = calibration_images(calibration, size or _own_size(model), limit=calibration_limit)
    calibrated(result, images, measuring, progress=progress)
    return result


def quantized(
    model: ImageSegmenter,
    config: QuantizationConfig,
    *,
    rules: Rules | None = None,
    momentum: float = 0.99,
) -> QuantizedSegmenter:
    """Make the model that rounds, whose ranges nobody has measured yet.

    Args:
        model: a segmenter of atrous.
        config: what it is quantized to.
        rules: of layers that are known to nobody else.
        momentum: of observers in training.

    Raises:
        QuantizationError: the model rounds already, or a layer cannot be quantized.
    """
    if isinstance(model, QuantizedSegmenter):
        raise QuantizationError(
            "a model is quantized once",
            received=f"{model.name}, which rounds to {model.placement.config.scheme} already",
            repair="quantize the model in floating point that it was made of",
        )
    known = {**_plugin_rules(model.preset_config), **(rules or {})}
    result = QuantizedSegmenter(model, place(model, config, known, momentum=momentum))
    hold_alike(result, model)
    return result


def calibrated(
    model: QuantizedSegmenter,
    images: NDArray[np.uint8],
    config: CalibrationConfig,
    *,
    progress: Progress = None,
) -> None:
    """Measure the ranges of a quantized segmenter on images of one size, uint8 (N, height, width, 3)."""
    with progress_display(progress, calibration_steps(len(images), config)) as announce:
        calibrate(model, _batches(images), config, announce=announce)


def calibration_steps(images: int, config: CalibrationConfig) -> int:
    """Steps that `calibrated` announces for so many images."""
    passes = 1 if config.method == "min_max" else 2
    return passes * -(-images // _BATCH)


def _batches(images: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
    for start in range(0, len(images), _BATCH):
        yield images[start : start + _BATCH]


def _plugin_rules(config: PresetConfig | None) -> Rules:
    """What the plugins of a model say of their own layers."""
    if config is None:
        return {}
    encoder = load_plugin(config.encoder.plugin).quantization_rules()
    return {**encoder, **load_architecture(config.architecture.name).quantization_rules()}


def _own_size(model: ImageSegmenter) -> tuple[int, int]:
    """The size that the model is fixed to, or that its preset names."""
    height, width = model.input_shape[1:3]
    if height is not None and width is not None:
        return height, width
    if model.preset_config is None:
        raise QuantizationError(
            "calibration images need a size",
            received="a model of open size, without a preset that names one",
            repair="size=(512, 512)",
        )
    return model.preset_config.input.size
