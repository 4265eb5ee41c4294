"""The environments of the libraries that atrous is compared with."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

__all__ = ["REQUIREMENTS", "EnvironmentFailedError", "prepare", "versions"]

# Versions are pinned where a figure in docs/benchmarks.md depends on them.
REQUIREMENTS = {
    "keras_hub": ("keras-hub==0.32.0", "tensorflow==2.21.0"),
    "smp": (
        "segmentation-models-pytorch==0.6.0",
        "onnx>=1.20",
        "onnxscript>=0.6",
        "onnxruntime>=1.31",
        "openvino>=2026.3",
        "nncf>=3.3",
    ),
    "litert_torch": ("segmentation-models-pytorch==0.6.0", "litert-torch==0.10.0"),
}
_SHOWN = (
    *("atrous", "tensorflow", "tf-keras", "keras", "keras-hub", "ai-edge-litert", "numpy", "torch"),
    *("segmentation-models-pytorch", "onnxruntime", "openvino", "nncf", "litert-torch", "torchao"),
)
_RECORD = "requirements.txt"


class EnvironmentFailedError(Exception):
    """An environment could not be made."""


def prepare(name: str, folder: Path) -> Path:
    """Make an environment, unless one with the same requirements is there.

    Args:
        name: a key of `REQUIREMENTS`.
        folder: that holds the environments.

    Returns:
        Its Python.

    Raises:
        EnvironmentFailedError: a package is not to be had for this machine.
    """
    home = folder / name
    python, record = home / "bin" / "python", home / _RECORD
    wanted = "\n".join(REQUIREMENTS[name])
    if python.is_file() and record.is_file() and record.read_text(encoding="utf-8") == wanted:
        return python
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or shutil.which("uv")
    if uv is None:
        raise EnvironmentFailedError("uv is missing: pip install -e '.[dev]'")
    for command in (
        [uv, "venv", "--clear", "--python", sys.executable, str(home)],
        [uv, "pip", "install", "--python", str(python), *REQUIREMENTS[name]],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            words = (done.stderr or done.stdout).strip().splitlines()
            raise EnvironmentFailedError(f"{name}: {words[-1] if words else command}")
    record.write_text(wanted, encoding="utf-8")
    return python


def versions(python: Path) -> dict[str, str]:
    """Versions of the packages that matter in an environment."""
    code = (
        "import importlib.metadata as m, json\n"
        "found = {d.name.lower().replace('_', '-'): d.version for d in m.distributions() if d.name}\n"
        f"print(json.dumps({{n: found[n] for n in {_SHOWN!r} if n in found}}))"
    )
    done = subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)
