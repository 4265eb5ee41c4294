"""The thin layer that makes tests of checks. pytest is imported when it is asked for, not before."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from registry.errors import EnvironmentUnsupportedError
from registry.testing.catalog import CHECKS
from registry.testing.outcomes import Outcome
from registry.testing.running import Selection, check_names, run_check, select_variants

__all__ = ["conformance"]


def conformance(
    plugin: str,
    variants: Selection = "architectures",
    *,
    checks: Iterable[str] | None = None,
    rest: bool = True,
) -> type:
    """Make a test class that holds a plugin to its promises, for a name that starts with `Test`.

    Each check of each variant is a test of its own, `test_promise[tinynet-atrous]`, so that `-k` selects.

    A variant's `EncoderSpec.exclusions` become expected failures with their reason; one that passes is a failure.

    Args:
        plugin: name of the plugin, as presets write it.
        variants: which variants run every check: `architectures` (the smallest of each paper), `smallest` (one),
            `all`, or names with `*` and `?` as wildcards.
        checks: names of checks, keys of `CHECKS`; None takes all.
        rest: whether the plugin's other variants are checked too, by those checks that only look at descriptions
            and graphs.

    Returns:
        The class.

    Raises:
        EnvironmentUnsupportedError: pytest is absent.
        PluginError: the plugin cannot be loaded.
        UnknownEncoderError: a name or pattern in `variants` matches no variant.
        ModelError: there is no check of that name.
    """
    pytest = _pytest()
    chosen = select_variants(plugin, variants)
    names = check_names(checks)
    cases = [
        pytest.param(variant, name, id=f"{variant}-{name}")
        for variant in select_variants(plugin, "all")
        for name in names
        if variant in chosen or (rest and CHECKS[name].light and name != "imports")
    ]

    class Conformance:
        @pytest.mark.parametrize(("variant", "check"), cases)
        def test_promise(self, variant: str, check: str) -> None:
            _report(pytest, run_check(plugin, variant, check))

    Conformance.__doc__ = f"The promises of the encoder plugin {plugin!r}."
    Conformance.__qualname__ = Conformance.__name__ = f"Test{plugin.title()}"
    # pytest names a test by the module that holds the class.
    Conformance.__module__ = sys._getframe(1).f_globals.get("__name__", __name__)
    return Conformance


def _report(pytest: Any, outcome: Outcome) -> None:
    if outcome.notes:
        print("\n".join(outcome.notes))
    if outcome.status == "failed":
        pytest.fail("\n\n".join(map(str, outcome.findings)), pytrace=False)
    if outcome.status == "excluded":
        pytest.xfail(outcome.reason)
    if outcome.status == "inapplicable":
        pytest.skip(outcome.reason)


def _pytest() -> Any:
    try:
        import pytest
    except ImportError as error:
        raise EnvironmentUnsupportedError(
            "the conformance tests of a plugin are run by pytest",
            received=str(error),
            repair="pip install 'atrous[testing]'; `atrous check-plugin NAME` needs no pytest",
        ) from error
    return pytest
