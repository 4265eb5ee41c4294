"""A saved preset on a hub: `kaggle://…` and `hf://…` that hold our `preset.yaml`, served from the hubs' own caches."""

import shutil

import numpy as np
import pytest
from hub_caches import kaggle_cache
from small_networks import SMALL_PRESET, randomize

import registry
from registry.errors import WeightsUnavailableError
from registry.stores.hugging_face import HuggingFaceStore
from registry.weights.handles import fetch_preset


@pytest.fixture(scope="module")
def model():
    return randomize(registry.build(SMALL_PRESET, weights=None))


@pytest.fixture(scope="module")
def saved(model, tmp_path_factory):
    return registry.save_preset(model, tmp_path_factory.mktemp("saved") / "cats")


def assert_same_weights(loaded, model):
    for value, other in zip(loaded.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(value, other)


def test_on_kaggle(kaggle, saved, model):
    handle = "someone/cats/other/small/2"
    kaggle_cache(kaggle, handle, saved, ["preset.yaml", "model.safetensors"])
    loaded = registry.load(f"kaggle://{handle}")
    assert_same_weights(loaded, model)
    assert loaded.name == model.name
    assert_same_weights(registry.build(SMALL_PRESET, weights=f"kaggle://{handle}"), model)


def test_on_hugging_face(hugging_face, saved, model):
    snapshot = hugging_face("someone/cats", sorted(saved.iterdir()))
    loaded = registry.load("hf://someone/cats@main", num_classes=3)
    assert loaded.weights_report.source == str(snapshot / "model.safetensors")
    assert loaded.weights_report.fresh == ("segmentation_output",)
    assert_same_weights(registry.DeepLabV3ImageSegmenter.from_preset("hf://someone/cats"), model)


def test_only_what_is_needed_is_fetched(monkeypatch, saved):
    """The hub is stood in for: what it is asked for is ours."""
    asked = []

    def fetch_directory(store, handle, required, optional, options):
        asked.append((handle.address, required, optional))
        return saved

    monkeypatch.setattr(HuggingFaceStore, "fetch_directory", fetch_directory)
    fresh = registry.build("hf://someone/felines", weights=None)
    assert asked == [("someone/felines", ("config.json|preset.yaml",), ())]
    assert fresh.weights_report is None
    asked.clear()
    registry.build("hf://someone/felines")
    assert asked[0] == ("someone/felines", ("config.json|preset.yaml",), ())
    assert set(asked[1:]) == {("someone/felines", ("model.safetensors",), ())}


def test_a_preset_without_its_weights(hugging_face, saved):
    hugging_face("someone/half", [saved / "preset.yaml"])
    assert registry.build("hf://someone/half", weights=None).name == "half"
    with pytest.raises(WeightsUnavailableError, match=r"must hold model\.safetensors"):
        registry.load("hf://someone/half")


def test_a_repository_that_holds_no_preset(hugging_face, saved):
    hugging_face("someone/other", [saved / "README.md"])
    with pytest.raises(WeightsUnavailableError, match=r"must hold config\.json or preset\.yaml"):
        registry.load("hf://someone/other")


def test_a_folder_with_both_descriptions_is_ours(saved, tmp_path):
    shutil.copytree(saved, tmp_path / "both")
    (tmp_path / "both" / "config.json").write_text("{}")
    assert fetch_preset(tmp_path / "both") == tmp_path / "both"
    assert registry.build(tmp_path / "both", weights=None).num_classes == 5
