"""What differs between a lock file and what is here: each difference by name, with both values and the repair."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from registry.config import PresetConfig
from registry.errors import LockDriftError
from registry.locking.facts import config_facts, config_sha256, installed_distributions, installed_plugins
from registry.locking.lockfile import LockedPreset, LockedWeights, LockFile

__all__ = ["Drift", "drift_of_config", "drift_of_plugins", "drift_of_weights", "refuse"]

_ABSENT = "nothing"
_LISTED = 20
_FILES = 5


@dataclass(frozen=True)
class Drift:
    """One difference.

    Args:
        what: what drifted: `num_classes of preset 'x'`.
        locked: the value that the lock file states.
        found: the value that is here.
        repair: how to get back what was locked.
    """

    what: str
    locked: str
    found: str
    repair: str

    def __str__(self) -> str:
        return f"{self.what}: locked {self.locked}, found {self.found}"


def drift_of_plugins(lock: LockFile) -> Iterator[Drift]:
    """Compare plugins and distributions, from metadata and files alone: nothing is imported."""
    here = installed_plugins()
    for plugin in lock.plugins:
        found = here.get((plugin.kind, plugin.name))
        distribution = _ABSENT if found is None else found.distribution
        if distribution != plugin.distribution:
            yield Drift(
                f"distribution of {plugin.kind} {plugin.name!r}",
                plugin.distribution,
                distribution,
                f"pip install {plugin.distribution}, and let nothing else claim that name: `atrous plugins`",
            )
    distributions = installed_distributions(set(lock.distributions))
    for name, locked in lock.distributions.items():
        if name not in distributions:
            yield Drift(f"version of {name}", locked.version, _ABSENT, _install(name, locked.version))
            continue
        state, findings = distributions[name]
        if state.version != locked.version:
            yield Drift(f"version of {name}", locked.version, state.version, _install(name, locked.version))
        elif findings:
            more = f", … ({len(findings)} in all)" if len(findings) > _FILES else ""
            yield Drift(
                f"code of {name}",
                locked.code,
                f"files that are not as installed ({', '.join(findings[:_FILES])}{more})",
                f"pip install --force-reinstall --no-deps {name}=={locked.version}",
            )
        elif state.code != locked.code:
            yield Drift(f"code of {name}", locked.code, state.code, _install(name, locked.version))


def drift_of_config(name: str, locked: LockedPreset, config: PresetConfig) -> Iterator[Drift]:
    """Compare a preset's configuration, value by value."""
    before, after = _flat(locked.config), _flat(config_facts(config))
    hash_here = config_sha256(config)
    differing = [
        key for key in sorted({*before, *after}) if before.get(key, _ABSENT) != after.get(key, _ABSENT)
    ]
    edited = "the lock file was edited by hand: lock again"
    restore = f"restore it (`atrous show {name}` says where it comes from), or drop the override"
    for key in differing:
        repair = edited if hash_here == locked.config_sha256 else restore
        yield Drift(f"{key} of preset {name!r}", before.get(key, _ABSENT), after.get(key, _ABSENT), repair)
    if not differing and hash_here != locked.config_sha256:
        yield Drift(f"config_sha256 of preset {name!r}", locked.config_sha256, hash_here, edited)


def drift_of_weights(name: str, locked: LockedWeights, found: LockedWeights) -> Iterator[Drift]:
    """Compare the files of weights by their content; what they are called may differ."""
    if sorted(locked.files.values()) == sorted(found.files.values()):
        return
    for file in sorted({*locked.files, *found.files}):
        before, after = locked.files.get(file, _ABSENT), found.files.get(file, _ABSENT)
        if before != after:
            yield Drift(
                f"{file}, weights of preset {name!r}",
                before,
                after,
                f"restore the file that was locked, {locked.source}; in a cache, remove what is there",
            )


def refuse(drifts: Sequence[Drift], path: str) -> None:
    """Raise what was found, if anything was.

    Raises:
        LockDriftError: there is drift; each is named.
    """
    if not drifts:
        return
    lines = [str(drift) for drift in drifts[:_LISTED]]
    if len(drifts) > _LISTED:
        lines.append(f"… and {len(drifts) - _LISTED} more")
    repairs = list(dict.fromkeys(drift.repair for drift in drifts))
    raise LockDriftError(
        f"what is built must be what {path} states",
        received="; ".join(lines),
        repair="; ".join([*repairs[:3], "or accept what is here: `atrous lock`, and commit the file"]),
        drifts=drifts,
    )


def _install(name: str, version: str) -> str:
    return f"pip install {name}=={version}"


def _flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Dotted key → value as JSON."""
    flat: dict[str, str] = {}
    for key, item in value.items():
        if isinstance(item, Mapping) and item:
            flat |= _flat(item, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = json.dumps(item, ensure_ascii=False)
    return flat
