"""`convert`: from any weights that are read here to any format that is written, with an account of every array."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from registry.assembly.building import build
from registry.assembly.keras_hub_export import save_keras_hub
from registry.assembly.saved_models import load_model
from registry.assembly.saving import save_preset
from registry.atomic import atomic_path, check_output_folder, check_output_path
from registry.catalog import PresetLike
from registry.errors import ModelError
from registry.models.base import ImageSegmenter
from registry.weights.handles import fetch_file_named, is_handle
from registry.weights.saved_layers import layers_as_bytes

__all__ = ["Conversion", "ConvertedLayer", "Target", "convert", "target_format"]

Target = Literal["preset", "keras-hub", "safetensors", "keras", "h5"]

_SUFFIXES: dict[str, Target] = {".safetensors": "safetensors", ".keras": "keras", ".h5": "h5"}
_LISTED = 12


@dataclass(frozen=True)
class ConvertedLayer:
    """What became of one layer's arrays.

    Args:
        name: of the layer, here or in the source.
        status: `used`; `unused`, in the source and without a place here, by declaration of a plugin; `fresh`, here and
            not in the source.
        shapes: of its arrays; empty for unused ones.
    """

    name: str
    status: Literal["used", "unused", "fresh"]
    shapes: tuple[tuple[int, ...], ...] = ()


@dataclass(frozen=True)
class Conversion:
    """What was converted.

    Args:
        source: where the weights came from.
        target: the file or folder that was written.
        format: of the target.
        parameters: number of parameters of the model.
        layers: every layer with arrays, of the model and of the source.
    """

    source: str
    target: str
    format: Target
    parameters: int
    layers: tuple[ConvertedLayer, ...]

    def named(self, status: str) -> list[str]:
        """Names of the layers of that status."""
        return [layer.name for layer in self.layers if layer.status == status]

    def to_dict(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        arrays = sum(len(layer.shapes) for layer in self.layers if layer.status == "used")
        lines = [
            f"source      {self.source}",
            f"target      {self.target} ({self.format})",
            f"parameters  {self.parameters:,}",
            f"used        {arrays} arrays of {len(self.named('used'))} layers",
        ]
        for status in ("unused", "fresh"):
            names = self.named(status)
            more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
            lines.append(f"{status:<12}{', '.join(names[:_LISTED]) or 'none'}{more}")
        return "\n".join(lines)


def convert(
    source: PresetLike,
    target: str | os.PathLike[str],
    *,
    preset: PresetLike | None = None,
    format: Target | None = None,
    **overrides: Any,
) -> Conversion:
    """Read weights of one format and write them in another.

    Args:
        source: what `registry.load` takes: a preset with weights, a handle, a KerasHub directory, a `.keras` file or
            SavedModel. With `preset`, what `registry.build(weights=…)` takes: a `.safetensors` or `.h5` file, the
            prefix of a TensorFlow checkpoint, and all the others.
        target: the file or folder to write. Its ending decides: `.safetensors` (atrous's own layout), `.keras`, `.h5`
            and `.weights.h5` (of Keras, with the names of layers), none: the folder of a saved preset.
        preset: the architecture that the weights are for, where the source does not say it.
        format: the target's format where its name leaves it open: `keras-hub` for a KerasHub directory.
        **overrides: of the preset, as in `registry.build`.

    Returns:
        What became of every array. Arrays that are missing, extra or mis-shaped are no result but an error.

    Raises:
        ModelError: the source is no whole model, or the target's format cannot express it.
        CatalogError, PluginError, WeightsError: as `registry.build` and `registry.load_model`.
        OutputPathError: the target cannot be written.
    """
    kind = target_format(target, format)
    path = Path(target)
    if kind in ("preset", "keras-hub"):
        check_output_folder(path)
    else:
        check_output_path(path)
    model = _read(source, preset, overrides)
    _WRITERS[kind](model, path)
    return Conversion(
        source=str(source) if isinstance(source, str | os.PathLike) else "preset",
        target=str(path),
        format=kind,
        parameters=int(model.count_params()),
        layers=_account(model),
    )


def target_format(target: str | os.PathLike[str], format: Target | None = None) -> Target:
    """The format that a target's name and the caller ask for.

    Raises:
        ModelError: they contradict each other, or neither says it.
    """
    suffix = Path(target).suffix.lower()
    named = _SUFFIXES.get(suffix) or (None if suffix else "preset")
    if format is not None and format not in get_args(Target):
        raise ModelError(f"a format is one of {', '.join(get_args(Target))}", received=format)
    is_folder = format in ("preset", "keras-hub")
    if named is None or (format is not None and format != named and not (is_folder and named == "preset")):
        raise ModelError(
            f"a target ends in {', '.join(_SUFFIXES)}, or has no ending and is a folder",
            received=f"{target}" + (f" as {format}" if format else ""),
            repair="name it model.safetensors, for instance",
        )
    return format or named


def _read(source: PresetLike, preset: PresetLike | None, overrides: Mapping[str, Any]) -> Any:
    if preset is not None:
        if not isinstance(source, str | os.PathLike):
            raise ModelError(
                "with `preset`, the source is a handle or a path", received=type(source).__name__
            )
        return build(preset, weights=source, **overrides)
    source = fetch_file_named(source, ".keras", ".h5")
    if isinstance(source, str | os.PathLike) and not is_handle(os.fspath(source)):
        path = Path(source)
        if path.suffix.lower() in (".keras", ".h5") or (path / "saved_model.pb").is_file():
            if overrides:
                raise ModelError("a saved Keras model is converted as it is", received=", ".join(overrides))
            return _require_segmenter(load_model(path), path)
        if path.is_file() and path.suffix.lower() not in (".yaml", ".yml"):
            raise ModelError(
                "a file of weights does not say what model they are for",
                received=path,
                repair="name it: preset=…, --preset on the command line",
            )
    model = build(source, **overrides)
    if model.weights_report is None or model.weights_report.fresh:
        raise ModelError(
            "what is converted has weights of the whole model",
            received=f"{model.name}, in which {'all' if model.weights_report is None else 'some'} layers are fresh",
            repair="preset=… for the architecture, and the weights as source",
        )
    return model


def _require_segmenter(model: Any, path: Path) -> Any:
    if not isinstance(model, ImageSegmenter):
        raise ModelError(
            "a segmenter of atrous is converted, since its layers are known by name",
            received=f"{path}: {type(model).__name__}",
            repair="pass the preset that has these layers, and the file as weights: --preset",
        )
    return model


def _account(model: Any) -> tuple[ConvertedLayer, ...]:
    report = model.weights_report
    fresh = set() if report is None else set(report.fresh)
    layers = [
        ConvertedLayer(
            layer.name,
            "fresh" if layer.name in fresh else "used",
            tuple(tuple(variable.shape) for variable in layer.weights),
        )
        for layer in model.layers
        if layer.weights
    ]
    unused = () if report is None else report.unused
    return (*layers, *(ConvertedLayer(name, "unused") for name in unused))


def _write_safetensors(model: Any, path: Path) -> None:
    content = layers_as_bytes(model.layers, model.name)
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def _write_keras(model: Any, path: Path) -> None:
    with atomic_path(path) as temporary:
        model.save(temporary)


def _write_h5(model: Any, path: Path) -> None:
    with atomic_path(path) as temporary:
        model.save_weights(temporary)


_WRITERS: dict[Target, Callable[[Any, Path], Any]] = {
    "preset": save_preset,
    "keras-hub": save_keras_hub,
    "safetensors": _write_safetensors,
    "keras": _write_keras,
    "h5": _write_h5,
}
