"""Import one plugin, hold it against the hook specifications, and keep what goes wrong to itself."""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import pluggy

from registry import hookspecs
from registry.discovery.blame import blaming, broken, one_line
from registry.discovery.index import GROUPS, Claim, Kind
from registry.discovery.loaded import LoadedArchitecture, LoadedPlugin, LoadedStore, Plugin
from registry.discovery.records import PluginRecord
from registry.discovery.specs import architecture_violations, spec_violations
from registry.errors import BrokenPluginError, nearest
from registry.stores import Store

__all__ = ["Failure", "attempt", "defective"]


@dataclass(frozen=True)
class Failure:
    """A remembered attempt that failed; the plugin is not imported a second time.

    Args:
        status: how the plugin's record shows it.
        error: what was raised.
    """

    status: Literal["broken", "incompatible"]
    error: BrokenPluginError

    @property
    def summary(self) -> str:
        """The failure in one line."""
        return one_line(f"{self.error.rule}; received: {self.error.received}")

    def again(self) -> BrokenPluginError:
        """A fresh exception with the original cause.

        Raising one instance repeatedly would grow its traceback and mix those of several threads.
        """
        error = BrokenPluginError(self.error.rule, received=self.error.received, repair=self.error.repair)
        error.__cause__ = self.error.__cause__
        return error


class _IncompatiblePluginError(BrokenPluginError):
    """Tells a foreign API version from other breakage; never leaves this module."""


def attempt(claim: Claim) -> Plugin | Failure:
    """Import one plugin and check everything that can be checked without building.

    `KeyboardInterrupt` passes; any other failure, `SystemExit` included, is returned.
    """
    try:
        # The steps blame precisely; this catches what hides elsewhere, such as a raising property or repr.
        with blaming(claim, "must be inspectable without raising", passing=BrokenPluginError):
            return _load(claim)
    except _IncompatiblePluginError as error:
        return Failure("incompatible", error)
    except BrokenPluginError as error:
        return Failure("broken", error)


def defective(claim: Claim) -> BrokenPluginError:
    """The error for a claim whose metadata is malformed."""
    return broken(claim, "must be declared by well-formed metadata", claim.defect)


def _load(claim: Claim) -> Plugin:
    with blaming(claim, "must be importable"):
        plugin = importlib.metadata.EntryPoint(claim.name, claim.module, GROUPS[claim.kind]).load()
    _check_api_version(claim, plugin)
    hooks = _register(claim, plugin)
    record = PluginRecord(
        kind=claim.kind,
        name=claim.name,
        distribution=claim.distribution,
        version=claim.version,
        module=claim.module,
        builtin=claim.builtin,
        status="loaded",
    )
    return _DESCRIBED[claim.kind](claim, record, hooks)


def _check_api_version(claim: Claim, plugin: object) -> None:
    module = sys.modules.get(claim.module.split(":")[0].strip())
    version = getattr(plugin, "REGISTRY_API_VERSION", getattr(module, "REGISTRY_API_VERSION", 1))
    if type(version) is not int:
        raise _IncompatiblePluginError(
            f"{claim.origin} must state REGISTRY_API_VERSION as an int",
            received=repr(version),
            repair=f"write REGISTRY_API_VERSION = {hookspecs.API_VERSION} in {claim.module}",
        )
    if version != hookspecs.API_VERSION:
        outdated = "atrous" if version > hookspecs.API_VERSION else claim.distribution
        raise _IncompatiblePluginError(
            f"{claim.origin} must be written for API version {hookspecs.API_VERSION} of this atrous",
            received=f"REGISTRY_API_VERSION = {version}",
            repair=f"pip install --upgrade {outdated}",
        )


def _register(claim: Claim, plugin: object) -> pluggy.HookRelay:
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    known = set(vars(manager.hook))
    with blaming(claim, "must implement hooks with the arguments that registry.hookspecs states"):
        manager.register(plugin, claim.name)
    try:
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        misspelt = sorted(set(vars(manager.hook)) - known)
        raise BrokenPluginError(
            f"{claim.origin} must implement only hooks that exist",
            received=", ".join(misspelt),
            repair="; ".join(f"{name}: {nearest(name, known)}" for name in misspelt),
        ) from error
    _check_completeness(claim, plugin, manager.hook, known)
    return manager.hook


def _check_completeness(claim: Claim, plugin: object, hooks: pluggy.HookRelay, known: set[str]) -> None:
    implemented = {name for name in known if getattr(hooks, name).get_hookimpls()}
    unmarked = sorted(name for name in known - implemented if hasattr(plugin, name))
    if unmarked:
        raise broken(
            claim,
            "must mark its hooks, or they are never called",
            f"{', '.join(unmarked)} without a decorator",
            repair="decorate with @registry.hookspecs.hookimpl",
        )
    if not implemented:
        raise broken(
            claim,
            "must implement at least one hook",
            f"{claim.module} implements none",
            repair=f"implement {' and '.join(_OWN_HOOKS[claim.kind])} with @registry.hookspecs.hookimpl",
        )
    for kind, own in _OWN_HOOKS.items():
        missing = [name for name in own if name not in implemented]
        begun = 0 < len(missing) < len(own)
        # An encoder plugin may do nothing but contribute presets.
        if begun or (missing and kind == claim.kind != "encoder"):
            raise broken(
                claim,
                f"must both describe and build its {kind}s" if len(own) > 1 else f"must give its {kind}",
                f"{missing[0]} is not implemented" if len(missing) == 1 else "neither is implemented",
            )


def _described_encoders(claim: Claim, record: PluginRecord, hooks: pluggy.HookRelay) -> LoadedPlugin:
    with blaming(claim, "must describe its encoders without raising"):
        described = [spec for answer in hooks.registry_encoders() for spec in answer]
    violations = list(spec_violations(described))
    if violations:
        raise broken(
            claim,
            "must describe its encoders correctly",
            "; ".join(violations),
            repair="correct what its registry_encoders hook returns",
        )
    encoders = MappingProxyType({spec.name: spec for spec in described})
    return LoadedPlugin(record=record, encoders=encoders, _claim=claim, _hooks=hooks)


def _described_architecture(
    claim: Claim, record: PluginRecord, hooks: pluggy.HookRelay
) -> LoadedArchitecture:
    with blaming(claim, "must describe its architectures without raising"):
        described = [spec for answer in hooks.registry_architectures() for spec in answer]
        violations = list(architecture_violations(described, claim.name))
    if violations:
        raise broken(
            claim,
            "must describe its architectures correctly",
            "; ".join(violations),
            repair="correct what its registry_architectures hook returns",
        )
    spec = next(spec for spec in described if spec.name == claim.name)
    return LoadedArchitecture(record=record, spec=spec, _claim=claim, _hooks=hooks)


def _described_store(claim: Claim, record: PluginRecord, hooks: pluggy.HookRelay) -> LoadedStore:
    with blaming(claim, "must give its store without raising"):
        store = hooks.registry_store(scheme=claim.name)
    if not isinstance(store, Store):
        raise broken(
            claim,
            "must give an instance of registry.stores.Store",
            repr(store),
            repair="return an instance of a subclass of registry.stores.DownloadStore from its registry_store hook",
        )
    return LoadedStore(record=record, store=store, _claim=claim, _hooks=hooks)


_DESCRIBED: dict[Kind, Callable[[Claim, PluginRecord, pluggy.HookRelay], Plugin]] = {
    "encoder": _described_encoders,
    "architecture": _described_architecture,
    "store": _described_store,
}
# What a plugin of a kind implements, all of it: first what describes it.
_OWN_HOOKS: dict[Kind, tuple[str, ...]] = {
    "encoder": ("registry_encoders", "registry_build_encoder"),
    "architecture": ("registry_architectures", "registry_build_segmenter"),
    "store": ("registry_store",),
}
