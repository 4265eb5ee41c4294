import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from registry.catalog import list_presets, preset_schema, resolve
from registry.catalog import schema as schema_command
from registry.catalog.roots import builtin_root
from registry.catalog.source import read

KERAS_HUB = "deeplab_v3_plus_resnet50_pascalvoc"
PAPER = [
    f"{architecture}_resnet{depth}_os{stride}_pascalvoc"
    for architecture in ("deeplab_v3", "deeplab_v3_plus")
    for depth in (50, 101)
    for stride in (16, 8)
]
FILES = sorted(builtin_root().path.rglob("*.yaml"))


def test_the_promised_presets_ship():
    assert {KERAS_HUB, *PAPER} <= set(list_presets())


def test_keras_hubs_preset_says_what_keras_hubs_weights_need():
    config = resolve(KERAS_HUB).config
    assert (config.encoder.plugin, config.encoder.variant) == ("resnet", "resnet_50")
    assert (config.encoder.output_stride, config.encoder.options) == (32, {})
    architecture = config.architecture
    assert architecture.name == "deeplab_v3_plus"
    assert (architecture.spatial_pyramid_pooling_key, architecture.low_level_feature_key) == ("P5", "P2")
    assert (architecture.projection_filters, architecture.upsampling_size) == (48, "auto")
    assert architecture.dilation_rates == (6, 12, 18)
    assert architecture.aspp.dropout == 0.0
    assert architecture.batch_norm.epsilon == 1e-3
    assert architecture.decoder.model_dump() == {
        "filters": 256,
        "convolutions": 1,
        "kernel_size": 1,
        "separable": False,
        "depthwise_norm": True,
    }
    assert config.input.normalization.model_dump() == {"scale": 1.0, "offset": 0.0}
    assert config.weights.segmentation == f"kaggle://keras/deeplabv3plus/keras/{KERAS_HUB}/4"
    assert config.license == "Apache-2.0"
    assert config.evaluation[0].mean_iou == 0.63


@pytest.mark.parametrize("name", PAPER)
def test_paper_presets_say_what_the_papers_say(name):
    config = resolve(name).config
    depth, stride = name.split("_resnet")[1].split("_os")
    assert config.encoder.variant == f"resnet_{depth}"
    assert config.encoder.output_stride == int(stride.split("_")[0])
    assert config.encoder.options == {"multi_grid": [1, 2, 4]}
    architecture = config.architecture
    assert (architecture.dilation_rates, architecture.aspp.filters) == ("auto", 256)
    assert architecture.aspp.image_pooling
    is_plus = name.startswith("deeplab_v3_plus")
    assert architecture.name == ("deeplab_v3_plus" if is_plus else "deeplab_v3")
    if is_plus:
        decoder = architecture.decoder
        assert (decoder.convolutions, decoder.filters, decoder.kernel_size) == (2, 256, 3)
        assert (architecture.low_level_feature_key, architecture.projection_filters) == ("P2", 48)
    else:
        assert architecture.decoder.convolutions == 0
    assert config.paper == ("arXiv:1802.02611" if is_plus else "arXiv:1706.05587")
    assert config.weights.model_dump() == {"segmentation": None, "encoder": "imagenet"}
    assert config.input.normalization == "encoder"
    assert config.input.size == (512, 512)


@pytest.mark.parametrize("name", [KERAS_HUB, *PAPER])
def test_every_preset_has_the_classes_of_pascal_voc(name):
    config = resolve(name).config
    assert config.num_classes == len(config.labels) == 21
    assert config.labels[0].model_dump() == {"name": "background", "color": (0, 0, 0)}
    assert config.labels[15].model_dump() == {"name": "person", "color": (192, 128, 128)}
    assert len({label.color for label in config.labels}) == 21
    assert config.ignore_label == 255


def test_the_options_of_shipped_presets_suit_their_plugin():
    variants = pytest.importorskip("registry_resnet.variants")
    for name in PAPER:
        resolved = resolve(name)
        specs = {spec.name: spec for spec in variants.SPECS}
        spec = specs[resolved.config.encoder.variant]
        assert resolved.encoder_options(spec.options).multi_grid == (1, 2, 4)
        assert resolved.config.encoder.output_stride in spec.output_strides
        assert resolved.config.weights.encoder in spec.weights


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_file_names_the_schema_and_obeys_it(path):
    first = path.read_text(encoding="utf-8").splitlines()[0]
    reference = first.removeprefix("# yaml-language-server: $schema=")
    assert reference != first
    schema = json.loads((path.parent / reference).read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(read(path).plain())


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_other_yaml_readers_see_the_same_values(path):
    # 1e-3 is the one place where YAML 1.1 and 1.2 differ in our own files.
    text = path.read_text(encoding="utf-8").replace("1e-3", "1.0e-3")
    assert yaml.safe_load(text) == read(path).plain()


def test_the_schema_is_a_valid_schema():
    jsonschema.Draft202012Validator.check_schema(preset_schema())


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"extends": "_base/resnet_50"},
        {"extends": ["a", "_base/b"], "architecture": {"dilation_rates": [1]}},
        {"encoder": {"output_stride": 8}},
        {"architecture": {"name": "deeplab_v3_plus", "projection_filters": 3}},
    ],
)
def test_the_schema_accepts_parts(document):
    jsonschema.Draft202012Validator(preset_schema()).validate(document)


@pytest.mark.parametrize(
    "document",
    [
        {"extends": 3},
        {"extends": "../x"},
        {"extend": "x"},
        {"encoder": {"output_stride": 7}},
        {"encoder": {"stride": 8}},
        {"architecture": {"name": "deeplab_v3", "projection_filters": 3}},
        {"labels": [{"name": "a"}]},
    ],
)
def test_the_schema_refuses_what_resolve_refuses(document):
    assert not jsonschema.Draft202012Validator(preset_schema()).is_valid(document)


def test_the_published_schema_is_current():
    assert schema_command.main(["--check"]) == 0


def test_a_stale_schema_is_told_and_rewritten(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(schema_command, "checkout", lambda: tmp_path)
    assert schema_command.main(["--check"]) == 1
    assert "stale" in capsys.readouterr().err
    assert schema_command.main([]) == 0
    assert schema_command.main(["--check"]) == 0
    assert (
        json.loads((tmp_path / "docs/reference/preset.schema.json").read_text(encoding="utf-8"))
        == preset_schema()
    )


def test_the_schema_command_needs_a_checkout(monkeypatch, capsys):
    monkeypatch.setattr(schema_command, "checkout", lambda: None)
    assert schema_command.main([]) == 1
    assert "checkout" in capsys.readouterr().err


def test_no_preset_is_longer_than_a_screen():
    for path in FILES:
        lines = path.read_text(encoding="utf-8").splitlines()
        # A list of 150 classes is as long as it is.
        assert sum(not line.startswith("  - {name: ") for line in lines) <= 45
    assert all(isinstance(path, Path) for path in FILES)
