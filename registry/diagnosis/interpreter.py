"""Whether a `.tflite` file runs here, shown by running one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from importlib.resources import as_file, files

import numpy as np

from registry.diagnosis.finding import Finding
from registry.diagnosis.packages import version_of
from registry.errors import RegistryError

__all__ = ["SMALLEST", "examine_interpreter"]

SMALLEST = "smallest.tflite"
"""One convolution that gives class 1 where red exceeds green, for images of 8 × 8 pixels."""


def examine_interpreter() -> Iterator[Finding]:
    """Run a file of one convolution as `registry.Segmenter` runs any: first in a child process."""
    started = time.perf_counter()
    try:
        from registry.runtime import Segmenter

        with as_file(files("registry.diagnosis") / SMALLEST) as path:
            mask = Segmenter(path, num_threads=1).segment(_half_red())
    except (RegistryError, ImportError, OSError) as error:
        yield _problem(f"it does not run a file of one convolution: {' '.join(str(error).split())}")
        return
    if not (mask == (np.arange(8) < 4)).all():
        yield _problem("it runs a file of one convolution and gives a wrong answer")
        return
    yield Finding(
        area="interpreter",
        subject="ai-edge-litert",
        status="ok",
        detail=f"{version_of('ai-edge-litert')} runs a file of one convolution, in a child process and in this one, "
        f"in {time.perf_counter() - started:.1f} s",
    )


def _half_red() -> np.ndarray:
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[:, :4, 0] = pixels[:, 4:, 1] = 200
    return pixels


def _problem(detail: str) -> Finding:
    return Finding(
        area="interpreter",
        subject="ai-edge-litert",
        status="problem",
        detail=detail,
        repair="pip install --force-reinstall 'ai-edge-litert>=2.3,<3'",
    )
