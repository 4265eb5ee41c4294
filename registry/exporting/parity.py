"""Run a converted file beside the Keras model and measure how far apart they are."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from registry.errors import ExportError
from registry.exporting.modes import Mode, OutputKind
from registry.exporting.report import ParityReport
from registry.exporting.serving import Reference, Squashing

__all__ = ["compare", "probe_images"]

# Largest difference that float32 arithmetic in another order explains, in standard deviations of the output.
_FLOAT_TOLERANCE = 1e-3
# Smallest share of equal pixels of two float masks: where two classes tie, rounding decides.
_FLOAT_AGREEMENT = 0.99
# A quantized file whose outputs follow the model's less than this computes something else.
_LEAST_CORRELATION = 0.5
# Spread of scores over the image below which there is nothing to follow; int8 probabilities have steps of 1/256.
_FLAT: dict[OutputKind, float] = {"logits": 0.0, "probabilities": 0.02}

Image = NDArray[np.float32]


def probe_images(height: int, width: int) -> Iterator[Image]:
    """Yield images that need no file: smooth colour ramps with edges, and noise.

    Args:
        height: in pixels.
        width: in pixels.

    Yields:
        float32 (1, height, width, 3) in 0…255, the same ones each time.
    """
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    ramps = np.stack([rows / height, columns / width, (rows + columns) / (height + width)], axis=-1) * 255
    ramps[height // 4 : height // 2, width // 4 : width // 2] = (255, 32, 0)
    yield ramps[None].astype(np.float32)
    yield np.random.default_rng(0).uniform(0, 255, (1, height, width, 3)).astype(np.float32)


def compare(
    content: bytes,
    reference: Reference,
    images: Iterable[Image],
    *,
    mode: Mode,
    output: OutputKind,
    squashing: Squashing,
    exact_mask: bool = True,
) -> ParityReport:
    """Compare a file with the model it came from.

    Args:
        content: the bytes of the `.tflite` file.
        reference: the Keras model, pixels → logits.
        images: float32 (1, height, width, 3) in 0…255; rounded where the file takes integers.
        mode: of the file; float32 must agree up to rounding, other modes must not be garbage.
        output: of the file.
        squashing: what makes probabilities of logits.
        exact_mask: whether the mask is decided at full resolution.

    Returns:
        The differences over all images.

    Raises:
        ExportError: an output is not finite, or differs by more than the mode explains.
    """
    run = _Runner(content)
    got, wanted = [], []
    for image in images:
        pixels = np.rint(image) if run.integer else image
        logits = reference(pixels)
        scores = run(pixels)
        if not np.isfinite(scores).all() or not np.isfinite(logits).all():
            raise ExportError(
                "the model must give finite outputs for pixels in 0…255",
                received="NaN or Inf in the outputs",
                repair="check the weights for NaN, and the preset's normalization",
            )
        got.append(scores)
        wanted.append(_wanted(logits, output, squashing))
    converted, expected = np.concatenate(got), np.concatenate(wanted)
    if output == "mask":
        report = _mask_report(converted, expected)
        _require_mask(report, mode, exact_mask)
        return report
    report = _score_report(converted, expected, 0.5 if output == "probabilities" else 0.0)
    if mode.name == "float32":
        _require_equal(report)
    else:
        _require_correlated(converted, expected, _FLAT[output])
    return report


class _Runner:
    """The file as a function from pixels to class indices, or to scores with their quantization undone."""

    def __init__(self, content: bytes) -> None:
        self._interpreter = Interpreter(model_content=content, num_threads=os.cpu_count() or 1)
        self._interpreter.allocate_tensors()
        (self._source,), (self._result,) = (
            self._interpreter.get_input_details(),
            self._interpreter.get_output_details(),
        )

    @property
    def integer(self) -> bool:
        return np.dtype(self._source["dtype"]).kind in "iu"

    def __call__(self, pixels: Image) -> NDArray[Any]:
        shift = 128 if self._source["dtype"] == np.int8 else 0
        self._interpreter.set_tensor(self._source["index"], (pixels - shift).astype(self._source["dtype"]))
        self._interpreter.invoke()
        raw: NDArray[Any] = self._interpreter.get_tensor(self._result["index"])
        scale, zero_point = self._result["quantization"]
        return (raw.astype(np.float32) - zero_point) * np.float32(scale) if scale else raw


def _wanted(logits: NDArray[np.float32], output: OutputKind, squashing: Squashing) -> NDArray[Any]:
    if output == "logits":
        return logits
    if output == "mask":
        return _decided(logits, 0.0)
    if squashing == "sigmoid":
        return 1 / (1 + np.exp(-logits))
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def _decided(scores: NDArray[Any], threshold: float) -> NDArray[Any]:
    """Class indices (n, height, width); of a single plane, where it exceeds the threshold."""
    return scores.argmax(-1) if scores.shape[-1] > 1 else (scores[..., 0] > threshold).astype(np.int64)


def _score_report(converted: NDArray[Any], expected: NDArray[Any], threshold: float) -> ParityReport:
    difference = np.abs(converted - expected)
    masks = _mask_report(_decided(converted, threshold), _decided(expected, threshold))
    return ParityReport(
        images=len(expected),
        max_abs=float(difference.max()),
        mean_abs=float(difference.mean(dtype=np.float64)),
        reference_std=float(expected.std(dtype=np.float64)),
        mask_agreement=masks.mask_agreement,
        mask_pixels=masks.mask_pixels,
        mask_differences=masks.mask_differences,
    )


def _mask_report(converted: NDArray[Any], expected: NDArray[Any]) -> ParityReport:
    differs = converted != expected
    count = int(differs.sum())
    return ParityReport(
        images=len(expected),
        max_abs=float(count > 0),
        mean_abs=count / expected.size,
        reference_std=1.0,
        mask_agreement=1 - count / expected.size,
        mask_pixels=expected.size,
        mask_differences=count,
    )


def _require_equal(report: ParityReport) -> None:
    if report.relative > _FLOAT_TOLERANCE:
        raise ExportError(
            f"the file must compute what the Keras model computes, within {_FLOAT_TOLERANCE:g} standard deviations",
            received=f"a largest difference of {report.max_abs:.3g}, {report.relative:.3g} standard deviations",
            repair="report the model: a layer of it converts wrongly",
        )


def _require_correlated(converted: NDArray[Any], expected: NDArray[Any], least_spread: float) -> None:
    """Over the image, class by class: the classes' means alone would correlate already."""
    followed, wanted = _centred(converted), _centred(expected)
    if wanted.std() <= least_spread:
        return  # a model that gives one value has nothing to follow
    correlation = float(np.corrcoef(followed, wanted)[0, 1]) if followed.std() else 0.0
    if not correlation >= _LEAST_CORRELATION:
        raise ExportError(
            f"a quantized file must follow the Keras model, with a correlation of at least {_LEAST_CORRELATION}",
            received=f"a correlation of {correlation:.2f}" if correlation else "one value everywhere",
            repair="calibrate with images like those that the model was trained on, or choose float16",
        )


def _centred(scores: NDArray[Any]) -> NDArray[np.float64]:
    values = scores.reshape(-1, scores.shape[-1]).astype(np.float64)
    return (values - values.mean(0)).ravel()


def _require_mask(report: ParityReport, mode: Mode, exact: bool) -> None:
    least = _FLOAT_AGREEMENT if mode.name == "float32" and exact else 0.0
    if report.mask_agreement <= least:
        raise ExportError(
            "the file must give the masks that the Keras model gives",
            received=f"{report.mask_agreement:.2%} of the pixels agree",
            repair="calibrate with images like those that the model was trained on, or choose float16",
        )
