import json
from dataclasses import FrozenInstanceError
from typing import Annotated

import pytest
from preset_samples import MINIMAL
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from registry.catalog import Origin, describe, list_presets, resolve
from registry.errors import ConfigError

PRESET = "deeplab_v3_plus_resnet50_pascalvoc"


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid")

    multi_grid: tuple[Annotated[int, Field(strict=True, ge=1)], ...] | None = None
    depth: Annotated[int, Field(strict=True, ge=1)] = 1

    @model_validator(mode="after")
    def _agree(self):
        if self.multi_grid is not None and len(self.multi_grid) < self.depth:
            raise ValueError("`multi_grid` is shorter than `depth`")
        return self


def test_every_value_has_its_origin(write):
    write("_base/encoder.yaml", "encoder:\n  plugin: resnet\n  variant: resnet_50\n")
    path = write(
        "mine.yaml",
        """\
        extends: _base/encoder
        architecture: {name: deeplab_v3_plus}
        num_classes: 1
        labels:
          - {name: a, color: [1, 2, 3]}
        """,
    )
    origins = resolve(path, overrides={"ignore_label": 0}).origins
    expected = {
        ("encoder", "variant"): "_base/encoder.yaml:3:12",
        ("encoder", "output_stride"): "default",
        ("architecture", "name"): "mine.yaml:2:22",
        ("architecture", "aspp"): "default",
        ("architecture", "aspp", "filters"): "default",
        ("labels",): "mine.yaml:5:3",
        ("labels", 0, "color", 2): "mine.yaml:5:29",
        ("ignore_label",): "override ignore_label",
    }
    assert {path: str(origins[path]) for path in expected} == expected
    assert origins["encoder", "variant"].file == path.parent / "_base/encoder.yaml"


def test_printed_it_shows_values_and_origins_in_columns(write):
    text = str(resolve(write("mine.yaml", MINIMAL), overrides={"output_stride": 8}))
    lines = text.splitlines()
    assert [line.split("  #")[0].rstrip() for line in lines[3:6]] == [
        "encoder:",
        "  plugin: resnet",
        "  variant: resnet_50",
    ]
    assert lines[4].endswith("  # mine.yaml:1")
    assert any(line.startswith("  output_stride: 8 ") and line.endswith("# override") for line in lines)
    assert any(line.startswith("  options: {} ") and line.endswith("# default") for line in lines)
    assert len({line.rindex("  # ") for line in lines if "#" in line}) == 1


@pytest.mark.parametrize("name", list_presets("deeplab*"))
def test_printed_it_is_a_preset_that_says_the_same(name, tmp_path):
    resolved = resolve(name)
    path = tmp_path / "printed.yaml"
    path.write_text(str(resolved), encoding="utf-8")
    assert resolve(path).config == resolved.config


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yes",
        "1",
        "null",
        "a: b",
        "x #y",
        "- a",
        "{",
        "ü",
        "'",
        '"',
        "a\nb",
        " a",
        "~",
        ".nan",
        "1e3",
        "@",
    ],
)
def test_any_text_survives_printing(text, tmp_path):
    resolved = resolve(
        PRESET, overrides={"description": text, "options": {"key " + text: [text, {text: text}]}}
    )
    path = tmp_path / "printed.yaml"
    path.write_text(str(resolved), encoding="utf-8")
    assert resolve(path).config == resolved.config


def test_to_dict_is_json():
    resolved = describe(PRESET, output_stride=8)
    data = json.loads(json.dumps(resolved.to_dict()))
    assert data["name"] == PRESET
    assert data["config"]["encoder"]["output_stride"] == 8
    assert data["origins"]["encoder.output_stride"] == {"kind": "override", "name": "output_stride"}
    assert data["origins"]["labels[0].color[1]"]["kind"] == "file"
    assert data["origins"]["labels[0].color[1]"]["file"].endswith("presets/_base/pascal_voc.yaml")
    assert data["origins"]["architecture.aspp.separable"] == {"kind": "default"}
    assert len(data["files"]) == 4
    assert resolve(data["config"]).config == resolved.config


def test_it_cannot_be_changed():
    resolved = resolve(PRESET)
    with pytest.raises(FrozenInstanceError):
        resolved.name = "other"
    with pytest.raises(ValidationError):
        resolved.config.num_classes = 3


def test_describe_is_resolve_with_keywords():
    assert describe(PRESET, num_classes=3) == resolve(PRESET, overrides={"num_classes": 3})


class TestEncoderOptions:
    def options(self, write, text):
        head = "architecture: {name: deeplab_v3}\nnum_classes: 2\nencoder:\n  plugin: p\n  variant: v\n"
        return resolve(write("mine.yaml", head + text)).encoder_options(Options)

    def test_are_validated_by_the_plugins_model(self, write):
        assert self.options(write, "  options: {multi_grid: [1, 2]}\n").multi_grid == (1, 2)

    def test_may_be_left_out(self, write):
        assert self.options(write, "") == Options()

    @pytest.mark.parametrize(
        ("text", "place", "rule"),
        [
            ("{multi_gird: [1]}", "6:13", "`encoder.options` has no key `multi_gird`"),
            ("{multi_grid: [1, 0]}", "6:29", "`encoder.options.multi_grid[1]` must be a positive integer"),
            ("{multi_grid: 3}", "6:25", "must be a list, each value a positive integer or null"),
            ("{multi_grid: [1], depth: 2}", "6:12", "`multi_grid` is shorter than `depth`"),
        ],
    )
    def test_errors_have_the_place_in_the_preset(self, write, text, place, rule):
        with pytest.raises(ConfigError) as caught:
            self.options(write, f"  options: {text}\n")
        assert str(caught.value).startswith(f"mine.yaml:{place}: ")
        assert rule in str(caught.value)

    def test_a_required_option_is_missed_at_the_encoder(self, write):
        class Required(BaseModel):
            depth: int = Field(description="Number of blocks.")

        path = write("mine.yaml", MINIMAL)
        with pytest.raises(
            ConfigError, match=r"mine.yaml:1:10: `encoder.options.depth` is required"
        ) as caught:
            resolve(path).encoder_options(Required)
        assert "add `depth: 1` (Number of blocks)" in str(caught.value)

    def test_a_model_without_json_schema_still_gives_located_errors(self, write):
        class Exotic(BaseModel):
            model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

            lock: type(pytest) = None
            depth: int = 1

        path = write("mine.yaml", MINIMAL.replace("resnet_50", "resnet_50, options: {depth: x}"))
        with pytest.raises(ConfigError, match=r"mine.yaml:1:64: `encoder.options.depth`: Input should be"):
            resolve(path).encoder_options(Exotic)


def test_origins_print_short_below_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert str(Origin("file", tmp_path / "a" / "b.yaml", 3, 4)) == "a/b.yaml:3:4"
    assert str(Origin("file", tmp_path.parent / "b.yaml", 3, 4)) == f"{tmp_path.parent}/b.yaml:3:4"
