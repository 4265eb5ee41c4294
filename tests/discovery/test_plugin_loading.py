from __future__ import annotations

import sys
import textwrap
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
from fake_site import GOOD, Site

from registry import discovery
from registry.errors import (
    BrokenPluginError,
    PyramidContractError,
    RegistryWarning,
    UnknownEncoderError,
    WeightsMismatchError,
)
from registry.pyramid import EncoderSpec, NoOptions

IMPORTS = """
from pathlib import Path
from pydantic import BaseModel, ConfigDict
from registry.hookspecs import hookimpl
from registry.pyramid import EncoderSpec
"""


def source(*parts: str) -> str:
    return "\n".join([IMPORTS, *(textwrap.dedent(part) for part in parts)])


def describing(expression: str) -> str:
    """A plugin whose `registry_encoders` runs `return <expression>`."""
    return source(
        f"""
        class Open(BaseModel):
            pass

        class Required(BaseModel):
            model_config = ConfigDict(extra="forbid")
            width: int

        def spec(**changes):
            return EncoderSpec(**{{"name": "a", "channels": {{"P1": 8}}, **changes}})

        @hookimpl
        def registry_encoders():
            return {expression}

        @hookimpl
        def registry_build_encoder(variant):
            return {{}}
        """
    )


def converting(body: str) -> str:
    """A plugin whose `registry_convert_weights` has the given body."""
    return building("return {}") + textwrap.dedent(
        f"""
        @hookimpl
        def registry_convert_weights(variant, source, arrays):
            {body}
        """
    )


def building(body: str) -> str:
    """A plugin whose `registry_build_encoder` has the given body."""
    return source(
        """
        @hookimpl
        def registry_encoders():
            return [EncoderSpec(name="a", channels={"P1": 8})]
        """,
        "@hookimpl\ndef registry_build_encoder(variant, inputs, output_stride, options):\n    " + body,
    )


def rooting(expression: str) -> str:
    """A plugin whose `registry_preset_roots` runs `return <expression>`."""
    return source(f"@hookimpl\ndef registry_preset_roots():\n    return {expression}")


def refusal(name: str = "tiny") -> BrokenPluginError:
    with pytest.raises(BrokenPluginError) as caught:
        discovery.load_plugin(name)
    assert f"registry-{name} 1.0" in str(caught.value)
    return caught.value


class TestLoading:
    def test_imports_exactly_one(self, site: Site):
        site.plugin(GOOD)
        site.plugin("raise RuntimeError", "sick")
        plugin = discovery.load_plugin("tiny")
        assert plugin.record.status == "loaded"
        assert plugin.origin == "plugin 'tiny' (registry-tiny 1.0)"
        assert list(plugin.encoders) == ["tiny_s"]
        assert "registry_tiny" in sys.modules
        assert "registry_sick" not in sys.modules

    def test_loads_once(self, site: Site):
        site.plugin(GOOD)
        assert discovery.load_plugin("tiny") is discovery.load_plugin("tiny")

    def test_an_object_may_be_the_plugin(self, site: Site):
        code = source(
            """
            REGISTRY_API_VERSION = 1

            class Plugin:
                @hookimpl
                def registry_preset_roots(self):
                    return []

            plugin = Plugin()
            """
        )
        site.install("registry-tiny", {"tiny": "registry_tiny:plugin"}, modules={"registry_tiny": code})
        assert discovery.load_plugin("tiny").preset_roots() == []

    def test_find_encoder(self, site: Site):
        site.plugin(GOOD)
        plugin, spec = discovery.find_encoder("tiny", "tiny_s")
        assert plugin is discovery.load_plugin("tiny")
        assert spec.output_strides == (16, 32)
        with pytest.raises(UnknownEncoderError, match="did you mean 'tiny_s'"):
            discovery.find_encoder("tiny", "tiny_x")

    def test_encoders_are_read_only(self, site: Site):
        site.plugin(GOOD)
        with pytest.raises(TypeError):
            discovery.load_plugin("tiny").encoders["b"] = None  # type: ignore[index]

    def test_two_threads_import_once(self, site: Site):
        site.plugin(
            "import builtins, time\nbuiltins.counted.append(1)\ntime.sleep(0.2)\n" + textwrap.dedent(GOOD)
        )
        import builtins

        builtins.counted = []  # type: ignore[attr-defined]
        loaded: list[object] = []
        threads = [
            threading.Thread(target=lambda: loaded.append(discovery.load_plugin("tiny"))) for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        count = len(builtins.counted)  # type: ignore[attr-defined]
        del builtins.counted  # type: ignore[attr-defined]
        assert count == 1
        assert len({id(plugin) for plugin in loaded}) == 1
        assert len(loaded) == 4

    def test_a_plugin_that_asks_for_itself_is_refused(self, site: Site):
        site.plugin("from registry import discovery\ndiscovery.load_plugin('tiny')")
        assert "while it is being imported" in str(refusal().__cause__)

    def test_a_plugin_may_ask_for_another(self, site: Site):
        site.plugin(GOOD)
        site.plugin(
            "from registry import discovery\ndiscovery.load_plugin('tiny')\n" + textwrap.dedent(GOOD), "big"
        )
        assert discovery.load_plugin("big").encoders

    def test_tensorflow_at_the_top_level_is_reported_once(self, site: Site, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.delitem(sys.modules, "tensorflow", raising=False)
        site.install("stand-in", {}, modules={"tensorflow": ""})
        site.plugin("import tensorflow\n" + textwrap.dedent(GOOD))
        with pytest.warns(RegistryWarning, match="move the import into the builder"):
            discovery.load_plugin("tiny")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            discovery.load_plugin("tiny")


class TestBroken:
    @pytest.mark.parametrize(
        ("code", "cause", "said"),
        [
            ("raise ValueError('sick')", ValueError, "ValueError: sick"),
            ("import no_such_module", ModuleNotFoundError, "no_such_module"),
            ("def (:", SyntaxError, "SyntaxError"),
            ("import sys; sys.exit('gone')", SystemExit, "SystemExit: gone"),
            (
                "class E(Exception):\n    def __str__(self): raise E\nraise E",
                Exception,
                "E: <exception str() failed>",
            ),
        ],
    )
    def test_import_failures_are_contained_and_chained(self, site: Site, code: str, cause: type, said: str):
        site.plugin(code)
        site.plugin(GOOD, "fine")
        error = refusal()
        assert isinstance(error.__cause__, cause)
        assert said in str(error)
        assert "ATROUS_BLOCK_PLUGINS=registry-tiny" in str(error)
        assert discovery.load_plugin("fine").encoders

    def test_second_ask_raises_the_same_cause_without_an_import(self, site: Site):
        site.plugin("raise ValueError('sick')")
        first = refusal()
        (site.folder / "registry_tiny.py").write_text(textwrap.dedent(GOOD))
        second = refusal()
        assert second is not first
        assert second.__cause__ is first.__cause__
        assert str(second) == str(first)

    def test_keyboard_interrupt_passes_and_is_not_remembered(self, site: Site):
        site.plugin(
            "import builtins\nif hasattr(builtins, 'interrupt'): raise KeyboardInterrupt\n"
            + textwrap.dedent(GOOD)
        )
        import builtins

        builtins.interrupt = True  # type: ignore[attr-defined]
        try:
            with pytest.raises(KeyboardInterrupt):
                discovery.load_plugin("tiny")
        finally:
            del builtins.interrupt  # type: ignore[attr-defined]
        assert discovery.load_plugin("tiny").encoders

    def test_missing_object(self, site: Site):
        site.install("registry-tiny", {"tiny": "registry_tiny:nothing"}, modules={"registry_tiny": GOOD})
        assert isinstance(refusal().__cause__, AttributeError)

    def test_a_builtin_is_not_told_to_be_uninstalled(self, site: Site):
        site.install("atrous", {"resnet": "registry_fake"}, modules={"registry_fake": "raise OSError"})
        with pytest.raises(BrokenPluginError, match="reinstall atrous"):
            discovery.load_plugin("resnet")

    @pytest.mark.parametrize(("version", "repair"), [("2", "upgrade atrous"), ("0", "upgrade registry-tiny")])
    def test_another_api_version(self, site: Site, version: str, repair: str):
        site.plugin(f"REGISTRY_API_VERSION = {version}\n" + textwrap.dedent(GOOD))
        error = refusal()
        assert f"REGISTRY_API_VERSION = {version}" in str(error)
        assert repair in str(error)
        assert discovery.list_plugins()[0].status == "incompatible"

    @pytest.mark.parametrize("version", ["'1'", "1.0", "True", "None"])
    def test_an_api_version_that_is_no_int(self, site: Site, version: str):
        site.plugin(f"REGISTRY_API_VERSION = {version}\n" + textwrap.dedent(GOOD))
        assert "as an int" in str(refusal())

    def test_misspelt_hook(self, site: Site):
        site.plugin(source("@hookimpl\ndef registry_encoder():\n    return []"))
        error = refusal()
        assert "registry_encoder: did you mean 'registry_encoders'" in str(error)
        assert error.__cause__ is not None

    def test_wrong_signature(self, site: Site):
        site.plugin(source("@hookimpl\ndef registry_build_encoder(variant, input_tensor):\n    return {}"))
        assert "input_tensor" in str(refusal())

    def test_forgotten_decorator(self, site: Site):
        site.plugin(source("def registry_encoders():\n    return []"))
        assert "registry_encoders without a decorator" in str(refusal())

    def test_no_hook_at_all(self, site: Site):
        site.plugin("")
        assert "implements none" in str(refusal())

    def test_encoders_without_a_builder(self, site: Site):
        site.plugin(source("@hookimpl\ndef registry_encoders():\n    return []"))
        assert "registry_build_encoder is not implemented" in str(refusal())

    def test_an_object_that_raises_when_looked_at(self, site: Site):
        code = "class P:\n    def __getattr__(self, name): raise OSError('shy')\nplugin = P()"
        site.install("registry-tiny", {"tiny": "registry_tiny:plugin"}, modules={"registry_tiny": code})
        assert isinstance(refusal().__cause__, OSError)


class TestDescriptions:
    @pytest.mark.parametrize(
        ("expression", "said"),
        [
            ("1 / 0", "ZeroDivisionError"),
            ("(1 / 0 for _ in range(1))", "ZeroDivisionError"),
            ("exit('bye')", "SystemExit"),
            ("7", "TypeError"),
            ("['a']", "must be a registry.pyramid.EncoderSpec, got 'a'"),
            ("[spec(), spec()]", "'a' is described twice"),
            ("[spec(name='')]", "non-empty string"),
            ("[spec(channels={})]", "at least one level"),
            ("[spec(channels={'P9': 8})]", "level 'P9' does not exist"),
            ("[spec(channels={'P1': 0})]", "positive int"),
            ("[spec(channels=lambda options: options.width)]", "AttributeError"),
            ("[spec(channels=7)]", "map levels to numbers"),
            ("[spec(output_strides=())]", "non-empty tuple"),
            ("[spec(output_strides=[16])]", "non-empty tuple"),
            ("[spec(output_strides=(16, 24))]", "power of two, got 24"),
            ("[spec(output_strides=(16, 16))]", "repeat"),
            ("[spec(output_strides=(True,))]", "got True"),
            ("[spec(options=Open)]", "forbid"),
            ("[spec(options=dict)]", "pydantic model"),
            ("[spec(min_size=0)]", "min_size"),
            ("[spec(normalization=None)]", "normalization"),
            ("[spec(weights={'imagenet': None})]", "weights"),
        ],
    )
    def test_a_wrong_description_is_refused_on_loading(self, site: Site, expression: str, said: str):
        site.plugin(describing(expression))
        assert said in str(refusal())
        assert discovery.list_plugins()[0].status == "broken"

    def test_all_violations_at_once(self, site: Site):
        site.plugin(describing("[spec(min_size=0, output_strides=()), spec(name='b', options=Open)]"))
        error = str(refusal())
        assert all(part in error for part in ("min_size", "output_strides", "encoder 'b'"))

    def test_channels_may_depend_on_an_option_without_default(self, site: Site):
        site.plugin(describing("[spec(channels=lambda options: {'P1': options.width}, options=Required)]"))
        (record,) = discovery.list_encoders()
        assert record.channels is None
        spec = discovery.load_plugin("tiny").encoder("a")
        assert spec.channels_for(spec.options(width=3)) == {"P1": 3}

    def test_hook_registry_encoders_may_be_a_generator(self, site: Site):
        site.plugin(describing("(spec(name=name) for name in 'ab')"))
        assert set(discovery.load_plugin("tiny").encoders) == {"a", "b"}


class TestBuilding:
    def test_hook_registry_build_encoder_gets_what_was_asked_for(self, site: Site):
        site.plugin(GOOD)
        options = NoOptions()
        levels = discovery.load_plugin("tiny").build("tiny_s", "inputs", 16, options)
        assert levels == {"P1": ("tiny_s", "inputs"), "P2": (16, options)}

    def test_unknown_variant(self, site: Site):
        site.plugin(GOOD)
        with pytest.raises(UnknownEncoderError):
            discovery.load_plugin("tiny").build("tiny_x", None, 16, NoOptions())

    def test_hook_registry_convert_weights_gets_what_the_file_holds(self, site: Site):
        site.plugin(
            converting("return {f'{variant}/{source}/{name}': held for name, held in arrays.items()}")
        )
        arrays = {"conv": [np.zeros(3)]}
        converted = discovery.load_plugin("tiny").convert_weights("a", "imagenet", arrays)
        assert converted == {"a/imagenet/conv": arrays["conv"]}

    def test_hook_registry_quantization_rules_are_collected(self, site: Site):
        rules = """
    @hookimpl
    def registry_quantization_rules():
        return {answer}
"""
        site.plugin(GOOD + rules.format(answer="{int: 'own'}"))
        site.plugin(GOOD, "plain")
        site.plugin(GOOD + rules.format(answer="['own']"), "listing")
        assert discovery.load_plugin("tiny").quantization_rules() == {int: "own"}
        assert discovery.load_plugin("plain").quantization_rules() == {}
        with pytest.raises(BrokenPluginError, match="rules by layer class"):
            discovery.load_plugin("listing").quantization_rules()

    def test_arrays_stay_as_they_are_without_a_conversion(self, site: Site):
        site.plugin(converting("return None"))
        site.plugin(GOOD, "plain")
        arrays = {"conv": [np.zeros(3)]}
        assert discovery.load_plugin("tiny").convert_weights("a", "here", arrays) is arrays
        assert discovery.load_plugin("plain").convert_weights("tiny_s", "here", arrays) is arrays
        with pytest.raises(UnknownEncoderError):
            discovery.load_plugin("plain").convert_weights("tiny_x", "here", arrays)

    @pytest.mark.parametrize(
        ("body", "said"),
        [
            ("raise KeyError('bn')", "KeyError: 'bn'"),
            ("return []", "must return a mapping of layers to arrays"),
            ("return {'conv': arrays['conv'][0]}", "a list of arrays per layer"),
            ("return {'conv': [1.0]}", "conv: list"),
        ],
    )
    def test_a_failing_conversion_is_named(self, site: Site, body: str, said: str):
        site.plugin(converting(body))
        with pytest.raises(BrokenPluginError, match=r"registry-tiny 1\.0") as caught:
            discovery.load_plugin("tiny").convert_weights("a", "here", {"conv": [np.zeros(3)]})
        assert said in str(caught.value)

    def test_an_error_of_atrous_passes_a_conversion_unchanged(self, site: Site):
        site.plugin(
            converting(
                "from registry.weights.conversion import batch_norm; return {'bn': batch_norm(arrays, 'bn')}"
            )
        )
        with pytest.raises(WeightsMismatchError, match=r"bn\.weight"):
            discovery.load_plugin("tiny").convert_weights("a", "here", {"conv": [np.zeros(3)]})

    @pytest.mark.parametrize(
        ("body", "said"),
        [
            ("return None", "None"),
            ("return [inputs]", "must return a mapping"),
            ("raise OSError('x')", "OSError: x"),
        ],
    )
    def test_a_failing_builder_is_named(self, site: Site, body: str, said: str):
        site.plugin(building(body))
        with pytest.raises(BrokenPluginError, match=r"registry-tiny 1\.0") as caught:
            discovery.load_plugin("tiny").build("a", "inputs", 32, NoOptions())
        assert said in str(caught.value)
        assert isinstance(caught.value.__cause__, OSError) == ("OSError" in body)

    def test_our_own_errors_pass_unchanged(self, site: Site):
        site.plugin(
            building("from registry.errors import PyramidContractError; raise PyramidContractError('rule')")
        )
        with pytest.raises(PyramidContractError, match=r"^rule$"):
            discovery.load_plugin("tiny").build("a", "inputs", 32, NoOptions())

    def test_other_plugins_are_not_called(self, site: Site):
        site.plugin(building("raise OSError"), "first")
        site.plugin(GOOD)
        discovery.load_plugin("first")
        assert discovery.load_plugin("tiny").build("tiny_s", 0, 16, NoOptions())


class TestListEncoders:
    def test_broken_ones_are_left_out_with_a_warning(self, site: Site):
        site.plugin(GOOD)
        site.plugin("raise OSError('sick')", "sick")
        with pytest.warns(RegistryWarning, match="registry-sick 1.0"):
            records = discovery.list_encoders()
        assert [(record.plugin, record.variant, record.channels) for record in records] == [
            ("tiny", "tiny_s", {"P1": 8, "P2": 16})
        ]

    @pytest.mark.parametrize(
        ("pattern", "count"), [("tiny_*", 1), ("TINY_S", 1), ("tiny/*", 1), ("tiny", 0), ("*x*", 0)]
    )
    def test_pattern(self, site: Site, pattern: str, count: int):
        site.plugin(GOOD)
        assert len(discovery.list_encoders(pattern)) == count


class TestPresetRoots:
    def test_hook_registry_preset_roots_are_collected(self, site: Site, tmp_path: Path):
        site.plugin(rooting(f"[Path({str(tmp_path)!r}), {str(tmp_path)!r}]"))
        site.plugin(GOOD, "rootless")
        assert discovery.preset_roots() == [("tiny", "registry-tiny", tmp_path)]

    def test_a_plugin_without_the_hook_is_not_imported(self, site: Site):
        site.plugin(GOOD, "rootless")
        assert discovery.preset_roots() == []
        assert "registry_rootless" not in sys.modules

    @pytest.mark.parametrize(
        "source",
        [
            "from registry_rootful_hooks import *",
            "import registry_rootful_hooks as hooks\nglobals().update(vars(hooks))",
        ],
    )
    def test_a_hook_that_the_module_does_not_spell_is_found(self, site: Site, tmp_path: Path, source: str):
        hooks = {"registry_rootful_hooks": rooting(f"[Path({str(tmp_path)!r})]"), "registry_rootful": source}
        site.install("registry-rootful", {"rootful": "registry_rootful"}, modules=hooks)
        assert [root.path for root in discovery.preset_roots()] == [tmp_path]

    @pytest.mark.parametrize(
        ("expression", "said"),
        [
            ("1 / 0", "ZeroDivisionError"),
            ("[7]", "list of paths"),
            ("'/somewhere'", "list of paths"),
            ("Path('/somewhere')", "list of paths"),
            ("5", "TypeError"),
            ("['relative']", "absolute"),
            ("['/no/such/folder']", "no existing folder"),
        ],
    )
    def test_misbehaviour_is_a_warning_that_names_the_plugin(
        self, site: Site, tmp_path: Path, expression: str, said: str
    ):
        site.plugin(rooting(expression))
        site.plugin(rooting(f"[Path({str(tmp_path)!r})]"), "zfine")
        with pytest.warns(RegistryWarning, match=r"registry-tiny 1\.0") as caught:
            assert [root.plugin for root in discovery.preset_roots()] == ["zfine"]
        assert said in str(caught[0].message)


def test_specs_are_what_the_plugin_gave(site: Site):
    site.plugin(GOOD)
    assert isinstance(discovery.load_plugin("tiny").encoder("tiny_s"), EncoderSpec)
