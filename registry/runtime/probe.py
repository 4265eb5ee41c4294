"""The child process of `modelfile.probe_in_child`: load a model and run it once.

python -P -m registry.runtime.probe
"""

from __future__ import annotations

from pathlib import Path

from registry.runtime.child import serve
from registry.runtime.interpreter import open_interpreter, run_on_zeros

__all__ = ["run_once"]


def run_once(path: str, size: list[int] | None, num_threads: int) -> None:
    """Load a model and run it on a black image.

    Args:
        path: the `.tflite` file, absolute.
        size: height and width to resize the input to; None keeps those of the file.
        num_threads: threads of the interpreter.

    Raises:
        RegistryError: the model does not load or run.
    """
    model = open_interpreter(Path(path), (size[0], size[1]) if size else None, num_threads)
    run_on_zeros(model, Path(path))


if __name__ == "__main__":
    serve({"run once": run_once})
