"""Handles: served from the hubs' own caches without network, refused with a way out where that fails."""

import hashlib
import sys
from pathlib import Path

import pytest
from hub_caches import kaggle_cache

import registry
from registry.errors import WeightsFormatError, WeightsUnavailableError
from registry.weights.handles import fetch_directory, fetch_file, is_file_handle, is_handle

PRESET = Path(__file__).parent.parent / "parity" / "keras_hub_presets" / "resnet_v1_segmenter"
SHARDED = PRESET.parent / "resnet_vd_backbone_sharded"
FILES = ("config.json", "task.json", "model.weights.h5", "task.weights.h5")


def test_a_kaggle_handle_is_served_from_the_cache_without_network(kaggle):
    handle = "keras/deeplabv3plus/keras/small/4"
    kaggle_cache(kaggle, handle, PRESET, FILES)
    model = registry.DeepLabV3ImageSegmenter.from_preset(f"kaggle://{handle}")
    assert model.output_shape == (None, None, None, 4)


def test_sharded_weights_are_served_from_the_cache(kaggle):
    handle = "keras/deeplabv3plus/keras/sharded/1"
    files = [path.name for path in SHARDED.iterdir() if path.name.startswith(("config", "model"))]
    kaggle_cache(kaggle, handle, SHARDED, files)
    model = registry.DeepLabV3Backbone.from_preset(f"kaggle://{handle}")
    assert model.output_shape == (None, None, None, 256)


def test_a_hugging_face_handle_is_served_from_the_cache_without_network(hugging_face):
    hugging_face("someone/small", sorted(PRESET.iterdir()))
    model = registry.DeepLabV3ImageSegmenter.from_preset("hf://someone/small")
    assert model.output_shape == (None, None, None, 4)


@pytest.mark.parametrize(
    "handle",
    [
        "kaggle://keras/deeplabv3plus",
        "kaggle://",
        "hf://model",
        "hf://a/b/c",
        "hf://",
        "https://example.org/weights.h5",
        "s3://bucket/weights",
    ],
)
def test_malformed_handles(handle):
    with pytest.raises(WeightsUnavailableError) as caught:
        fetch_directory(handle, required=["config.json"], optional=[])
    assert handle in str(caught.value)


def test_paths_that_are_no_preset_directory(tmp_path, small_preset):
    with pytest.raises(WeightsUnavailableError, match="nothing"):
        registry.build(small_preset, weights=tmp_path / "absent")
    file = tmp_path / "weights.h5"
    file.write_bytes(b"")
    with pytest.raises(WeightsFormatError, match=r"weights\.h5"):
        registry.build(small_preset, weights=file)
    with pytest.raises(WeightsUnavailableError, match="a file"):
        fetch_directory(file, required=["config.json"], optional=[])
    with pytest.raises(WeightsUnavailableError, match=r"must hold config\.json"):
        registry.build(small_preset, weights=tmp_path)


def test_handles_are_told_from_paths():
    assert is_handle("kaggle://a/b/c/d/1")
    assert is_handle("hf://a/b")
    assert is_handle("https://x")
    assert is_handle("s3://x"), "whether or not a store serves it"
    assert not any(is_handle(text) for text in ("kaggle", "a/b", "C://x", Path("hf:/a")))


@pytest.mark.parametrize(
    ("handle", "repository", "revision", "file"),
    [
        ("hf://timm/net/model.safetensors", "timm/net", None, "model.safetensors"),
        ("hf://timm/net@v1.2/sub/model.safetensors", "timm/net", "v1.2", "sub/model.safetensors"),
        ("hf://timm/net@refs/pr/3/model.h5", "timm/net", "refs/pr/3", "model.h5"),
    ],
)
def test_a_file_on_hugging_face_is_asked_for_by_repository_revision_and_name(
    monkeypatch, tmp_path, handle, repository, revision, file
):
    """The client is stood in for: what it is asked is ours, what it answers is its own business."""
    import huggingface_hub

    asked = []

    def hf_hub_download(*arguments, **options):
        asked.append((*arguments, options["revision"]))
        path = tmp_path / "file"
        path.write_bytes(b"content")
        return str(path)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", hf_hub_download)
    assert is_file_handle(handle)
    assert fetch_file(handle, declared=False).read_bytes() == b"content"
    assert asked == [(repository, file, revision)]
    fetch_file(f"{handle}#sha256={hashlib.sha256(b'content').hexdigest()}", declared=False)
    with pytest.raises(WeightsFormatError, match="stated md5 hash"):
        fetch_file(f"{handle}#md5={'0' * 32}", declared=False)


@pytest.mark.parametrize(
    "handle", ["hf://a/b", "hf://a/b@refs/pr/1", "kaggle://a/b/c/d/1", "a/b/c.h5", None, Path("a")]
)
def test_directories_are_told_from_files(handle):
    assert not is_file_handle(handle)


@pytest.mark.parametrize("handle", ["hf://a/b/../c", "hf://a", "hf://a/b"])
def test_malformed_handles_of_files(handle):
    with pytest.raises(WeightsUnavailableError, match="hf://user/model/file"):
        fetch_file(handle, declared=True)


def test_a_missing_client_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    with pytest.raises(registry.RegistryError, match=r"pip install 'atrous\[kaggle\]'"):
        fetch_directory("kaggle://a/b/c/d/1", required=["config.json"], optional=[])
