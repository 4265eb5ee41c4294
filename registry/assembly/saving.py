"""`save_preset`: a model as a folder that stands wherever a preset may, read back bit by bit."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from registry import __version__
from registry.assembly.card import Facts, model_card
from registry.assembly.encoder import PyramidEncoder
from registry.assembly.measurements import Measurement, measurements
from registry.atomic import atomic_folder, check_output_folder
from registry.catalog import is_saved_preset, preset_yaml, resolve
from registry.catalog.saved import CARD_FILE, MODEL_FILE, PRESET_FILE
from registry.config import PresetConfig
from registry.errors import ModelError, OutputPathError
from registry.models.base import ImageSegmenter
from registry.models.preprocessing import SegmentationPreprocessor
from registry.weights.saved_layers import DType, layers_as_bytes

__all__ = ["save_preset"]

_FILES = frozenset({PRESET_FILE, MODEL_FILE, CARD_FILE})
_WEIGHTS = {
    "float32": "every variable as it is, float32",
    "float16": "kernels rounded to float16 (11 significant bits), all else as it is",
}


def save_preset(
    model: ImageSegmenter,
    directory: str | os.PathLike[str],
    *,
    metrics: Mapping[str, Any] | Sequence[Mapping[str, Any]] = (),
    description: str | None = None,
    license: str | None = None,
    tags: Sequence[str] = (),
    notes: str = "",
    dtype: DType = "float32",
    overwrite: bool = False,
) -> Path:
    """Save a model as a preset: a folder that `registry.load`, `build`, `describe` and `from_preset` take, and hubs.

    The folder holds `preset.yaml`, the whole configuration, which extends nothing; `model.safetensors`, every variable
    by the names of its layer and its own; and `README.md`, a model card. It appears complete or not at all. The model
    that is read back has the same weights and gives the same outputs, bit by bit. What only training needs (the
    optimizer, which layers are frozen) is not in it; `model.save("x.keras")` keeps that.

    Args:
        model: a segmenter that carries the preset it was assembled from, as `registry.build` returns it.
        directory: the folder to write; what is above it must exist.
        metrics: what was measured: `dataset` and `mean_iou`, optionally `source`, `iou` (one number per class) and
            other numbers, as `Scores.to_dict()` of `registry.evaluation` has them; a list for several data sets.
            Becomes `evaluation` of the preset, and tables of the card. What the model's own preset claims is not taken
            over, since it may have been trained since.
        description: one or more sentences; None keeps the preset's.
        license: SPDX identifier of the weights; None keeps the preset's, which speaks of the weights that it names.
        tags: words that a hub finds the model by, beside architecture and encoder.
        notes: Markdown that the card ends with, for instance on what the model was trained.
        dtype: `float32`, or `float16` for half the size: kernels are rounded to 11 significant bits, so that the model
            that is read back is no longer the same bit by bit.
        overwrite: replace a saved preset that is there. Another folder is never replaced.

    Returns:
        The folder.

    Raises:
        ModelError: the model carries no preset or no longer fits it, its preprocessor is more than scale and offset, or
            another argument is wrong.
        ConfigError: a text or number cannot stand in a preset.
        WeightsError: a weight is NaN, infinite, or too large for `dtype`.
        OutputPathError: the folder cannot be written, or must not be replaced.
    """
    config = _require_saveable(model)
    if dtype not in get_args(DType):
        raise ModelError(
            f"`dtype` must be one of {', '.join(get_args(DType))}",
            received=dtype,
            repair="leave it out for float32",
        )
    target = Path(directory)
    _require_replaceable(target, overwrite=overwrite)
    check_output_folder(target, replace=overwrite)
    measured = measurements(metrics, config.num_classes)
    saved = _saved_config(model, config, measured, description=description, license=license)
    content = layers_as_bytes(model.layers, model.name, dtype)
    facts = Facts(
        title=target.absolute().name,
        parameters=int(model.count_params()),
        weights=f"{_WEIGHTS[dtype]}; {len(content):,} bytes",
        size_multiple=model.size_multiple,
        measured=measured,
        tags=_checked_tags(tags),
        notes=notes,
    )
    with atomic_folder(target, replace=overwrite) as folder:
        header = f"# Saved by atrous {__version__}; `registry.load` reads this folder.\n\n"
        (folder / PRESET_FILE).write_text(header + preset_yaml(saved), encoding="utf-8")
        (folder / MODEL_FILE).write_bytes(content)
        (folder / CARD_FILE).write_text(model_card(saved, facts), encoding="utf-8")
        if resolve(folder).config != saved:
            raise AssertionError(f"{PRESET_FILE} does not say what the model's preset says")
    return target


def _require_saveable(model: Any) -> PresetConfig:
    """The preset of a model that can be assembled again from it."""
    config = getattr(model, "preset_config", None)
    if not isinstance(model, ImageSegmenter) or config is None:
        raise ModelError(
            "a model is saved as a preset if it is a segmenter that carries the preset it was assembled from",
            received=f"{type(model).__name__} {getattr(model, 'name', '')!r}"
            + (", built by hand" if isinstance(model, ImageSegmenter) else ""),
            repair="build it with registry.build, or say what stands for it: "
            "model.set_preset_config(registry.describe('…').config); model.save('x.keras') takes any model",
        )
    expected = (None, *config.input.image_shape[:2], config.num_classes)
    if tuple(model.output_shape) != expected:
        raise ModelError(
            "a model must still be the one that its preset describes",
            received=f"output {tuple(model.output_shape)}, where the preset says {expected}",
            repair="build it with registry.build(…, num_classes=…, image_shape=…)",
        )
    held = {id(variable) for layer in model.layers for variable in layer.weights}
    strays = [variable.name for variable in model.weights if id(variable) not in held]
    if strays:
        raise ModelError(
            "every variable of a model must belong to one of its layers",
            received=", ".join(strays[:12]),
            repair="a preset would not make these again: remove them, or save the model as .keras",
        )
    return config


def _require_replaceable(target: Path, *, overwrite: bool) -> None:
    """Let nothing be replaced but a saved preset, and that only where it is asked for."""
    if target.is_symlink() or not is_saved_preset(target):
        if overwrite:
            check_output_folder(target)  # empty, or not there
        return
    if not overwrite:
        raise OutputPathError(
            "a saved preset is replaced only if that is asked for",
            received=str(target),
            repair="overwrite=True, or another folder",
        )
    others = sorted(path.name for path in target.iterdir() if path.name not in _FILES)
    if others:
        raise OutputPathError(
            f"a folder is replaced if it holds nothing but {', '.join(sorted(_FILES))}",
            received=f"{target} with {', '.join(others[:8])}",
            repair="move the other files away, or choose another folder",
        )


def _saved_config(
    model: ImageSegmenter,
    config: PresetConfig,
    measured: tuple[Measurement, ...],
    *,
    description: str | None,
    license: str | None,
) -> PresetConfig:
    """The model's preset as a whole of its own: nothing in it depends on defaults that may change."""
    mapping = config.model_dump(mode="json")
    if description is not None:
        mapping["description"] = description
    if license is not None:
        mapping["license"] = license
    if isinstance(model.encoder, PyramidEncoder):
        mapping["encoder"]["options"] = model.encoder.get_config()["options"]
    mapping["input"]["normalization"] = _normalization(model.preprocessor)
    mapping["weights"] = {"segmentation": MODEL_FILE}
    mapping["evaluation"] = [one.to_config() for one in measured]
    return resolve(mapping).config


def _normalization(preprocessor: Any) -> dict[str, Any]:
    """What pixels go through, in numbers: what the model was trained with stays, whatever the encoder's plugin says."""
    if preprocessor is None:
        return {"scale": 1.0, "offset": 0.0}
    if not isinstance(preprocessor, SegmentationPreprocessor) or preprocessor.image_size is not None:
        raise ModelError(
            "a preset can say how pixels are scaled, and nothing else about the preprocessor",
            received=f"{type(preprocessor).__name__} with image_size={preprocessor.image_size}"
            if isinstance(preprocessor, SegmentationPreprocessor)
            else type(preprocessor).__name__,
            repair="model.preprocessor = registry.SegmentationPreprocessor(scale=…, offset=…), or None",
        )
    return {"scale": preprocessor.scale, "offset": preprocessor.offset}


def _checked_tags(tags: Sequence[str]) -> tuple[str, ...]:
    if isinstance(tags, str) or not all(isinstance(word, str) and word.strip() for word in tags):
        raise ModelError("`tags` must be a list of words", received=tags, repair="tags=['wheat', 'drone']")
    return tuple(tags)
