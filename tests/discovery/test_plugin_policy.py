from __future__ import annotations

import sys

import pytest
from fake_site import GOOD, Site

from registry import discovery
from registry.discovery.policy import Policy
from registry.errors import BlockedPluginError, DuplicatePluginError


@pytest.fixture
def three(site: Site) -> Site:
    site.install("atrous", {"resnet": "registry_fake_resnet"}, version="0.1.0")
    site.install("Registry_Tiny.Nets", {"tiny": "registry_tiny"})
    site.install("registry-big", {"big": "registry_big"})
    return site


def usable() -> set[str]:
    return {record.name for record in discovery.list_plugins() if record.status == "available"}


@pytest.mark.parametrize(
    ("allow", "expected"),
    [
        (None, {"resnet", "tiny", "big"}),
        ("", {"resnet"}),
        ("  ,", {"resnet"}),
        ("tiny", {"resnet", "tiny"}),
        ("TINY", {"resnet", "tiny"}),
        ("registry-tiny-nets", {"resnet", "tiny"}),
        ("registry.tiny_NETS big", {"resnet", "tiny", "big"}),
        ("tiny, big", {"resnet", "tiny", "big"}),
        ("unheard-of", {"resnet"}),
    ],
)
def test_allow_list(three: Site, monkeypatch: pytest.MonkeyPatch, allow: str | None, expected: set[str]):
    if allow is not None:
        monkeypatch.setenv("ATROUS_PLUGINS", allow)
    assert usable() == expected


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        ("", {"resnet", "tiny", "big"}),
        ("tiny", {"resnet", "big"}),
        ("Registry_Tiny_Nets", {"resnet", "big"}),
        ("resnet,big", {"tiny"}),
        ("atrous", {"tiny", "big"}),
    ],
)
def test_block_list(three: Site, monkeypatch: pytest.MonkeyPatch, block: str, expected: set[str]):
    monkeypatch.setenv("ATROUS_BLOCK_PLUGINS", block)
    assert usable() == expected


def test_block_wins_over_allow(three: Site, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ATROUS_PLUGINS", "tiny big")
    monkeypatch.setenv("ATROUS_BLOCK_PLUGINS", "tiny")
    assert usable() == {"resnet", "big"}


@pytest.mark.parametrize("variable", ["ATROUS_PLUGINS", "ATROUS_BLOCK_PLUGINS"])
def test_a_blocked_plugin_names_the_variable_and_is_not_imported(
    three: Site, monkeypatch: pytest.MonkeyPatch, variable: str
):
    monkeypatch.setenv(variable, "big")
    name = {"ATROUS_PLUGINS": "tiny", "ATROUS_BLOCK_PLUGINS": "big"}[variable]
    with pytest.raises(BlockedPluginError, match=f"{variable} switches"):
        discovery.load_plugin(name)
    (record,) = [record for record in discovery.list_plugins() if record.name == name]
    assert (record.status, record.error) == ("blocked", f"switched off by {variable}")
    discovery.list_encoders()
    discovery.preset_roots()
    assert f"registry_{name}" not in sys.modules


def test_variables_are_read_at_each_call(three: Site, monkeypatch: pytest.MonkeyPatch):
    discovery.load_plugin("tiny")
    monkeypatch.setenv("ATROUS_BLOCK_PLUGINS", "tiny")
    with pytest.raises(BlockedPluginError):
        discovery.load_plugin("tiny")
    monkeypatch.delenv("ATROUS_BLOCK_PLUGINS")
    assert discovery.load_plugin("tiny").record.status == "loaded"


def test_policy_reads_a_given_environment():
    assert Policy.from_environment({}) == Policy()
    assert Policy.from_environment({"ATROUS_PLUGINS": "A_b"}) == Policy(allowed=frozenset({"a-b"}))


def test_two_distributions_of_one_name_are_both_named(site: Site):
    site.install("registry-tiny", {"tiny": "registry_tiny"})
    site.install("registry-other", {"tiny": "registry_other"}, version="3.1")
    with pytest.raises(DuplicatePluginError) as caught:
        discovery.load_plugin("tiny")
    for part in ("registry-tiny 1.0", "registry-other 3.1", "ATROUS_BLOCK_PLUGINS=registry-other"):
        assert part in str(caught.value)
    assert [record.status for record in discovery.list_plugins()] == ["duplicate", "duplicate"]
    assert "registry-tiny 1.0" in discovery.list_plugins()[0].error
    assert not {"registry_tiny", "registry_other"} & set(sys.modules)


def test_blocking_one_of_two_settles_it(site: Site, monkeypatch: pytest.MonkeyPatch):
    site.install("registry-tiny", {"tiny": "registry_tiny"})
    site.install("registry-other", {"tiny": "registry_other"})
    monkeypatch.setenv("ATROUS_BLOCK_PLUGINS", "registry-other")
    assert discovery.load_plugin("tiny").origin == "plugin 'tiny' (registry-tiny 1.0)"
    assert [record.status for record in discovery.list_plugins()] == ["blocked", "loaded"]


def test_a_third_party_never_shadows_a_builtin(site: Site, monkeypatch: pytest.MonkeyPatch):
    site.install("atrous", {"resnet": "registry_fake_resnet"})
    site.install("registry-impostor", {"resnet": "registry_impostor"})
    with pytest.raises(DuplicatePluginError, match=r"block one: ATROUS_BLOCK_PLUGINS=registry-impostor$"):
        discovery.load_plugin("resnet")
    monkeypatch.setenv("ATROUS_PLUGINS", "")
    assert discovery.load_plugin("resnet").record.builtin


def test_one_distribution_may_not_declare_a_name_twice(site: Site):
    site.install("registry-tiny", "[registry.encoders]\ntiny = registry_a\ntiny = registry_b\n")
    with pytest.raises(DuplicatePluginError, match=r"registry_a.*registry_b"):
        discovery.load_plugin("tiny")


def test_the_same_line_twice_is_harmless(site: Site):
    lines = "[registry.encoders]\ntiny = registry_tiny\ntiny = registry_tiny\n"
    site.install("registry-tiny", lines, modules={"registry_tiny": GOOD})
    assert discovery.load_plugin("tiny").encoders


def test_duplicates_are_left_out_with_a_warning(site: Site):
    site.install("registry-tiny", {"tiny": "registry_tiny"})
    site.install("registry-other", {"tiny": "registry_other"})
    site.plugin(GOOD, "fine")
    with pytest.warns(match="registry-other 1.0"):
        assert [record.plugin for record in discovery.list_encoders()] == ["fine"]
