from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from fake_site import GOOD, Site

from registry import discovery
from registry.discovery.index import host_is_installed
from registry.errors import BrokenPluginError, UnknownPluginError


def statuses() -> dict[str, str]:
    return {record.name: record.status for record in discovery.list_plugins()}


def test_nothing_installed_is_an_empty_list(site: Site):
    assert discovery.list_plugins() == []
    assert discovery.list_encoders() == []
    assert discovery.preset_roots() == []


def test_listing_knows_everything_without_importing(site: Site):
    site.install("registry-tiny", {"tiny": "registry_tiny"}, version="2.3")
    site.install("atrous", {"resnet": "registry_fake_resnet"}, version="0.1.0")
    first, second = discovery.list_plugins()
    assert first.to_dict() == {
        "kind": "encoder",
        "name": "resnet",
        "distribution": "atrous",
        "version": "0.1.0",
        "module": "registry_fake_resnet",
        "builtin": True,
        "status": "available",
        "error": None,
    }
    assert (second.name, second.version, second.builtin) == ("tiny", "2.3", False)
    assert not {"registry_tiny", "registry_fake_resnet"} & set(sys.modules)


def test_records_are_json_ready(site: Site):
    site.plugin(GOOD)
    discovery.load_plugin("tiny")
    assert json.loads(json.dumps([record.to_dict() for record in discovery.list_plugins()]))
    (encoder,) = json.loads(json.dumps([record.to_dict() for record in discovery.list_encoders()]))
    assert encoder["output_strides"] == [16, 32]


def test_a_plugin_installed_a_moment_ago_is_found(site: Site):
    assert statuses() == {}
    site.plugin(GOOD)
    assert statuses() == {"tiny": "available"}


def test_status_follows_the_load(site: Site):
    site.plugin(GOOD)
    site.plugin("raise OSError('no')", "sick")
    site.plugin("REGISTRY_API_VERSION = 99", "future")
    discovery.load_plugin("tiny")
    for name in ("sick", "future"):
        with pytest.raises(BrokenPluginError):
            discovery.load_plugin(name)
    assert statuses() == {"future": "incompatible", "sick": "broken", "tiny": "loaded"}
    (error,) = [record.error for record in discovery.list_plugins() if record.name == "sick"]
    assert "OSError: no" in error
    assert "\n" not in error


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("tiny", "not a module!"),
        ("tiny", "a..b"),
        ("tiny", ""),
        ("two words", "registry_tiny"),
        ("-", "registry_tiny"),
    ],
)
def test_a_malformed_entry_point_is_broken_and_alone(site: Site, name: str, value: str):
    site.install("registry-odd", f"[registry.encoders]\n{name} = {value}\n")
    site.plugin(GOOD, "fine")
    assert statuses() == {name: "broken", "fine": "available"}
    with pytest.raises(BrokenPluginError, match="well-formed metadata"):
        discovery.load_plugin(name)


def test_a_malformed_claim_does_not_take_a_name_away(site: Site):
    site.install("registry-odd", {"tiny": "not a module!"}, modules={})
    site.plugin(GOOD)
    assert sorted(record.status for record in discovery.list_plugins()) == ["available", "broken"]
    assert discovery.load_plugin("tiny").record.distribution == "registry-tiny"


def test_unparsable_entry_points_are_blamed_on_their_distribution(site: Site):
    site.install("registry-odd", "[registry.encoders]\nno equals sign\n")
    site.plugin(GOOD)
    assert statuses() == {"registry-odd": "broken", "tiny": "available"}


def test_broken_metadata_of_others_is_none_of_our_business(site: Site):
    site.install("foreign", "no section\nno equals sign\n")
    latin = site.folder / "latin-1.0.dist-info"
    latin.mkdir()
    (latin / "entry_points.txt").write_bytes(b"[registry.encoders]\n\xff\xfe = x\n")
    site.plugin(GOOD)
    assert statuses() == {"tiny": "available"}


def test_a_distribution_without_metadata_is_still_listed(site: Site):
    site.install("registry-tiny", {"tiny": "registry_tiny"}, metadata="")
    (record,) = discovery.list_plugins()
    assert (record.distribution, record.version) == ("(unnamed distribution)", "(unknown version)")
    assert discovery.load_plugin("tiny").encoders


def test_the_first_copy_of_a_distribution_hides_later_ones(site: Site):
    site.plugin(GOOD)
    site.install("Registry_Tiny", {"tiny": "registry_tiny"}, version="0.9")
    assert len(discovery.list_plugins()) == 1


def test_unknown_plugin_suggests_the_nearest(site: Site):
    site.plugin(GOOD)
    with pytest.raises(UnknownPluginError, match="did you mean 'tiny'"):
        discovery.load_plugin("tinny")


def test_unknown_plugin_far_from_all_says_how_to_get_it(site: Site):
    site.plugin(GOOD)
    with pytest.raises(UnknownPluginError, match="pip install the distribution"):
        discovery.load_plugin("convnext")


def test_unknown_plugin_in_a_bare_checkout_says_that_atrous_is_not_installed(
    site: Site, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("registry.discovery.plugins.host_is_installed", lambda: False)
    with pytest.raises(UnknownPluginError, match="pip install -e"):
        discovery.load_plugin("resnet")


def test_the_host_is_known_by_its_metadata(site: Site):
    site.install("atrous", {})
    assert host_is_installed()


def test_listing_beside_two_broken_plugins_imports_neither_them_nor_tensorflow(site: Site):
    site.plugin("raise RuntimeError('sick')", "sick")
    site.plugin("import tensorflow, no_such_module", "dead")
    site.plugin(GOOD)
    program = (
        "import sys, json; from registry import discovery;"
        "names = [r.name for r in discovery.list_plugins()];"
        "assert {'sick', 'dead', 'tiny'} <= set(names), names;"
        "heavy = {'tensorflow', 'tf_keras', 'registry_sick', 'registry_dead', 'registry_tiny'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    root = Path(discovery.__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root), str(site.folder)])}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True, cwd=site.folder)
