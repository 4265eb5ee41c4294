"""The folder of a saved preset stands wherever a preset may."""

import pytest
from preset_samples import MINIMAL

from registry.catalog import describe, is_saved_preset, list_presets, preset_yaml, resolve, resolve_fetched
from registry.errors import CatalogError, ConfigError, DuplicatePresetError, UnknownPresetError

BUILT_IN = "deeplab_v3_plus_resnet50_pascalvoc"


@pytest.fixture
def saved(write):
    write("my cats/preset.yaml", MINIMAL + "weights: {segmentation: model.safetensors}\n")
    return write("my cats/model.safetensors", "").parent


@pytest.mark.parametrize("name", ["my cats", "./my cats", "my cats/", "my cats/."])
def test_a_folder_is_described_by_its_path(saved, name):
    resolved = resolve(name)
    assert resolved.name == "my cats"
    assert resolved.files == (saved / "preset.yaml",)
    assert resolved.weights_source("segmentation") == str(saved / "model.safetensors")
    assert str(resolved.origins["num_classes",]) == "my cats/preset.yaml:3:14"
    assert describe(saved, num_classes=7).config.num_classes == 7


def test_a_preset_of_that_name_comes_first(write):
    write(f"{BUILT_IN}/preset.yaml", MINIMAL)
    assert resolve(BUILT_IN).config.num_classes == 21
    assert resolve(f"./{BUILT_IN}").config.num_classes == 2


def test_a_word_that_is_neither(write):
    write("folder/other.yaml", MINIMAL)
    with pytest.raises(UnknownPresetError, match=r"\./my_preset"):
        resolve("folder")
    with pytest.raises(CatalogError, match=r"holds preset\.yaml") as caught:
        resolve("./folder")
    assert "is a folder" in str(caught.value)


def test_what_is_a_saved_preset(saved, tmp_path, monkeypatch):
    assert is_saved_preset(saved)
    assert is_saved_preset(str(saved))
    for other in (saved / "preset.yaml", tmp_path, tmp_path / "absent", "a\0b", None, {}):
        assert not is_saved_preset(other)
    monkeypatch.chdir(saved)
    assert is_saved_preset(".")
    assert not is_saved_preset("")
    assert resolve(".").name == "my cats"


def test_a_root_holds_saved_presets_by_name(environment_root, write):
    write("more_presets/cats/preset.yaml", MINIMAL + "weights: {segmentation: model.safetensors}\n")
    write("more_presets/Cats/preset.yaml", MINIMAL)
    write("more_presets/other/readme.md", "")
    assert set(list_presets()) >= {"cats"}
    assert not {"Cats", "other", "preset"} & set(list_presets())
    resolved = resolve("cats")
    assert resolved.name == "cats"
    assert resolved.weights_file("segmentation") == environment_root / "cats/model.safetensors"
    write("more_presets/cats.yaml", MINIMAL)
    with pytest.raises(DuplicatePresetError, match=r"cats/preset\.yaml"):
        resolve("cats")


def test_a_saved_preset_may_be_a_base(write):
    write("cats/preset.yaml", MINIMAL + "weights: {segmentation: model.safetensors}\n")
    resolved = resolve(write("mine.yaml", "extends: cats\nlicense: MIT\n"))
    assert resolved.name == "mine"
    assert resolved.config.license == "MIT"
    assert resolved.weights_file("segmentation") == resolved.files[0].parent / "cats/model.safetensors"


def test_a_handle_is_not_described(write):
    with pytest.raises(CatalogError, match=r"registry\.build and registry\.load fetch handles"):
        resolve("hf://user/model")


def test_files_that_a_hubs_client_linked_into_its_cache(write, tmp_path):
    blob = write("blobs/abc", MINIMAL + "weights: {segmentation: model.safetensors}\n")
    snapshot = tmp_path / "snapshots" / "0123abcd"
    snapshot.mkdir(parents=True)
    for name in ("preset.yaml", "model.safetensors"):
        (snapshot / name).symlink_to(blob)
    resolved = resolve_fetched(snapshot, "model", overrides={"num_classes": 9})
    assert (resolved.name, resolved.config.num_classes) == ("model", 9)
    assert resolved.weights_source("segmentation") == str(snapshot / "model.safetensors")
    # By path, the folder is anybody's.
    with pytest.raises(ConfigError, match="must stay within"):
        resolve(snapshot)


@pytest.mark.parametrize("text", ["", "a: b\n#", "- x", "'", 'é" \\', "\x85\u2028"])
def test_a_config_as_yaml_says_the_same(write, text):
    config = resolve(
        BUILT_IN, overrides={"description": text, "encoder.options": {text or "k": [1, {"a": None}]}}
    ).config
    path = write("written.yaml", preset_yaml(config))
    assert resolve(path).config == config
    assert "extends" not in preset_yaml(config)
