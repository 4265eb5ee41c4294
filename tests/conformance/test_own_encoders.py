"""Our own plugins keep the promises that we ask of others.

The smallest variant of each plugin runs every check. All others run the checks of descriptions and graphs in the sweep
(`pytest -m sweep`): whatever a family builds of its larger members is the same code, and building two hundred networks
takes half an hour.
"""

import pytest

from registry import discovery
from registry.testing import CHECKS, conformance, select_variants

PLUGINS = [plugin.name for plugin in discovery.list_plugins() if plugin.builtin and plugin.kind == "encoder"]


def _class_name(plugin):
    return "Test" + "".join(word.capitalize() for word in plugin.split("_"))


for _plugin in PLUGINS:
    globals()[_class_name(_plugin)] = conformance(_plugin, "smallest", rest=False)
    _sweep = conformance(_plugin, "all", checks=["spec", "flat"])
    globals()[_class_name(_plugin) + "AllVariants"] = pytest.mark.sweep(_sweep)


def test_every_plugin_of_ours_has_encoders():
    assert len(PLUGINS) >= 8
    assert [plugin for plugin in PLUGINS if not select_variants(plugin, "all")] == []


def test_what_is_excluded_is_known_to_be():
    """The table of exclusions, whole: an addition is a decision."""
    excluded = {
        (record.plugin, check)
        for record in discovery.list_encoders()
        for check in discovery.find_encoder(record.plugin, record.variant)[1].exclusions
        if record.distribution == "atrous"
    }
    assert excluded <= KNOWN_EXCLUSIONS
    assert {check for _, check in KNOWN_EXCLUSIONS} <= set(CHECKS)


KNOWN_EXCLUSIONS: set[tuple[str, str]] = set()
