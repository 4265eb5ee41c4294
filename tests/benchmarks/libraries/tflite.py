"""What is measured of a `.tflite` file, whoever wrote it: no framework is imported."""

from __future__ import annotations

from pathlib import Path

from tests.benchmarks.task import Task


def import_library() -> None:
    """The interpreter and NumPy."""
    import numpy  # noqa: F401, ICN001
    from ai_edge_litert.interpreter import Interpreter  # noqa: F401


load = import_library


def run_file(path: str, threads: int) -> Task:
    """Run a file on noise."""
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=path, num_threads=threads)
    interpreter.allocate_tensors()
    (source,) = interpreter.get_input_details()
    pixels = np.random.default_rng(0).integers(0, 256, source["shape"])
    interpreter.set_tensor(source["index"], pixels.astype(source["dtype"]))
    return Task(interpreter.invoke, {"megabytes": Path(path).stat().st_size / 1e6})
