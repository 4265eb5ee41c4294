"""Run checks: one, or those of a variant. Nothing here imports TensorFlow before a check does."""

from __future__ import annotations

import fnmatch
import functools
import importlib
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from registry.discovery import load_plugin
from registry.errors import ModelError, UnknownEncoderError, nearest
from registry.pyramid import EncoderSpec
from registry.testing.catalog import CHECKS
from registry.testing.outcomes import Finding, Inapplicable, Note, Outcome, describe_error

if TYPE_CHECKING:
    from registry.testing.subject import Subject

__all__ = ["check_encoder", "check_names", "run_check", "select_variants"]

Selection = Literal["smallest", "architectures", "all"] | Sequence[str]


def check_encoder(plugin: str, variant: str, *, checks: Iterable[str] | None = None) -> list[Outcome]:
    """Check the promises of one encoder variant.

    Args:
        plugin: name of the plugin, as presets write it.
        variant: name of the variant.
        checks: names of checks, keys of `CHECKS`; None runs all.

    Returns:
        One outcome per check, in the order of `CHECKS`. A defect of the plugin is a finding, never an exception.

    Raises:
        PluginError: the plugin cannot be loaded.
        UnknownEncoderError: it has no such variant.
        ModelError: there is no check of that name.
    """
    return [run_check(plugin, variant, name) for name in check_names(checks)]


def run_check(plugin: str, variant: str, check: str) -> Outcome:
    """Run one check of one variant.

    Models of the variant that was checked last are kept, so ask for all checks of one variant before the next.

    Args and errors are those of `check_encoder`.
    """
    (check,) = check_names([check])
    spec = load_plugin(plugin).encoder(variant)
    findings: list[Finding] = []
    notes: list[str] = []
    # Outside of `try`: what fails here is atrous, not the plugin.
    function, subject = CHECKS[check].function(), _subject(plugin, variant)
    try:
        for said in function(subject):
            if isinstance(said, Note):
                notes.append(said.text)
            else:
                findings.append(said)
    except Inapplicable as reason:
        return Outcome(plugin=plugin, variant=variant, check=check, status="inapplicable", reason=str(reason))
    except Exception as error:
        findings.append(describe_error(error, f"check {check!r} must end: {CHECKS[check].promise}"))
    return _judged(plugin, spec, check, findings, notes)


def select_variants(plugin: str, selection: Selection = "smallest") -> list[str]:
    """Names of variants of a plugin, smallest first.

    Args:
        plugin: name of the plugin.
        selection: `smallest` (one), `architectures` (the smallest of each paper), `all`, or names, with `*` and `?`
            as wildcards.

    Raises:
        PluginError: the plugin cannot be loaded.
        UnknownEncoderError: a name or pattern matches no variant.
    """
    encoders = load_plugin(plugin).encoders
    ordered = [spec.name for spec in sorted(encoders.values(), key=_size)]
    if selection == "all":
        return ordered
    if selection == "smallest":
        return ordered[:1]
    if selection == "architectures":
        first = _first_by_paper(ordered, encoders)
        return [name for name in ordered if name in first]
    patterns = [selection] if isinstance(selection, str) else list(selection)
    chosen = []
    for pattern in patterns:
        matching = [name for name in ordered if fnmatch.fnmatchcase(name, pattern)]
        if not matching:
            raise UnknownEncoderError(
                f"plugin {plugin!r} offers no encoder variant of that name",
                received=pattern,
                repair=nearest(pattern, ordered),
            )
        chosen += matching
    return list(dict.fromkeys(chosen))


def check_names(names: Iterable[str] | None) -> list[str]:
    """The names of checks, in the order of `CHECKS`.

    Raises:
        ModelError: there is no check of that name.
    """
    if names is None:
        return list(CHECKS)
    asked = list(names)
    for name in asked:
        if name not in CHECKS:
            raise ModelError(
                f"a check is one of {', '.join(CHECKS)}", received=name, repair=nearest(str(name), CHECKS)
            )
    return [name for name in CHECKS if name in asked]


def _judged(plugin: str, spec: EncoderSpec, check: str, findings: list[Finding], notes: list[str]) -> Outcome:
    reason = spec.exclusions.get(check, "")
    if reason and not findings:
        findings = [
            Finding(
                "an exclusion must be needed",
                f"check {check!r} passes, and the EncoderSpec excludes it: {reason}",
                f"remove {check!r} from the exclusions of {spec.name!r}",
            )
        ]
        reason = ""
    status: Literal["passed", "failed", "excluded"] = (
        "passed" if not findings else "excluded" if reason else "failed"
    )
    return Outcome(
        plugin=plugin,
        variant=spec.name,
        check=check,
        status=status,
        findings=tuple(findings),
        notes=tuple(notes),
        reason=reason,
    )


# One variant's models may take a gigabyte: keep those of the last one only.
@functools.lru_cache(maxsize=1)
def _subject(plugin: str, variant: str) -> Subject:
    # By name, so that importing this module does not lead to TensorFlow, which import-linter follows everywhere.
    subject: Subject = importlib.import_module("registry.testing.subject").Subject(plugin, variant)
    return subject


def _size(spec: EncoderSpec) -> tuple[bool, int, int]:
    """Variants whose size is not stated come last, as their options may have no defaults."""
    return spec.parameters is None, spec.parameters or 0, spec.macs or 0


def _first_by_paper(ordered: Sequence[str], encoders: Mapping[str, EncoderSpec]) -> set[str]:
    first: dict[str, str] = {}
    for name in ordered:
        first.setdefault(encoders[name].paper, name)
    return set(first.values())
