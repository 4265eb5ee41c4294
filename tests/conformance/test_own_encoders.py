"""Our own plugins keep the promises that we ask of others.

One variant of each plugin runs the checks: the example of its options where a network can be built to measure, or else the
smallest. The sweep (`pytest -m sweep`) runs every check of the smallest published one, and the checks of descriptions and
graphs of all others: whatever a family builds of its larger members is the same code, and building two hundred networks
takes half an hour.
"""

import pytest

from registry import discovery
from registry.testing import CHECKS, conformance, select_variants

PLUGINS = [plugin.name for plugin in discovery.list_plugins() if plugin.builtin and plugin.kind == "encoder"]

# Deep families, whose smallest published network has hundreds of layers: a few blocks of the same code.
TO_MEASURE = {
    "cspnet": "cspnet_custom",
    "densenet": "densenet_custom",
    "mit": "mit_custom",
    "resnet": "resnet_custom",
}
# By default, all checks for two plugins, and for the others those that do not take half of the time.
WHOLE = ("mobilenet", "resnet")
MOST = [name for name in CHECKS if name not in ("float32", "save", "sizes")]
# Their integer files take longest; EfficientNet-Lite has a test of its own for it.
DEAR_IN_INTEGERS = ("efficientnet", "xception")


def _class_name(plugin):
    return "Test" + "".join(word.capitalize() for word in plugin.split("_"))


for _plugin in PLUGINS:
    _name = _class_name(_plugin)
    globals()[_name] = conformance(
        _plugin,
        [TO_MEASURE[_plugin]] if _plugin in TO_MEASURE else "smallest",
        checks=None
        if _plugin in WHOLE
        else [name for name in MOST if name != "int8" or _plugin not in DEAR_IN_INTEGERS],
        rest=False,
    )
    globals()[_name + "Smallest"] = pytest.mark.sweep(conformance(_plugin, "smallest", rest=False))
    _sweep = conformance(_plugin, "all", checks=["spec", "flat"])
    globals()[_name + "AllVariants"] = pytest.mark.sweep(_sweep)


def test_every_plugin_of_ours_has_encoders():
    assert len(PLUGINS) >= 8
    assert [plugin for plugin in PLUGINS if not select_variants(plugin, "all")] == []
    assert set(TO_MEASURE) <= set(PLUGINS)


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
