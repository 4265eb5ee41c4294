"""Run a converted file beside the Keras model and measure how far apart they are."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from registry.errors import ExportError
from registry.exporting.report import ParityReport

__all__ = ["compare", "probe_images"]

# Largest difference that float32 arithmetic in another order explains, in standard deviations of the output.
_FLOAT_TOLERANCE = 1e-3


def probe_images(height: int, width: int) -> Iterator[np.ndarray]:
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
    content: bytes, reference: Callable[[np.ndarray], np.ndarray], *, height: int, width: int
) -> ParityReport:
    """Compare a float file with the model it came from.

    Args:
        content: the bytes of the `.tflite` file.
        reference: the Keras model on float32 pixels (1, height, width, 3).
        height: input height in pixels.
        width: input width in pixels.

    Returns:
        The differences over all probe images.

    Raises:
        ExportError: an output is not finite, or the outputs differ by more than float rounding explains.
    """
    interpreter = Interpreter(model_content=content, num_threads=os.cpu_count() or 1)
    interpreter.allocate_tensors()
    (source,), (result,) = interpreter.get_input_details(), interpreter.get_output_details()
    differences, expected, agreement = [], [], []
    for image in probe_images(height, width):
        interpreter.set_tensor(source["index"], image)
        interpreter.invoke()
        converted = interpreter.get_tensor(result["index"])
        wanted = reference(image)
        if not np.isfinite(converted).all() or not np.isfinite(wanted).all():
            raise ExportError(
                "the model must give finite outputs for pixels in 0…255",
                received="NaN or Inf in the outputs",
                repair="check the weights for NaN, and the preset's normalization",
            )
        differences.append(np.abs(converted - wanted))
        expected.append(wanted)
        agreement.append(float((converted.argmax(-1) == wanted.argmax(-1)).mean()))
    report = ParityReport(
        images=len(expected),
        max_abs=float(max(difference.max() for difference in differences)),
        mean_abs=float(np.mean([difference.mean() for difference in differences])),
        reference_std=float(np.std(expected)),
        mask_agreement=float(np.mean(agreement)),
    )
    if report.relative > _FLOAT_TOLERANCE:
        raise ExportError(
            f"the file must compute what the Keras model computes, within {_FLOAT_TOLERANCE:g} standard deviations",
            received=f"a largest difference of {report.max_abs:.3g}, {report.relative:.3g} standard deviations",
            repair="report the model: a layer of it converts wrongly",
        )
    return report
