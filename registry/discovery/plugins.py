"""The plugins that are installed: looked up, imported, listed; what came of it is remembered."""

from __future__ import annotations

import fnmatch
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import cast

from registry.discovery.index import RESERVED_SCHEMES, Claim, Index, Kind, host_is_installed
from registry.discovery.loaded import LoadedArchitecture, LoadedPlugin, LoadedStore, Plugin
from registry.discovery.loading import Failure, attempt, defective
from registry.discovery.policy import ALLOW_VARIABLE, BLOCK_VARIABLE
from registry.discovery.records import ArchitectureRecord, EncoderRecord, PluginRecord, PluginStatus
from registry.discovery.specs import default_channels, default_levels
from registry.errors import (
    BlockedPluginError,
    BrokenPluginError,
    DuplicatePluginError,
    PluginError,
    RegistryWarning,
    UnknownPluginError,
    nearest,
)
from registry.pyramid import EncoderSpec

__all__ = [
    "architecture_names",
    "find_encoder",
    "list_architectures",
    "list_encoders",
    "list_plugins",
    "load_architecture",
    "load_plugin",
    "load_store",
    "reset",
    "store_schemes",
    "usable_plugins",
]

# Reentrant, since a plugin may ask for another one while it is being imported.
_lock = threading.RLock()
_outcomes: dict[Claim, Plugin | Failure] = {}
_in_progress: set[Claim] = set()

_NOUNS: dict[Kind, str] = {"encoder": "encoder plugin", "architecture": "architecture", "store": "store"}


def list_plugins() -> list[PluginRecord]:
    """List every installed plugin, sorted by what it offers and by name; imports none of them."""
    index = Index.read()
    return [_record(claim, index) for claim in index.claims]


def load_plugin(name: str) -> LoadedPlugin:
    """Import one encoder plugin, or return it when it was imported before.

    Args:
        name: the plugin's entry-point name, as presets write it under `encoder.plugin`.

    Raises:
        UnknownPluginError: no installed distribution offers that name; names the nearest ones.
        BlockedPluginError: `ATROUS_PLUGINS` or `ATROUS_BLOCK_PLUGINS` switches it off.
        DuplicatePluginError: the name is claimed twice; names both distributions.
        BrokenPluginError: it raised on import, states another API version, misspells a hook, or describes its
            encoders wrongly. Asking again raises again, with the original cause, without a second import.
    """
    return cast("LoadedPlugin", _load(_sole_claim("encoder", name, Index.read("encoder"))))


def load_architecture(name: str) -> LoadedArchitecture:
    """Import the plugin of one architecture, or return it when it was imported before.

    Args:
        name: the plugin's entry-point name, as presets write it under `architecture.name`.

    Raises:
        UnknownPluginError, BlockedPluginError, DuplicatePluginError, BrokenPluginError: as `load_plugin`.
    """
    return cast("LoadedArchitecture", _load(_sole_claim("architecture", name, Index.read("architecture"))))


def load_store(scheme: str) -> LoadedStore:
    """Import the plugin that serves handles of a scheme, or return it when it was imported before.

    Args:
        scheme: the plugin's entry-point name, `s3` for `s3://…`.

    Raises:
        UnknownPluginError, BlockedPluginError, DuplicatePluginError, BrokenPluginError: as `load_plugin`.
    """
    return cast("LoadedStore", _load(_sole_claim("store", scheme, Index.read("store"))))


def store_schemes() -> list[str]:
    """Every scheme whose handles may be used, from metadata alone: those of atrous, then those of plugins."""
    index = Index.read("store")
    return [*RESERVED_SCHEMES, *(name for name in index.names("store") if index.contenders("store", name))]


def architecture_names() -> list[str]:
    """Names of all architectures that may be used, from metadata alone."""
    index = Index.read("architecture")
    return [name for name in index.names("architecture") if index.contenders("architecture", name)]


def find_encoder(plugin: str, variant: str) -> tuple[LoadedPlugin, EncoderSpec]:
    """Load the plugin and look up one of its encoder variants.

    Raises:
        PluginError: the plugin cannot serve, see `load_plugin`.
        UnknownEncoderError: the plugin has no such variant; names the nearest ones.
    """
    loaded = load_plugin(plugin)
    return loaded, loaded.encoder(variant)


def list_encoders(pattern: str | None = None) -> list[EncoderRecord]:
    """List the encoder variants of all usable plugins, which are imported for it.

    Args:
        pattern: glob over `variant` or `plugin/variant`, for instance `*50*` or `resnet/*`; case is ignored.

    Returns:
        Records sorted by plugin and variant. A plugin that cannot serve is left out with a `RegistryWarning`;
        a blocked one is left out silently.
    """
    records = (
        _encoder_record(plugin, spec)
        for plugin in usable_plugins("encoder")
        if isinstance(plugin, LoadedPlugin)
        for spec in plugin.encoders.values()
    )
    return sorted(
        (
            record
            for record in records
            if pattern is None or _matches(pattern, record.variant, f"{record.plugin}/{record.variant}")
        ),
        key=lambda record: (record.plugin, record.variant),
    )


def list_architectures(pattern: str | None = None) -> list[ArchitectureRecord]:
    """List the architectures of all usable plugins, which are imported for it.

    Args:
        pattern: glob over the name, for instance `deeplab*`; case is ignored.

    Returns:
        Records sorted by name. A plugin that cannot serve is left out with a `RegistryWarning`; a blocked one is
        left out silently.
    """
    records = (
        _architecture_record(plugin)
        for plugin in usable_plugins("architecture")
        if isinstance(plugin, LoadedArchitecture)
    )
    return [record for record in records if pattern is None or _matches(pattern, record.name)]


def usable_plugins(kind: Kind, *, which: Callable[[Claim], bool] = lambda claim: True) -> Iterator[Plugin]:
    """Import the plugins of a kind that can serve, one after the other.

    Args:
        kind: what they offer.
        which: those to look at, of the claims to one name at least one.

    Yields:
        Plugins by name. One that cannot serve is left out with a `RegistryWarning`, a blocked one silently.
    """
    index = Index.read(kind)
    for name in index.names(kind):
        if not any(which(claim) for claim in index.named(kind, name)):
            continue
        try:
            plugin = _load(_sole_claim(kind, name, index))
        except BlockedPluginError:
            continue
        except PluginError as error:
            _warn(f"{_NOUNS[kind].removeprefix('encoder ')} {name!r} is left out\n{error}")
            continue
        yield plugin


def reset() -> None:
    """Forget what was loaded and what failed, for tests and notebooks; modules stay imported."""
    with _lock:
        _outcomes.clear()


def _load(claim: Claim) -> Plugin:
    with _lock:
        outcome = _outcomes.get(claim)
        if outcome is not None:
            newly_heavy = False
        else:
            had_tensorflow = "tensorflow" in sys.modules
            outcome = _attempt_once(claim)
            newly_heavy = not had_tensorflow and "tensorflow" in sys.modules
    if newly_heavy:
        _warn(f"{claim.origin} imports TensorFlow at its top level; move the import into the builder")
    if isinstance(outcome, Failure):
        raise outcome.again()
    return outcome


def _attempt_once(claim: Claim) -> Plugin | Failure:
    if claim in _in_progress:
        raise BrokenPluginError(
            f"{claim.origin} must not be asked for while it is being imported",
            received=f"a request from within {claim.module}",
            repair="move the request out of the module's top level",
        )
    _in_progress.add(claim)
    try:
        outcome = _outcomes[claim] = attempt(claim)
    finally:
        _in_progress.discard(claim)
    return outcome


def _sole_claim(kind: Kind, name: str, index: Index) -> Claim:
    claims = index.named(kind, name)
    if not claims:
        raise _unknown(kind, name, index)
    contenders = index.contenders(kind, name)
    if len(contenders) == 1:
        return contenders[0]
    if contenders:
        raise _duplicate(contenders)
    defects = [claim for claim in claims if not index.refusing_variable(claim)]
    raise defective(defects[0]) if defects else _blocked(claims, index)


def _unknown(kind: Kind, name: str, index: Index) -> UnknownPluginError:
    repair = nearest(name, index.names(kind))
    if not repair.startswith("did you mean"):
        repair += "; or pip install the distribution that offers it"
    if not host_is_installed():
        repair = f"atrous is not installed, so its own plugins are unknown: `pip install -e .`; {repair}"
    noun = _NOUNS[kind]
    return UnknownPluginError(
        f"{'a' if noun == 'store' else 'an'} {noun} is named by the entry point of an installed distribution",
        received=name,
        repair=repair,
    )


def _duplicate(contenders: list[Claim]) -> DuplicatePluginError:
    distributions = list(dict.fromkeys(claim.distribution for claim in contenders if not claim.builtin))
    blocks = " or ".join(f"{BLOCK_VARIABLE}={distribution}" for distribution in distributions or ["atrous"])
    return DuplicatePluginError(
        f"{_NOUNS[contenders[0].kind]} name {contenders[0].name!r} must belong to one entry point of one distribution",
        received=" and ".join(_claimant(claim) for claim in contenders),
        repair=f"uninstall one of them, or block one: {blocks}",
    )


def _blocked(claims: list[Claim], index: Index) -> BlockedPluginError:
    claim = claims[0]
    variable = index.refusing_variable(claim)
    repair = (
        f"remove {claim.name!r} or {claim.distribution!r} from {BLOCK_VARIABLE}"
        if variable == BLOCK_VARIABLE
        else f"add {claim.name!r} or {claim.distribution!r} to {ALLOW_VARIABLE}, or unset it"
    )
    return BlockedPluginError(
        f"a plugin must be allowed by the environment; {variable} switches this one off",
        received=" and ".join(blocked.origin for blocked in claims),
        repair=repair,
    )


def _claimant(claim: Claim) -> str:
    return f"{claim.distribution} {claim.version} ({claim.module})"


def _record(claim: Claim, index: Index) -> PluginRecord:
    status, error = _standing(claim, index)
    return PluginRecord(
        kind=claim.kind,
        name=claim.name,
        distribution=claim.distribution,
        version=claim.version,
        module=claim.module,
        builtin=claim.builtin,
        status=status,
        error=error,
    )


def _standing(claim: Claim, index: Index) -> tuple[PluginStatus, str | None]:
    variable = index.refusing_variable(claim)
    if variable:
        return "blocked", f"switched off by {variable}"
    if claim.defect:
        return "broken", claim.defect
    rivals = [rival for rival in index.contenders(claim.kind, claim.name) if rival != claim]
    if rivals:
        return "duplicate", "also claimed by " + " and ".join(_claimant(rival) for rival in rivals)
    outcome = _outcomes.get(claim)
    if outcome is None:
        return "available", None
    return (outcome.status, outcome.summary) if isinstance(outcome, Failure) else ("loaded", None)


def _encoder_record(plugin: LoadedPlugin, spec: EncoderSpec) -> EncoderRecord:
    return EncoderRecord(
        plugin=plugin.record.name,
        variant=spec.name,
        distribution=plugin.record.distribution,
        version=plugin.record.version,
        channels=default_channels(spec),
        output_strides=spec.output_strides,
        min_size=spec.min_size,
        weights=dict(spec.weights),
        parameters=spec.parameters,
        macs=spec.macs,
        license=spec.license,
        paper=spec.paper,
        description=spec.description,
    )


def _architecture_record(plugin: LoadedArchitecture) -> ArchitectureRecord:
    return ArchitectureRecord(
        name=plugin.spec.name,
        distribution=plugin.record.distribution,
        version=plugin.record.version,
        module=plugin.record.module,
        builtin=plugin.record.builtin,
        levels=default_levels(plugin.spec),
        paper=plugin.spec.paper,
        description=plugin.spec.description,
    )


def _matches(pattern: str, *names: str) -> bool:
    return any(fnmatch.fnmatchcase(name.casefold(), pattern.casefold()) for name in names)


def _warn(message: str) -> None:
    warnings.warn(message, RegistryWarning, stacklevel=3)
