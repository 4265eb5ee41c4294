"""`fetch`: bring weights onto this machine before they are needed, for instance before it goes offline."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from registry.catalog import is_saved_preset, resolve, resolve_recipe
from registry.catalog.saved import MODEL_FILE, PRESET_FILE
from registry.discovery import find_encoder
from registry.errors import ModelError, UnknownEncoderError, UnknownPluginError, nearest
from registry.progress import Progress
from registry.pyramid import EncoderSpec
from registry.stores import FetchOptions, Found
from registry.weights import handles, keras_hub
from registry.weights.handles import DESCRIPTIONS, fetch_directory, fetch_file, fetch_preset, is_file_handle
from registry.weights.sources import DEFAULT_SOURCE, Source, encoder_source, saved_source

__all__ = ["FetchedWeights", "fetch"]

Part = Literal["model", "encoder", "handle"]

_SHARDS = "model_*.weights.h5"
# What `weights` and `encoder_weights` are where nobody says anything.
_DEFAULT = "default"


@dataclass(frozen=True)
class FetchedWeights:
    """Weights that somebody asked for.

    Args:
        target: what was asked for: a preset, a handle, an encoder.
        part: what they are of: the whole `model`, its `encoder`, or whatever a `handle` holds.
        source: the handle or path that they come from.
        path: the file or folder on this machine; None while they are not here.
        size: bytes on this machine, or in the store; None if the store does not know before they are here.
    """

    target: str
    part: Part
    source: str
    path: Path | None = None
    size: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Values, ready for JSON."""
        return {**asdict(self), "path": None if self.path is None else str(self.path)}


def fetch(
    *targets: str | os.PathLike[str],
    encoder: bool = False,
    recipe: bool = False,
    dry_run: bool = False,
    progress: Progress = None,
) -> list[FetchedWeights]:
    """Bring weights onto this machine, unless they are here.

    Args:
        *targets: what they belong to: the name of a preset or the path of one, for the weights that
            `registry.build` would load; an encoder, `plugin/variant` or `plugin/variant/source`; or a handle.
        encoder: fetch those that a preset's encoder starts a training with, too, where the preset has weights of the
            whole model.
        recipe: the targets are recipes by name or path, for the weights that `registry.train` would start with.
        dry_run: only say what would be fetched, and how large it is where the store knows.
        progress: None shows it in a terminal, True always, False never; a callable is given a file's name, bytes, and
            bytes of the whole or 0.

    Returns:
        What was asked for, in that order. A preset without weights has no entry.

    Raises:
        CatalogError: a preset or recipe is unknown or wrong.
        ModelError, UnknownEncoderError, PluginError: an encoder is unknown.
        WeightsError: something cannot be fetched; what was fetched before stays.
    """
    options = FetchOptions(progress=progress)
    wanted = _of_recipe if recipe else partial(_wanted, encoder=encoder)
    items = [item for target in targets for item in wanted(os.fspath(target))]
    return [_looked_for(item, options) if dry_run else _fetched(item, options) for item in items]


@dataclass(frozen=True)
class _Wanted:
    entry: FetchedWeights
    declared: bool = False


def _wanted(target: str, *, encoder: bool) -> Iterator[_Wanted]:
    if handles.is_handle(target):
        yield _Wanted(FetchedWeights(target, "handle", target))
    elif _is_encoder(target):
        plugin, variant, *rest = target.split("/")
        yield _of_encoder(target, plugin, variant, rest[0] if rest else DEFAULT_SOURCE)
    elif keras_hub.is_preset_directory(target) and not is_saved_preset(target):
        yield _Wanted(FetchedWeights(target, "model", target))
    else:
        yield from _of_preset(target, Source(resolve(target)), encoder=encoder)


def _is_encoder(target: str) -> bool:
    """Whether a text is `plugin/variant` or `plugin/variant/source`; what exists is a path."""
    parts = target.split("/")
    return (
        len(parts) in (2, 3)
        and all(parts)
        and not target.startswith((".", "~"))
        and not target.lower().endswith((".yaml", ".yml"))
        and not Path(target).exists()
    )


def _of_preset(target: str, preset: Source, *, encoder: bool) -> Iterator[_Wanted]:
    whole = preset.weights("segmentation")
    if whole is not None:
        yield _Wanted(FetchedWeights(target, "model", whole))
        if not encoder:
            return
    source = encoder_source(preset, _spec(preset))
    if source is not None:
        yield _encoder_of(target, preset, source)


def _of_recipe(target: str) -> Iterator[_Wanted]:
    recipe = resolve_recipe(target)
    preset, config = Source(recipe.preset), recipe.config
    if config.encoder_weights not in (None, _DEFAULT):
        yield _encoder_of(target, preset, config.encoder_weights)
    elif config.weights not in (None, _DEFAULT):
        yield _Wanted(FetchedWeights(target, "model", config.weights))
    elif config.weights == _DEFAULT:
        found = _of_preset(target, preset, encoder=False)
        yield from (one for one in found if one.entry.part == "model" or config.encoder_weights == _DEFAULT)


def _encoder_of(target: str, preset: Source, source: str) -> _Wanted:
    spec = _spec(preset)
    return _Wanted(
        FetchedWeights(target, "encoder", spec.weights.get(source, source)), declared=source in spec.weights
    )


def _spec(preset: Source) -> EncoderSpec:
    encoder = preset.resolved.config.encoder
    return find_encoder(encoder.plugin, encoder.variant)[1]


def _of_encoder(target: str, plugin: str, variant: str, source: str) -> _Wanted:
    try:
        _, spec = find_encoder(plugin, variant)
    except (UnknownPluginError, UnknownEncoderError) as error:
        raise ModelError(
            "what is fetched is a preset by name or path, an encoder as plugin/variant[/source], or a handle",
            received=target,
            repair=f"{error.repair}; or correct the path, which does not exist",
        ) from error
    if source not in spec.weights:
        raise ModelError(
            f"the weights of encoder {variant!r} are those that its plugin names",
            received=target,
            repair=nearest(source, spec.weights),
        )
    return _Wanted(FetchedWeights(target, "encoder", spec.weights[source]), declared=True)


def _fetched(wanted: _Wanted, options: FetchOptions) -> FetchedWeights:
    entry = wanted.entry
    options = replace(options, declared=wanted.declared)
    if not handles.is_handle(entry.source):
        return _present(entry)
    if is_file_handle(entry.source):
        path = fetch_file(entry.source, options=options)
        return replace(entry, path=path, size=path.stat().st_size)
    directory = fetch_preset(entry.source, options=options)
    if is_saved_preset(directory):
        names = [DESCRIPTIONS, MODEL_FILE]
        if entry.part == "handle":
            # Which file its weights are is the preset's to say, and it may have none.
            weights = saved_source(entry.source, directory, {}, weights=True).resolved.weights_file(
                "segmentation"
            )
            names[1:] = [] if weights is None else [weights.relative_to(directory).as_posix()]
        else:
            fetch_directory(entry.source, required=names, options=options)
    else:
        required, optional = keras_hub.preset_files(weights=True)
        fetch_directory(entry.source, required=required, optional=optional, options=options)
        # Shards are named by one of these files.
        keras_hub.open_preset(entry.source)
        names = [*required, *optional, _SHARDS]
    held = {path for name in names for one in name.split("|") for path in directory.glob(one)}
    return replace(entry, path=directory, size=sum(path.stat().st_size for path in held))


def _looked_for(wanted: _Wanted, options: FetchOptions) -> FetchedWeights:
    entry = wanted.entry
    if not handles.is_handle(entry.source):
        return _present(entry)
    is_file = is_file_handle(entry.source)
    required, optional = keras_hub.preset_files(weights=True)
    names = () if is_file else (DESCRIPTIONS, MODEL_FILE, *required[1:], _SHARDS, *optional)
    found = handles.look(entry.source, names, replace(options, declared=wanted.declared))
    here = [one.path for one in found if one.path is not None]
    # A store that knows no more than its cache lists only what is here already.
    if len(here) == len(found) and not (here if is_file else _is_complete(found)):
        return entry
    sizes = [one.size for one in found]
    path = None if len(here) < len(found) else here[0] if is_file else here[0].parent
    return replace(entry, path=path, size=None if None in sizes else sum(filter(None, sizes)))


def _is_complete(found: list[Found]) -> bool:
    """Whether files are those of a preset, its weights included."""
    names = {one.name for one in found}
    return all(
        names & set(group.split("|")) for group in keras_hub.preset_files(weights=True)[0]
    ) or names >= {PRESET_FILE, MODEL_FILE}


def _present(entry: FetchedWeights) -> FetchedWeights:
    path = Path(entry.source)
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return replace(entry, path=path, size=sum(file.stat().st_size for file in files))
