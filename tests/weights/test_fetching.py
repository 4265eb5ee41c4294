"""Weights fetched before they are needed: which ones, how large, and that offline they are enough."""

import json
import shutil
from pathlib import Path

import pytest
from hub_caches import kaggle_cache

import registry
from registry.errors import ModelError, UnknownPresetError, WeightsUnavailableError
from registry.weights.usage import usage

PRESETS = Path(__file__).parent.parent / "parity" / "keras_hub_presets"
KERAS_HUB = "deeplab_v3_plus_resnet50_pascalvoc"
HANDLE = "kaggle://keras/deeplabv3plus/keras/deeplab_v3_plus_resnet50_pascalvoc/4"
# What that preset's encoder starts from, and another encoder.
ITS_ENCODER = "kaggle://keras/resnetv1/keras/resnet_50_imagenet/3"
ENCODER = "kaggle://keras/resnet_vd/keras/resnet_vd_50_imagenet/2"
# A preset of the user's own, with weights beside it.
MINE = "extends: deeplab_v3_plus_resnet50_pascalvoc\nweights: {segmentation: mine.safetensors}\n"


@pytest.fixture
def offline(kaggle, monkeypatch):
    """No network, Kaggle's cache empty."""
    monkeypatch.setenv("ATROUS_OFFLINE", "1")
    return kaggle


@pytest.fixture
def filled(offline):
    """Kaggle's cache with small files in place of the preset's and of two encoders'."""
    for handle, name in (
        (HANDLE, "resnet_v1_segmenter"),
        (ITS_ENCODER, "resnet_v1_segmenter"),
        (ENCODER, "resnet_vd_backbone_sharded"),
    ):
        files = [path.name for path in (PRESETS / name).iterdir()]
        kaggle_cache(offline, handle.partition("://")[2], PRESETS / name, files)
    return offline


def rows(found):
    return [(one.target, one.part, one.source) for one in found]


def sizes(folder, *names):
    return sum((folder / name).stat().st_size for name in names)


def test_what_a_preset_loads(filled):
    (found,) = registry.fetch(KERAS_HUB)
    assert rows([found]) == [(KERAS_HUB, "model", HANDLE)]
    assert found.path == filled / "models/keras/deeplabv3plus/keras/deeplab_v3_plus_resnet50_pascalvoc/4"
    names = ("config.json", "model.weights.h5", "task.json", "task.weights.h5", "image_converter.json")
    assert found.size == sizes(found.path, *(name for name in names if (found.path / name).exists()))
    assert registry.fetch(KERAS_HUB, dry_run=True) == [found]
    assert json.loads(json.dumps(found.to_dict()))["path"] == str(found.path)


def test_shards_are_fetched_and_counted(filled):
    (found,) = registry.fetch("resnet/resnet_vd_50")
    held = [path for path in found.path.iterdir() if path.name.startswith(("config", "model"))]
    assert len(held) > 3
    assert found.size == sum(path.stat().st_size for path in held)


def test_the_encoder_too(filled):
    found = registry.fetch(KERAS_HUB, encoder=True)
    assert rows(found) == [(KERAS_HUB, "model", HANDLE), (KERAS_HUB, "encoder", ITS_ENCODER)]
    assert all(one.path is not None for one in found)
    # Without weights of the whole model, those of the encoder are what is loaded.
    name = "deeplab_v3_plus_resnet50_os16_pascalvoc"
    assert [row[:2] for row in rows(registry.fetch(name, dry_run=True))] == [(name, "encoder")]


def test_an_encoder_and_its_sources(offline):
    named, other = registry.fetch("resnet/resnet_vd_50", "resnet/resnet_vd_50/ssld_imagenet", dry_run=True)
    assert rows([named]) == [("resnet/resnet_vd_50", "encoder", ENCODER)]
    assert other.source != named.source
    assert (named.path, named.size) == (None, None), "Kaggle's client does not tell sizes"


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("resnet/resnet_vd_5", "did you mean 'resnet_vd_50'"),
        ("resnt/resnet_50", "did you mean 'resnet'"),
        ("resnet/resnet_vd_50/imagnet", "did you mean 'imagenet'"),
        ("some/path/of_mine", "plugin/variant"),
    ],
)
def test_encoders_that_are_none(target, said):
    with pytest.raises(ModelError, match=said):
        registry.fetch(target)


def test_an_unknown_preset():
    with pytest.raises(UnknownPresetError, match="deeplab_v3"):
        registry.fetch("deeplab_v3_plus_resnet50_pascal")


def test_what_is_not_there_and_cannot_be_fetched(offline):
    (planned,) = registry.fetch(KERAS_HUB, dry_run=True)
    assert (planned.path, planned.size) == (None, None)
    with pytest.raises(WeightsUnavailableError, match="ATROUS_OFFLINE is set"):
        registry.fetch(KERAS_HUB)


def test_half_of_it_is_not_all(offline):
    kaggle_cache(
        offline, HANDLE.partition("://")[2], PRESETS / "resnet_v1_segmenter", ["config.json", "task.json"]
    )
    (planned,) = registry.fetch(KERAS_HUB, dry_run=True)
    assert (planned.path, planned.size) == (None, None)


def test_what_is_on_this_machine_already(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(MINE)
    (tmp_path / "mine.safetensors").write_bytes(bytes(10))
    for dry_run in (True, False):
        (found,) = registry.fetch(path, dry_run=dry_run)
        assert (Path(found.source), found.path, found.size) == (tmp_path / "mine.safetensors",) * 2 + (10,)
        (folder,) = registry.fetch(PRESETS / "resnet_v1_segmenter", dry_run=dry_run)
        assert folder.size == sum(path.stat().st_size for path in (PRESETS / "resnet_v1_segmenter").iterdir())


def test_a_file_and_its_progress(tmp_path):
    path = tmp_path / "a.h5"
    path.write_bytes(bytes(10))
    seen = []
    (found,) = registry.fetch(path.as_uri(), progress=lambda *step: seen.append(step))
    assert (found.part, found.path, found.size) == ("handle", path, 10)


def test_a_saved_preset_on_a_hub(hugging_face, tmp_path):
    folder = tmp_path / "saved"
    folder.mkdir()
    (folder / "preset.yaml").write_text(MINE.replace("mine.safetensors", "model.safetensors"))
    (folder / "model.safetensors").write_bytes(bytes(10))
    snapshot = hugging_face("someone/cats", sorted(folder.iterdir()))
    for dry_run in (True, False):
        (found,) = registry.fetch("hf://someone/cats", dry_run=dry_run)
        assert (found.part, found.path) == ("handle", snapshot)
        assert found.size == 10 + (folder / "preset.yaml").stat().st_size
    # One without weights is whole without them.
    shutil.copytree(folder, tmp_path / "bare")
    (tmp_path / "bare" / "preset.yaml").write_text(MINE.replace("mine.safetensors", "null"))
    hugging_face("someone/bare", [tmp_path / "bare" / "preset.yaml"])
    (found,) = registry.fetch("hf://someone/bare")
    assert found.size == (tmp_path / "bare" / "preset.yaml").stat().st_size


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ("", [("model", HANDLE)]),
        ("encoder_weights: imagenet", [("encoder", ITS_ENCODER)]),
        ("encoder_weights: hf://someone/net/a.h5", [("encoder", "hf://someone/net/a.h5")]),
        ("weights: hf://someone/net", [("model", "hf://someone/net")]),
        ("weights: null\nencoder_weights: null", []),
        ("encoder_weights: null", [("model", HANDLE)]),
    ],
)
def test_what_a_recipe_starts_with(hugging_face, kaggle, tmp_path, monkeypatch, weights, expected):
    monkeypatch.setenv("ATROUS_OFFLINE", "1")
    path = tmp_path / "mine.yaml"
    source = "{reader: digits, split: train, count: 8}"
    path.write_text(f"preset: {KERAS_HUB}\ncrop: [64, 64]\ndata: {{train: {source}}}\nsteps: 1\n{weights}\n")
    found = registry.fetch(path, recipe=True, dry_run=True)
    assert [(one.part, one.source) for one in found] == expected


def test_who_uses_what():
    users = usage()
    assert users[HANDLE] == [KERAS_HUB]
    assert "resnet/resnet_vd_50" in users[ENCODER]
    assert any(
        name.startswith("deeplab")
        for name in users[registry.list_encoders("mobilenet_v2_100")[0].weights["imagenet"].partition("#")[0]]
    )
