"""What may stand for a preset, brought onto this machine and resolved: names, files, mappings, folders, handles."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from registry.catalog import PresetLike, ResolvedPreset, is_saved_preset, resolve, resolve_fetched
from registry.catalog.saved import MODEL_FILE, PRESET_FILE
from registry.discovery import list_encoders, load_plugin
from registry.errors import ModelError, UnknownEncoderError, WeightsFormatError, nearest
from registry.pyramid import EncoderSpec
from registry.weights import keras_hub
from registry.weights.handles import fetch_directory, fetch_preset, is_handle, title_of
from registry.weights.safetensors_files import read_metadata
from registry.weights.saved_layers import read_header

__all__ = ["DEFAULT_SOURCE", "Source", "encoder_source", "find_source", "saved_source"]

# The weight source of an encoder that is meant where none is named, as everywhere in this field.
DEFAULT_SOURCE = "imagenet"

Key = Literal["segmentation", "encoder"]


@dataclass(frozen=True)
class Source:
    """A preset, resolved, that knows what its own weights are.

    Args:
        resolved: the preset.
        keras_hub: the KerasHub directory or handle that it describes, whose weights are its own.
        handle: where the saved preset was fetched from.
        directory: the files that have been fetched.
    """

    resolved: ResolvedPreset
    keras_hub: str | None = None
    handle: str | None = None
    directory: Path | None = None

    def weights(self, key: Key, names: tuple[str, ...] = ()) -> str | None:
        """The preset's own weights: a name, a handle or a path; None if it has none.

        Args:
            key: of the whole model, or of the encoder.
            names: weight sources of the encoder.

        Raises:
            WeightsUnavailableError: they are not there, or cannot be fetched.
        """
        if self.keras_hub is not None:
            return self.keras_hub if key == "segmentation" else None
        file = self.resolved.weights_file(key)
        if self.handle is not None and self.directory is not None and file is not None:
            is_name = getattr(self.resolved.config.weights, key) in names
            if not is_name and file.is_relative_to(self.directory):
                within = file.relative_to(self.directory).as_posix()
                fetch_directory(self.handle, required=[within], optional=())
        return self.resolved.weights_source(key, names)


def find_source(preset: PresetLike, overrides: Mapping[str, Any], *, weights: bool) -> Source:
    """Find out what is meant, and resolve it.

    Args:
        preset: as in `registry.build`.
        overrides: values to change.
        weights: whether its own weights are wanted, too.

    Raises:
        CatalogError: the preset is unknown or wrong.
        WeightsError: it cannot be fetched, or is no preset.
    """
    if is_handle(preset):
        handle = str(preset)
        directory = fetch_preset(handle)
        if is_saved_preset(directory):
            return saved_source(handle, directory, overrides, weights=weights)
    elif not keras_hub.is_preset_directory(preset) or is_saved_preset(preset):
        resolved = resolve(preset, overrides=overrides)
        return Source(resolved if isinstance(preset, Mapping | ResolvedPreset) else _named_as_saved(resolved))
    opened = keras_hub.open_preset(preset, weights=weights)  # type: ignore[arg-type]
    mapping = _mapping_of(opened, overrides.get("num_classes"))
    return Source(resolve(mapping, overrides=overrides), keras_hub=opened.source)


def encoder_source(preset: Source, spec: EncoderSpec) -> str | None:
    """What a preset's encoder starts from: what the preset says, else ImageNet; a name, a handle or a path.

    Args:
        preset: the preset.
        spec: of its encoder.

    Returns:
        None if there is nothing to start from.

    Raises:
        WeightsUnavailableError: what the preset names is not there, or cannot be fetched.
    """
    stated = preset.weights("encoder", tuple(spec.weights))
    return stated or (DEFAULT_SOURCE if DEFAULT_SOURCE in spec.weights else None)


def saved_source(handle: str, directory: Path, overrides: Mapping[str, Any], *, weights: bool) -> Source:
    """Resolve a saved preset whose description has been fetched.

    Args:
        handle: where it comes from.
        directory: what `fetch_preset` gave for it.
        overrides: values to change.
        weights: whether its own weights are fetched, too.

    Raises:
        CatalogError: the preset is wrong.
        WeightsError: its weights cannot be fetched.
    """
    resolved = resolve_fetched(directory, title_of(handle), overrides=overrides)
    source = Source(resolved, handle=handle, directory=directory)
    if weights:
        source.weights("segmentation")
    return replace(source, resolved=_named_as_saved(resolved))


def _named_as_saved(resolved: ResolvedPreset) -> ResolvedPreset:
    """A saved preset under the name that its model had, wherever its folder lies and whatever that is called.

    A model's name is written into the files that are made of it, and those should not depend on a path.
    """
    file = resolved.files[0]
    path = file.with_name(MODEL_FILE)
    if file.name != PRESET_FILE or not path.is_file():
        return resolved
    with suppress(WeightsFormatError):  # whoever wants its weights will be told
        header = read_header(path, read_metadata(path))
        if header is not None:
            return replace(resolved, name=header.name)
    return resolved


def _mapping_of(preset: keras_hub.KerasHubPreset, num_classes: int | None) -> dict[str, Any]:
    """Describe a KerasHub directory as an inline preset, its encoder through the plugin that stands for it."""
    if num_classes is None and preset.task is None:
        raise ModelError(
            "a KerasHub directory without task.json holds a backbone only, so the number of classes must be given",
            received=preset.source,
            repair="pass num_classes, or call registry.DeepLabV3Backbone.from_preset",
        )
    class_name, arguments = preset.encoder_config()
    known = {
        spec.keras_hub_class: (plugin, spec)
        for plugin in sorted({record.plugin for record in list_encoders()})
        for spec in load_plugin(plugin).encoders.values()
        if spec.keras_hub_class
    }
    if class_name not in known:
        raise UnknownEncoderError(
            f"KerasHub's encoders that plugins here stand for are {', '.join(sorted(known)) or 'none'}",
            received=f"{class_name} in {preset.source}",
            repair=nearest(class_name, known),
        )
    plugin, spec = known[class_name]
    options = {key: value for key, value in arguments.items() if key in spec.options.model_fields}
    mapping = preset.preset_mapping({"plugin": plugin, "variant": spec.name, "options": options})
    if num_classes is not None:
        mapping["num_classes"] = num_classes
    return mapping
