"""The report that is written beside a file: what it consists of, who runs it, how fast, how exactly."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from registry.exporting.report import ExportReport
from registry.exporting.serving import Reference
from registry.inspection import (
    Comparison,
    Report,
    benchmark,
    inspect_delegates,
    inspect_model,
    layer_errors,
    write_report,
)
from registry.runtime import Segmenter

__all__ = ["report_base", "write_evidence"]

_LATENCY_RUNS = 10
_LATENCY_SECONDS = 10.0


def report_base(path: Path) -> Path:
    """Path of the report without its suffix: `m.report` for `m.tflite`."""
    return path.with_suffix(".report")


def write_evidence(
    report: ExportReport,
    images: Iterable[NDArray[np.float32]],
    reference: Reference,
    *,
    float_content: Callable[[], bytes] | None,
    palette: Any = None,
) -> tuple[Path, Path]:
    """Write `<name>.report.json` and `<name>.report.html` beside an exported file.

    Args:
        report: on the file, which is in its place.
        images: float32 (1, height, width, 3) in 0…255, at the file's input size.
        reference: the Keras model, pixels → logits.
        float_content: makes the float file of the same graph, to compare layer by layer; None leaves that out.
        palette: RGB colour per class; None takes Pascal VOC's.

    Returns:
        The paths of the JSON file and of the page.

    Raises:
        OutputPathError: a path cannot be written.
    """
    pixels = [np.rint(image) for image in images]
    segmenter = Segmenter(report.path, trusted=True)
    pictures = [
        Comparison(
            name=f"image {number}",
            image=image[0].astype(np.uint8),
            reference=_classes(reference(image)),
            quantized=segmenter.predict(image[0].astype(np.uint8)),
            palette=palette,
        )
        for number, image in enumerate(pixels, start=1)
    ]
    layers = () if float_content is None else layer_errors(float_content(), report.path.read_bytes(), pixels)
    inspection = inspect_model(report.path)
    return write_report(
        report_base(report.path),
        Report(
            inspection=inspection,
            delegates=inspect_delegates(report.path, inspection),
            export=report.to_dict(),
            latency=benchmark([report.path], runs=_LATENCY_RUNS, seconds=_LATENCY_SECONDS),
            pictures=pictures,
            layers=layers,
        ),
    )


def _classes(logits: NDArray[np.float32]) -> NDArray[Any]:
    """Class per pixel; one plane of logits is a binary mask."""
    return logits[0].argmax(-1) if logits.shape[-1] > 1 else (logits[0, ..., 0] > 0).astype(np.int64)
