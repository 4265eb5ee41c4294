"""The one place that imports TensorFlow, and that says which Keras is *the* Keras.

`from registry.backend import keras, tf` gives the supported TensorFlow and tf-keras (Keras 2).
`tf.keras` is never used: depending on the environment it is Keras 2 or Keras 3.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import re
from types import ModuleType
from typing import Any

from registry.errors import EnvironmentUnsupportedError, ModelError

__all__ = ["SUPPORTED", "keras", "require_keras_model", "tf"]

SUPPORTED: dict[str, tuple[tuple[int, int], tuple[int, int]]] = {
    # module: (lowest, first unsupported); keep equal to the ranges in pyproject.toml
    "tensorflow": ((2, 21), (2, 22)),
    "tf_keras": ((2, 21), (2, 22)),
}


def _supported_range(module: str) -> str:
    low, high = SUPPORTED[module]
    return f">={low[0]}.{low[1]},<{high[0]}.{high[1]}"


def _check_version(module: str, version: str) -> None:
    match = re.match(r"(\d+)\.(\d+)", version)
    number = (int(match[1]), int(match[2])) if match else (0, 0)
    low, high = SUPPORTED[module]
    if not low <= number < high:
        requirement = module.replace("_", "-") + _supported_range(module)
        raise EnvironmentUnsupportedError(
            f"atrous is tested with {requirement} and refuses other versions",
            received=f"{module} {version}",
            repair=f"pip install '{requirement}'",
        )


def _import(module: str) -> ModuleType:
    # The version is read from metadata first: an unsupported TensorFlow may crash while importing.
    try:
        _check_version(module, importlib.metadata.version(module.replace("_", "-")))
    except importlib.metadata.PackageNotFoundError:
        pass  # tensorflow-cpu, a nightly or a source build: asked again after the import
    try:
        imported = importlib.import_module(module)
    except ImportError as error:
        requirement = module.replace("_", "-") + _supported_range(module)
        raise EnvironmentUnsupportedError(
            f"building, training and exporting need {module}, which could not be imported",
            received=str(error),
            repair=f"pip install '{requirement}'",
        ) from error
    _check_version(module, imported.__version__)
    return imported


tf: Any = _import("tensorflow")
keras: Any = _import("tf_keras")


def require_keras_model(model: object, argument: str) -> None:
    """Refuse anything that is not a `tf_keras.Model`, naming Keras 3 where that is the mix-up."""
    if isinstance(model, keras.Model):
        return
    from_keras_3 = any(
        base.__module__.split(".")[0] == "keras" and base.__name__ == "Model" for base in type(model).__mro__
    )
    if from_keras_3:
        raise ModelError(
            f"`{argument}` must be a model of tf-keras (Keras 2), the Keras that tensorflow-model-optimization "
            "and the TFLite converter work with; this one belongs to Keras 3",
            received=f"{type(model).__module__}.{type(model).__qualname__}",
            repair="build it with `import tf_keras`, or load its saved weights through registry.build(…, weights=path)",
        )
    raise ModelError(
        f"`{argument}` must be a `tf_keras.Model`",
        received=f"{type(model).__module__}.{type(model).__qualname__}",
        repair="pass a functional tf_keras model, for instance one that registry.build returned",
    )
