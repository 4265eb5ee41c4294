"""`lock` writes what is here, `check_lock` compares, and `Guard` holds `registry.build` to it."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from registry.catalog import PresetLike
from registry.catalog.origin import Origin
from registry.catalog.tree import from_python
from registry.discovery import find_encoder
from registry.errors import LockError, RegistryWarning, nearest
from registry.locking.drift import Drift, drift_of_config, drift_of_plugins, drift_of_weights, refuse
from registry.locking.facts import (
    Weights,
    config_facts,
    config_sha256,
    given,
    installed_distributions,
    installed_plugins,
    own_weights,
    plugins_of,
    written,
)
from registry.locking.lockfile import (
    DEFAULT_PATH,
    LockedPreset,
    LockedWeights,
    LockFile,
    read_lock,
    write_lock,
)
from registry.weights.sources import Source, find_source

__all__ = ["Guard", "check_lock", "lock"]

_DEFAULT = "default"


def lock(
    presets: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    path: str | os.PathLike[str] = DEFAULT_PATH,
    *,
    weights: bool = True,
    **overrides: Any,
) -> Path:
    """Write a lock file: what presets resolve to, whose code builds them, and the files that they start from.

    The file states each preset's resolved configuration and its hash, the distribution behind each plugin with its
    version and the hash of its code, and the SHA-256 of every file of weights. It is YAML in a fixed order, meant to be
    committed; `registry.build(…, lock=path)` then builds exactly that or refuses.

    Args:
        presets: one or more names of presets, paths or handles, as `registry.build` takes them.
        path: the file to write; one that is there is replaced.
        weights: fetch and hash what `weights="default"` loads. False leaves weights unlocked; such a preset is then
            built under this lock with `weights=None` only.
        **overrides: as in `registry.build`; they hold for every preset that is named.

    Returns:
        The path.

    Raises:
        LockError: nothing is named, one is named twice, or the code of a plugin is not what was installed.
        CatalogError, PluginError, UnknownEncoderError: a preset cannot be resolved, or its plugins cannot serve.
        WeightsError: weights cannot be fetched.
        OutputPathError: the file cannot be written.
    """
    target = Path(path)
    folder = target.absolute().parent
    named: list[Any] = list(presets) if isinstance(presets, list | tuple) else [presets]
    if not named:
        raise LockError("a lock needs presets", received="none", repair="name one or more")
    locked: dict[str, LockedPreset] = {}
    needed: set[tuple[str, str]] = set()
    plain = from_python(overrides, Origin("override")).plain()
    for preset in named:
        _require_name(preset)
        key = written(preset, folder)
        if key in locked:
            raise LockError("a lock names each preset once", received=key, repair="leave one of them out")
        source = find_source(preset, overrides, weights=weights)
        config = source.resolved.config
        find_encoder(config.encoder.plugin, config.encoder.variant)
        needed |= plugins_of(config)
        locked[key] = LockedPreset(
            overrides=plain,
            config_sha256=config_sha256(config),
            weights=_locked_weights(source) if weights else "unlocked",
            config=config_facts(config),
        )
    plugins = {key: plugin for key, plugin in installed_plugins().items() if key in needed}
    distributions = installed_distributions({plugin.distribution for plugin in plugins.values()})
    for name, (state, findings) in distributions.items():
        _require_locked_code(name, state.version, state.code, findings)
    write_lock(
        LockFile(
            version=1,
            plugins=tuple(plugins[key] for key in sorted(plugins)),
            distributions={name: distributions[name][0] for name in sorted(distributions)},
            presets={key: locked[key] for key in sorted(locked)},
        ),
        target,
    )
    return target


def check_lock(
    path: str | os.PathLike[str] = DEFAULT_PATH,
    presets: Sequence[PresetLike] | None = None,
    *,
    weights: bool = True,
) -> list[str]:
    """Compare a lock file with what is here.

    Args:
        path: the file.
        presets: which of its presets to compare; None compares all.
        weights: compare weights, too, which may have to be fetched.

    Returns:
        The names of the presets that were compared.

    Raises:
        LockDriftError: something differs; everything that does is named.
        LockError: the file cannot be read, or does not have a preset that is named.
        CatalogError, PluginError, WeightsError: something that was locked is no longer there at all.
    """
    content, folder = read_lock(path), Path(path).absolute().parent
    keys = list(content.presets) if presets is None else [written(preset, folder) for preset in presets]
    drifts = list(drift_of_plugins(content))
    # Beside plugins that are not the locked ones, the rest says nothing; and their code would be run for it.
    refuse(drifts, str(path))
    for key in keys:
        entry = _entry(content, key, path)
        compare_weights = weights and entry.weights != "unlocked"
        source = find_source(given(key, folder), entry.overrides, weights=compare_weights)
        drifts += drift_of_config(key, entry, source.resolved.config)
        if compare_weights:
            drifts += _drift_of_own(key, entry, own_weights(source))
    refuse(drifts, str(path))
    return keys


class Guard:
    """A lock file that `registry.build` is held to.

    Args:
        path: the file.
        preset: what is to be built.

    Raises:
        LockError: the file cannot be read, or does not have that preset.
        LockDriftError: plugins are not the locked ones; none of them has been imported.
    """

    def __init__(self, path: str | os.PathLike[str], preset: PresetLike) -> None:
        self._path = path
        content = read_lock(path)
        self._key = written(preset, Path(path).absolute().parent)
        self._entry = _entry(content, self._key, path)
        refuse(list(drift_of_plugins(content)), str(path))

    def check(
        self,
        source: Source,
        weights: str | os.PathLike[str] | None,
        encoder_weights: str | os.PathLike[str] | None,
    ) -> None:
        """Compare a preset before anything is built of it, and the weights before an array of them is read.

        Args:
            source: the preset, resolved.
            weights: as in `registry.build`.
            encoder_weights: as in `registry.build`.

        Raises:
            LockDriftError: it is not what was locked.
            LockError: its weights are wanted and were not locked.
            WeightsError: its weights cannot be had.
        """
        drifts = list(drift_of_config(self._key, self._entry, source.resolved.config))
        refuse(drifts, str(self._path))
        wanted = self._wanted(source, weights, encoder_weights)
        if wanted is not None:
            if self._entry.weights == "unlocked":
                raise LockError(
                    f"weights of a model under a lock must be locked; {self._path} was written without",
                    received=wanted.source,
                    repair="lock again with weights, or build with weights=None",
                )
            refuse(_drift_of_own(self._key, self._entry, wanted), str(self._path))

    def _wanted(
        self,
        source: Source,
        weights: str | os.PathLike[str] | None,
        encoder_weights: str | os.PathLike[str] | None,
    ) -> Weights | None:
        """What will be loaded, as `registry.assembly.pretrained` decides it."""
        if encoder_weights not in (_DEFAULT, None):
            stated = source.resolved.config.encoder
            _, spec = find_encoder(stated.plugin, stated.variant)
            name = os.fspath(encoder_weights)
            return Weights("encoder", spec.weights.get(name, name), declared=name in spec.weights)
        if weights is None:
            return None
        if weights != _DEFAULT:
            return Weights("segmentation", os.fspath(weights), declared=False)
        return own_weights(source, encoder=encoder_weights is not None)


def _entry(content: LockFile, key: str, path: str | os.PathLike[str]) -> LockedPreset:
    if key not in content.presets:
        raise LockError(
            f"a preset that is built under a lock must be in it; {path} does not have this one",
            received=key,
            repair=f"{nearest(key, content.presets)}; or `atrous lock` with this one, too",
        )
    return content.presets[key]


def _require_name(preset: object) -> None:
    """Refuse what cannot be found again from the lock file alone."""
    if not isinstance(preset, str | os.PathLike):
        raise LockError(
            "what is locked has a name: a preset of the catalog, the path of a file or folder, or a handle",
            received=f"a {type(preset).__name__}",
            repair="write it to a YAML file, and pass the path of that; overrides are arguments of their own",
        )


def _locked_weights(source: Source) -> LockedWeights | Literal["none"]:
    own = own_weights(source)
    return "none" if own is None else own.locked()


def _drift_of_own(key: str, entry: LockedPreset, wanted: Weights | None) -> list[Drift]:
    locked = entry.weights
    if isinstance(locked, LockedWeights) and wanted is not None:
        return list(drift_of_weights(key, locked, wanted.locked()))
    before = locked.source if isinstance(locked, LockedWeights) else "none"
    after = "none" if wanted is None else wanted.source
    if before == after:
        return []
    return [Drift(f"weights of preset {key!r}", before, after, "name the weights that were locked")]


def _require_locked_code(name: str, version: str, code: str, findings: Sequence[str]) -> None:
    if findings:
        raise LockError(
            f"the code of a plugin must be what was installed; that of {name} {version} is not",
            received="; ".join(findings[:20]),
            repair=f"pip install --force-reinstall --no-deps {name}=={version}; `atrous plugins --verify` lists files",
        )
    if code in ("editable", "unrecorded"):
        why = "installed editable" if code == "editable" else "without a RECORD of its files"
        warnings.warn(
            f"{name} {version} is {why}: its version is locked, its code is not",
            RegistryWarning,
            stacklevel=3,
        )
