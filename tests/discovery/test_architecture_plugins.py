"""Architecture plugins: the entry point's name is the architecture's, and nothing goes wrong without a name."""

from __future__ import annotations

import sys
import textwrap

import pytest
from fake_site import GOOD, Site

from registry import discovery
from registry.architecture import ArchitectureConfig, SegmenterArguments, SegmenterWeights
from registry.catalog import preset_schema, resolve
from registry.errors import (
    BlockedPluginError,
    BrokenPluginError,
    ConfigError,
    DuplicatePluginError,
    ModelError,
    RegistryWarning,
    UnknownPluginError,
)
from registry.sketch import Block, SketchArguments

HEAD = """
from pydantic import BaseModel
from registry.architecture import ArchitectureConfig, ArchitectureSpec
from registry.hookspecs import hookimpl

class HeadConfig(ArchitectureConfig):
    key: str = "P3"
    width: int = 4

def spec(**changes):
    return ArchitectureSpec(
        **{"name": "head", "config": HeadConfig, "levels": lambda config: ["P1", config.key], **changes}
    )
"""
BUILDER = """
@hookimpl
def registry_build_segmenter(architecture, encoder, config, arguments):
    return architecture, encoder, config, arguments
"""


def head(answer: str = "[spec()]", *parts: str) -> str:
    describe = f"\n@hookimpl\ndef registry_architectures():\n    return {answer}\n"
    return "\n".join([HEAD, describe, *(textwrap.dedent(part) for part in parts or (BUILDER,))])


def install(site: Site, source: str, name: str = "head", module: str = "registry_head") -> None:
    site.install(
        module.replace("_", "-"),
        f"[registry.architectures]\n{name} = {module}\n",
        modules={module: source},
    )


def preset(**architecture: object) -> dict[str, object]:
    return {
        "encoder": {"plugin": "tiny", "variant": "tiny_s", "output_stride": 16},
        "architecture": {"name": "head", **architecture},
        "num_classes": 2,
    }


def test_hook_registry_architectures_describes(site: Site):
    install(site, head())
    (plugin,) = discovery.list_plugins()
    assert (plugin.kind, plugin.name, plugin.status) == ("architecture", "head", "available")
    assert discovery.architecture_names() == ["head"]
    assert "registry_head" not in sys.modules
    (record,) = discovery.list_architectures()
    assert (record.name, record.levels, record.module) == ("head", ("P1", "P3"), "registry_head")
    assert discovery.list_architectures("h*d") == [record]
    assert discovery.list_architectures("x*") == []
    assert discovery.list_plugins()[0].status == "loaded"


def test_hook_registry_build_segmenter_receives_what_the_preset_says(site: Site):
    install(site, head())
    config = resolve(preset(width=8)).config.architecture
    assert isinstance(config, ArchitectureConfig)
    arguments = SegmenterArguments(num_classes=2)
    built = discovery.load_architecture("head").build("encoder", config, arguments)
    assert built == ("head", "encoder", config, arguments)
    assert (config.name, config.key, config.width) == ("head", "P3", 8)


CONVERTER = """
@hookimpl
def registry_convert_segmenter_weights(architecture, config, arrays):
    from registry.architecture import SegmenterWeights
    if "other" in arrays:
        return dict(arrays)
    if "backbone.a" not in arrays:
        return None
    return SegmenterWeights(encoder={"a": arrays["backbone.a"]}, head={architecture: arrays["b"]}, unused=(config.key,))
"""


def test_hook_registry_convert_segmenter_weights_takes_a_file_apart(site: Site):
    install(site, head("[spec()]", BUILDER, CONVERTER))
    config = resolve(preset()).config.architecture
    loaded = discovery.load_architecture("head")
    parts = loaded.convert_weights(config, {"backbone.a": [1], "b": [2]})
    assert parts == SegmenterWeights(encoder={"a": [1]}, head={"head": [2]}, unused=("P3",))
    assert loaded.convert_weights(config, {"a": [1]}) is None
    with pytest.raises(BrokenPluginError, match="SegmenterWeights"):
        loaded.convert_weights(config, {"other": [1]})


def test_an_architecture_without_that_hook_knows_no_names(site: Site):
    install(site, head())
    config = resolve(preset()).config.architecture
    assert discovery.load_architecture("head").convert_weights(config, {"backbone.a": [1]}) is None


SKETCHER = """
from registry.sketch import Block

@hookimpl
def registry_sketch_segmenter(architecture, config, arguments):
    if config.width == 1:
        return [Block(name="a", title="a", inputs=("b",)), Block(name="b", title="b", inputs=("P3",))]
    if config.width == 2:
        return ["a block"]
    return [
        Block(name="a", title="a", inputs=(config.key,), stride=arguments.strides[config.key], channels=config.width),
        Block(name="b", title=architecture, inputs=("a", "P1"), kind="classifier", channels=arguments.num_classes),
    ]
"""


def test_hook_registry_sketch_segmenter_says_what_there_is(site: Site):
    arguments = SketchArguments(
        strides={"P1": 2, "P3": 8},
        channels={"P1": 4, "P3": 8},
        output_stride=16,
        num_classes=5,
        size=(64, 64),
    )
    install(site, head("[spec()]", BUILDER, SKETCHER))
    loaded = discovery.load_architecture("head")

    def sketch(width: int) -> tuple[Block, ...] | None:
        config = resolve(preset(width=width)).config.architecture
        assert isinstance(config, ArchitectureConfig)
        return loaded.sketch(config, arguments)

    first, last = sketch(4) or ()
    assert (first.inputs, first.stride, first.channels) == (("P3",), 8, 4)
    assert (last.title, last.inputs, last.channels) == ("head", ("a", "P1"), 5)
    with pytest.raises(BrokenPluginError, match="block 'a' reads b"):
        sketch(1)
    with pytest.raises(BrokenPluginError, match=r"registry\.sketch\.Block"):
        sketch(2)


def test_a_module_may_serve_several_names_and_both_groups(site: Site):
    source = head('[spec(), spec(name="tail")]') + textwrap.dedent(GOOD) + BUILDER
    site.install(
        "registry-both",
        "[registry.architectures]\nhead = registry_both\ntail = registry_both\n"
        "[registry.encoders]\ntiny = registry_both\n",
        modules={"registry_both": source},
    )
    assert [record.name for record in discovery.list_architectures()] == ["head", "tail"]
    assert [record.variant for record in discovery.list_encoders()] == ["tiny_s"]
    assert [(record.kind, record.name) for record in discovery.list_plugins()] == [
        ("architecture", "head"),
        ("architecture", "tail"),
        ("encoder", "tiny"),
    ]


def test_an_encoder_and_an_architecture_may_have_one_name(site: Site):
    site.plugin(GOOD, "tiny")
    install(site, head('[spec(name="tiny")]'), name="tiny")
    assert discovery.load_plugin("tiny").encoders
    assert discovery.load_architecture("tiny").spec.name == "tiny"
    assert {record.status for record in discovery.list_plugins()} == {"loaded"}


WRONG = {
    "raises": ("raise OSError('no')", "OSError: no"),
    "another name": (head('[spec(name="haed")]'), "one must be named 'head', as the entry point is; there is 'haed'"),
    "none": (head("[]"), "there is none"),
    "no spec": (head("[3]"), "must be a registry.architecture.ArchitectureSpec, got 3"),
    "twice": (head("[spec(), spec()]"), "described twice"),
    "foreign config": (head("[spec(config=BaseModel)]"), "subclass of registry.architecture.ArchitectureConfig"),
    "unknown level": (head('[spec(levels=["P9"])]'), "level 'P9' does not exist"),
    "no level": (head("[spec(levels=())]"), "at least one level"),
    "raising levels": (head("[spec(levels=lambda config: config.kex)]"), "AttributeError"),
    "no builder": (head("[spec()]", ""), "registry_build_segmenter is not implemented"),
    "nothing": ("from registry.hookspecs import hookimpl", "implements none"),
    "misspelt": (head("[spec()]", "@hookimpl\ndef registry_build_segmentor(encoder): ..."), "registry_build_segmentor"),
    "wrong argument": (head("[spec()]", "@hookimpl\ndef registry_build_segmenter(encodr): ..."), "encodr"),
    "API": ("REGISTRY_API_VERSION = 9\n" + head(), "API version 1"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_said_and_harms_nobody(site: Site, case: str):
    source, phrase = WRONG[case]
    install(site, source)
    install(site, head('[spec(name="other")]'), name="other", module="registry_other")
    with pytest.raises(BrokenPluginError) as caught:
        discovery.load_architecture("head")
    assert phrase in str(caught.value)
    assert "architecture 'head' (registry-head 1.0)" in str(caught.value)
    with pytest.warns(RegistryWarning, match="architecture 'head' is left out"):
        assert [record.name for record in discovery.list_architectures()] == ["other"]
    with pytest.raises(BrokenPluginError):
        resolve(preset())


def test_a_builder_that_raises_is_blamed(site: Site):
    install(site, head("[spec()]", "@hookimpl\ndef registry_build_segmenter(encoder): return 1 / 0"))
    loaded = discovery.load_architecture("head")
    with pytest.raises(
        BrokenPluginError, match=r"architecture 'head' .* must build a segmenter without raising"
    ):
        loaded.build(None, resolve(preset()).config.architecture, SegmenterArguments(num_classes=2))


def test_clash_block_and_unknown(site: Site, monkeypatch: pytest.MonkeyPatch):
    install(site, head())
    install(site, head(), module="registry_rival")
    with pytest.raises(DuplicatePluginError, match="architecture name 'head' must belong to one"):
        resolve(preset())
    monkeypatch.setenv("ATROUS_BLOCK_PLUGINS", "registry-rival")
    assert resolve(preset()).config.architecture.name == "head"
    monkeypatch.setenv("ATROUS_BLOCK_PLUGINS", "head")
    with pytest.raises(BlockedPluginError):
        resolve(preset())
    assert discovery.architecture_names() == []
    monkeypatch.setenv("ATROUS_BLOCK_PLUGINS", "registry-rival")
    with pytest.raises(
        UnknownPluginError, match=r"an architecture is named by .*\n.*haed\n.*did you mean 'head'"
    ):
        discovery.load_architecture("haed")


def test_a_preset_is_validated_by_the_plugin_with_file_and_line(site: Site, tmp_path):
    install(site, head())
    path = tmp_path / "mine.yaml"
    text = "num_classes: 2\nencoder: {plugin: p, variant: v}\narchitecture:\n  name: head\n  widht: 3\n"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"mine.yaml:5:3: `architecture` has no key `widht`\n.*\n.*'width'"):
        resolve(path)
    path.write_text(text.replace("head", "haed").replace("num_classes: 2", "num_classes: 0"))
    with pytest.raises(ConfigError) as caught:
        resolve(path)
    assert "mine.yaml:4:9: `architecture.name` must be one of `head`" in str(caught.value)
    assert "did you mean 'head'" in str(caught.value)
    assert "mine.yaml:1:14: `num_classes` must be a positive integer" in str(caught.value)
    path.write_text(text.replace("widht: 3", "width: wide"))
    with pytest.raises(ConfigError, match=r"mine.yaml:5:10: `architecture.width` must be an integer"):
        resolve(path)
    assert resolve(path, overrides={"width": 5}).config.architecture.width == 5


def test_the_schema_knows_installed_architectures_and_leaves_others_out_on_request(site: Site):
    install(site, head())
    assert "HeadConfig" in preset_schema()["$defs"]
    assert "HeadConfig" not in preset_schema(builtin=True)["$defs"]


def test_levels_that_an_encoder_lacks_are_an_early_error(site: Site):
    install(site, head())
    spec = discovery.load_architecture("head").spec
    config = resolve(preset()).config.architecture
    with pytest.raises(ModelError, match=r"'head' reads P1 and P3.*\n.*'tiny_s', which has P1, P2"):
        spec.check_levels(config, ["P2", "P1"], "tiny_s")
    spec.check_levels(config, ["P1", "P2", "P3"], "tiny_m")
