"""Which plugins are installed, read from metadata alone: nothing of a plugin is imported here.

`importlib.metadata.entry_points()` would raise for everybody as soon as one installed distribution has a
malformed `entry_points.txt`, so the distributions are walked one by one. A walk costs about a millisecond per
hundred distributions; nothing is cached, and a plugin that was installed a moment ago is found.
"""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from registry.discovery.policy import Policy, normalized

__all__ = ["GROUPS", "HOST", "RESERVED_SCHEMES", "Claim", "Index", "Kind", "host_is_installed"]

Kind = Literal["encoder", "architecture", "store"]
# What a plugin offers → the entry-point group that it is declared in.
GROUPS: dict[Kind, str] = {
    "encoder": "registry.encoders",
    "architecture": "registry.architectures",
    "store": "registry.stores",
}
HOST = "atrous"
# Schemes that atrous serves itself. No installation may change where they lead.
RESERVED_SCHEMES = ("file", "hf", "http", "https", "kaggle")

_UNNAMED = "(unnamed distribution)"

_SCHEME = re.compile(r"[a-z][a-z0-9+.-]+")
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]*[A-Za-z0-9])?")
_VALUE = re.compile(
    r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*(?:\s*:\s*[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)?(?:\s*\[.*\])?"
)


@dataclass(frozen=True, order=True)
class Claim:
    """One entry point: a distribution's claim to a plugin name.

    Args:
        kind: what the plugin offers.
        name: the claimed plugin name.
        distribution: the distribution that declares it.
        version: that distribution's version.
        module: the entry point's value.
        defect: why the metadata itself is unusable; empty when it is sound.
    """

    kind: Kind
    name: str
    distribution: str
    version: str
    module: str
    defect: str = ""

    @property
    def builtin(self) -> bool:
        """Whether atrous itself ships the plugin."""
        return normalized(self.distribution) == HOST

    @property
    def origin(self) -> str:
        """Plugin, distribution and version, as messages name them."""
        noun = "plugin" if self.kind == "encoder" else self.kind
        return f"{noun} {self.name!r} ({self.distribution} {self.version})"


class Index:
    """Every claim on this `sys.path`, under the policy of the environment.

    Args:
        claims: all claims, blocked and malformed ones included.
        policy: what the environment allows.
    """

    def __init__(self, claims: list[Claim], policy: Policy) -> None:
        self.claims = sorted(claims)
        self.policy = policy

    @classmethod
    def read(cls, kind: Kind | None = None) -> Index:
        """Read metadata and environment as they are now.

        Args:
            kind: what the claims must offer; None reads all kinds.
        """
        kinds = get_args(Kind) if kind is None else (kind,)
        return cls(list(_installed_claims(kinds)), Policy.from_environment())

    def names(self, kind: Kind) -> list[str]:
        """Every claimed name of that kind, once."""
        return sorted({claim.name for claim in self.claims if claim.kind == kind})

    def named(self, kind: Kind, name: str) -> list[Claim]:
        """All claims to one name: an encoder plugin and an architecture may have the same."""
        return [claim for claim in self.claims if (claim.kind, claim.name) == (kind, name)]

    def refusing_variable(self, claim: Claim) -> str | None:
        """The environment variable that switches the claim off, if one does."""
        return self.policy.refusing_variable(claim.name, claim.distribution, builtin=claim.builtin)

    def contenders(self, kind: Kind, name: str) -> list[Claim]:
        """Claims to one name that are neither blocked nor malformed; more than one is a conflict."""
        return [
            claim
            for claim in self.named(kind, name)
            if not claim.defect and not self.refusing_variable(claim)
        ]


def host_is_installed() -> bool:
    """Whether atrous has metadata, without which its own plugins have no entry points."""
    try:
        importlib.metadata.distribution(HOST)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _installed_claims(kinds: Sequence[Kind]) -> Iterator[Claim]:
    seen: set[str] = set()
    for distribution in importlib.metadata.distributions():
        mentioned = _mentioned(distribution, kinds)
        if not mentioned:
            continue
        name = _field(distribution, "Name", _UNNAMED)
        # As in Python's own lookup, the first copy on sys.path hides later ones of the same distribution.
        if normalized(name) in seen:
            continue
        if name != _UNNAMED:
            seen.add(normalized(name))
        version = _field(distribution, "Version", "(unknown version)")
        for kind in mentioned:
            yield from _claims_of(kind, distribution, name, version)


def _mentioned(distribution: importlib.metadata.Distribution, kinds: Sequence[Kind]) -> list[Kind]:
    try:
        text = distribution.read_text("entry_points.txt") or ""
    except (OSError, ValueError):  # unreadable or not UTF-8: nothing says that it concerns us
        return []
    return [kind for kind in kinds if GROUPS[kind] in text]


def _field(distribution: importlib.metadata.Distribution, key: str, fallback: str) -> str:
    try:
        return (distribution.metadata.get_all(key) or [])[0] or fallback
    except Exception:  # METADATA is absent or unreadable; each Python version raises something else
        return fallback


def _claims_of(
    kind: Kind, distribution: importlib.metadata.Distribution, distribution_name: str, version: str
) -> Iterator[Claim]:
    group = GROUPS[kind]
    try:
        entries = [(entry.name, entry.value) for entry in distribution.entry_points if entry.group == group]
    except Exception as error:  # a line without `=` raises TypeError, a stray one something else
        yield Claim(
            kind=kind,
            name=distribution_name,
            distribution=distribution_name,
            version=version,
            module="",
            defect=f"its entry_points.txt cannot be parsed ({type(error).__name__}: {error})",
        )
        return
    for name, value in dict.fromkeys(entries):  # the same line twice is harmless
        yield Claim(kind, name, distribution_name, version, value, _defect(kind, name, value))


def _defect(kind: Kind, name: str, value: str) -> str:
    if kind == "store" and not _SCHEME.fullmatch(name):
        return f"the entry-point name {name!r} is no scheme: two or more of a-z, 0-9, '+', '.' and '-', a letter first"
    if kind == "store" and name in RESERVED_SCHEMES:
        return f"the scheme {name!r} is served by atrous itself"
    if not _NAME.fullmatch(name):
        return f"the entry-point name {name!r} is not a word of letters, digits, '.', '-' and '_'"
    if not _VALUE.fullmatch(value):
        return (
            f"the entry point {name!r} must read 'package.module' or 'package.module:object', not {value!r}"
        )
    return ""
