"""Whether the code of installed plugins is the code that was installed.

A wheel's RECORD lists every file that came with it and the hash of each. Here the files on disk are held against it,
and the code as a whole gets one hash that a lock file can state. Nothing of a plugin is imported. RECORD lies beside
the code and is signed by nobody: this finds damage, local edits and files that were put in later, not a distribution
that was malicious from the start.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from registry.discovery.index import Claim, Index
from registry.discovery.policy import normalized

__all__ = ["VerificationStatus", "VerifiedDistribution", "verify_distribution", "verify_plugins"]

VerificationStatus = Literal["intact", "changed", "editable", "unrecorded"]

_ALGORITHMS = {"sha256", "sha384", "sha512"}
# What Python would import. Byte code in `__pycache__` is made afterwards, by whoever imports a module first.
_IMPORTABLE = (".py", ".so", ".pyd")
_CACHE = "__pycache__"


@dataclass(frozen=True, kw_only=True)
class VerifiedDistribution:
    """One distribution with plugins, held against its RECORD.

    Args:
        distribution: its name.
        version: its version.
        plugins: the names that it claims, `encoder resnet`.
        status: `intact` (every listed file is there and has its hash, and nothing importable lies beside),
            `changed`, `editable` (its code lies in somebody's working tree, where it may change at any time), or
            `unrecorded` (it has no RECORD that could be read).
        changed: listed files with another content, or without a hash to hold them against.
        missing: listed files that are not there.
        unlisted: modules in its packages that RECORD does not list.
        code: SHA-256 of all its files by name and content, installer's notes excepted; the same on every machine with
            the same wheel. None where that means nothing: `editable`, `unrecorded`.
    """

    distribution: str
    version: str
    plugins: tuple[str, ...]
    status: VerificationStatus
    changed: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    unlisted: tuple[str, ...] = ()
    code: str | None = None

    @property
    def findings(self) -> tuple[str, ...]:
        """What differs, one line each."""
        return (
            *(f"changed: {name}" for name in self.changed),
            *(f"missing: {name}" for name in self.missing),
            *(f"unlisted: {name}" for name in self.unlisted),
        )

    def to_dict(self) -> dict[str, Any]:
        """The result as JSON-ready values."""
        return {
            key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()
        }


def verify_plugins() -> list[VerifiedDistribution]:
    """Hold every distribution that offers plugins, atrous itself included, against its RECORD; imports none of them.

    Returns:
        One result per distribution, sorted by name; blocked ones are verified, too.
    """
    claims: dict[str, list[Claim]] = {}
    for claim in Index.read().claims:
        claims.setdefault(normalized(claim.distribution), []).append(claim)
    return [verify_distribution(name, claims[name]) for name in sorted(claims)]


def verify_distribution(name: str, claims: list[Claim]) -> VerifiedDistribution:
    """Hold one distribution against its RECORD.

    Args:
        name: its name.
        claims: what it offers, one or more.
    """
    facts: dict[str, Any] = {
        "distribution": claims[0].distribution,
        "version": claims[0].version,
        "plugins": tuple(f"{claim.kind} {claim.name}" for claim in claims),
    }
    distribution = _installed(name)
    if distribution is not None and _is_editable(distribution):
        return VerifiedDistribution(**facts, status="editable")
    listed = {} if distribution is None else _listed(distribution)
    if distribution is None or not listed:
        return VerifiedDistribution(**facts, status="unrecorded")
    changed, missing, digests = [], [], {}
    for path, stated in listed.items():
        content = _content(Path(str(distribution.locate_file(path))))
        if content is None:
            missing.append(path)
            continue
        if stated is None or not _has_hash(content, *stated):
            changed.append(path)
        if _is_code(path):
            digests[path] = hashlib.sha256(content).hexdigest()
    unlisted = tuple(_unlisted(distribution, listed))
    return VerifiedDistribution(
        **facts,
        status="changed" if changed or missing or unlisted else "intact",
        changed=tuple(changed),
        missing=tuple(missing),
        unlisted=unlisted,
        code=_digest_of(digests),
    )


def _installed(name: str) -> importlib.metadata.Distribution | None:
    """The first copy on `sys.path`, which is the one that is imported."""
    for distribution in importlib.metadata.distributions():
        try:
            found = (distribution.metadata.get_all("Name") or [""])[0]
        except Exception:  # METADATA is absent or unreadable; each Python version raises something else
            continue
        if found and normalized(found) == name:
            return distribution
    return None


def _is_editable(distribution: importlib.metadata.Distribution) -> bool:
    """Whether it was installed as a link to a working tree (PEP 610)."""
    try:
        stated = json.loads(distribution.read_text("direct_url.json") or "{}")
        return bool(stated.get("dir_info", {}).get("editable", False))
    except (OSError, ValueError, AttributeError):
        return False


def _listed(distribution: importlib.metadata.Distribution) -> dict[str, tuple[str, str] | None]:
    """Path as RECORD has it → algorithm and hash; byte code and RECORD itself have none and are left out."""
    try:
        entries = [(path.as_posix(), path.hash) for path in distribution.files or ()]
    except Exception:  # a line that is no CSV, a size that is no number, a path with a null character
        return {}
    return {
        path: None if stated is None else (stated.mode, stated.value)
        for path, stated in sorted(entries, key=lambda entry: entry[0])
        if not (stated is None and (path.endswith((".dist-info/RECORD", ".pyc"))))
    }


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes() if path.is_file() else None
    except (OSError, ValueError):
        return None


def _has_hash(content: bytes, algorithm: str, stated: str) -> bool:
    if algorithm not in _ALGORITHMS:
        return False
    digest = hashlib.new(algorithm, content).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=") == stated.encode().rstrip(b"=")


def _is_code(path: str) -> bool:
    """Whether a listed file is what the wheel brought, and not what the installer made of its place on the disk."""
    parts = PurePosixPath(path).parts
    return ".." not in parts and not path.startswith("/") and not parts[0].endswith(".dist-info")


def _digest_of(digests: dict[str, str]) -> str:
    whole = hashlib.sha256()
    for path in sorted(digests):
        whole.update(f"{path}\0{digests[path]}\n".encode())
    return whole.hexdigest()


def _unlisted(distribution: importlib.metadata.Distribution, listed: dict[str, Any]) -> Iterator[str]:
    """Modules that somebody has put into the distribution's packages."""
    packages = {PurePosixPath(path).parts[0] for path in listed if _is_code(path) and "/" in path}
    for package in sorted(packages):
        top = Path(str(distribution.locate_file(package)))
        for folder, folders, files in os.walk(top):
            folders[:] = sorted(set(folders) - {_CACHE})
            for file in sorted(files):
                path = (PurePosixPath(package) / Path(folder).relative_to(top).as_posix() / file).as_posix()
                if file.endswith(_IMPORTABLE) and path not in listed:
                    yield path
