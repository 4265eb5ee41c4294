"""`load`: one entrance to models that are ready for use, whatever they were written as."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from registry.errors import ModelError

if TYPE_CHECKING:
    from registry.models.base import ImageSegmenter
    from registry.runtime import Segmenter

__all__ = ["load"]


def load(
    source: str | os.PathLike[str] | Mapping[str, Any], **overrides: Any
) -> ImageSegmenter | Segmenter | Any:
    """Load a model that is ready for use: `registry.load(source).segment("photo.jpg")`.

    What `source` is decides on what comes back, in this order:

    1. a path or the handle of a file that ends in `.tflite`: a `registry.Segmenter`; TensorFlow is not imported;
    2. one that ends in `.keras`, or a SavedModel folder: what was saved, as `registry.load_model` gives it;
    3. all else is a preset, built by `registry.build` with its own weights: the name of one in the catalog, the path of
       a YAML file, a saved preset's folder, a KerasHub preset directory, a handle (`kaggle://…`, `hf://…`), a mapping.
       A word is a preset's name first, and a folder in the working directory if no preset has that name.

    Args:
        source: what to load.
        **overrides: of a preset, as in `registry.build`; of a `.tflite` file, arguments of `registry.Segmenter`. A
            saved Keras model takes none.

    Returns:
        The model. A segmenter of either kind has `segment`, `labels`, `palette` and `num_classes`.

    Raises:
        ModelError: the preset has no weights of the whole model, so that nothing could be used before it is trained; or
            the overrides do not fit.
        ModelFileError: the `.tflite` file cannot be run.
        CatalogError, PluginError, WeightsError: as `registry.build` and `registry.load_model`.
    """
    from registry.weights.handles import fetch_file_named, is_handle

    source = fetch_file_named(source, ".tflite", ".keras")
    if isinstance(source, str | os.PathLike) and not is_handle(os.fspath(source)):
        path = Path(source)
        if path.suffix.lower() == ".tflite":
            from registry.runtime import Segmenter

            return Segmenter(path, **overrides)
        if path.suffix.lower() == ".keras" or (path / "saved_model.pb").is_file():
            return _load_saved(path, overrides)
    from registry.assembly import load_trained

    return load_trained(source, **overrides)


def _load_saved(path: Path, overrides: Mapping[str, Any]) -> Any:
    if overrides:
        raise ModelError(
            "a saved Keras model is loaded as it is",
            received=f"{path} with {', '.join(overrides)}",
            repair="leave them out, or build the model from its preset: registry.build(…)",
        )
    from registry.assembly import load_model

    return load_model(path)
