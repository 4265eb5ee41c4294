"""Handles: served from the hubs' own caches without network, refused with a way out where that fails."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import registry
from registry.errors import WeightsFormatError, WeightsUnavailableError
from registry.weights.handles import fetch_directory, fetch_file, is_file_handle, is_handle

PRESET = Path(__file__).parent.parent / "parity" / "keras_hub_presets" / "resnet_v1_segmenter"
SHARDED = PRESET.parent / "resnet_vd_backbone_sharded"
FILES = ("config.json", "task.json", "model.weights.h5", "task.weights.h5")

# A closed port as proxy: the network is unreachable, at once and on every machine.
NO_NETWORK = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), "http://127.0.0.1:9")

BUILD = """
import json, sys, time
import registry
source, arguments = sys.argv[1], json.loads(sys.argv[2])
try:
    model = getattr(registry, arguments.pop("class", "DeepLabV3ImageSegmenter")).from_preset(source, **arguments)
    print(json.dumps({"loaded": len(model.weights), "shape": model.output_shape}))
except registry.RegistryError as error:
    print(json.dumps({"error": type(error).__name__, "message": str(error)}))
"""


def build(source, environment, **arguments):
    completed = subprocess.run(
        [sys.executable, "-c", BUILD, source, json.dumps(arguments)],
        env={**os.environ, **NO_NETWORK, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert completed.returncode == 0, completed.stderr
    assert "Traceback" not in completed.stderr
    return json.loads(completed.stdout.splitlines()[-1])


def kaggle_cache(root, handle, source, files):
    """Lay files out as kagglehub's own cache, with its completion markers."""
    owner, model, framework, variation, version = handle.split("/")
    base = root / "models" / owner / model / framework / variation
    (base / version).mkdir(parents=True)
    marks = base / ".complete" / version
    marks.mkdir(parents=True)
    for name in files:
        shutil.copy(source / name, base / version / name)
        (marks / f"{name}.complete").touch()


@pytest.mark.slow
def test_a_kaggle_handle_is_served_from_the_cache_without_network(tmp_path):
    handle = "keras/deeplabv3plus/keras/small/4"
    kaggle_cache(tmp_path, handle, PRESET, FILES)
    result = build(f"kaggle://{handle}", {"KAGGLEHUB_CACHE": str(tmp_path)})
    assert result["shape"] == [None, None, None, 4]


@pytest.mark.slow
def test_sharded_weights_are_served_from_the_cache(tmp_path):
    handle = "keras/deeplabv3plus/keras/sharded/1"
    files = [path.name for path in SHARDED.iterdir() if path.name.startswith(("config", "model"))]
    kaggle_cache(tmp_path, handle, SHARDED, files)
    result = build(f"kaggle://{handle}", {"KAGGLEHUB_CACHE": str(tmp_path)}, **{"class": "DeepLabV3Backbone"})
    assert result["shape"] == [None, None, None, 256]


@pytest.mark.slow
def test_a_hugging_face_handle_is_served_from_the_cache_without_network(tmp_path):
    revision = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / "models--someone--small"
    shutil.copytree(PRESET, repository / "snapshots" / revision)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(revision)
    environment = {"HF_HUB_CACHE": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    assert build("hf://someone/small", environment)["shape"] == [None, None, None, 4]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "variable"),
    [
        ("deeplab_v3_plus_resnet50_pascalvoc", "KAGGLEHUB_CACHE"),
        ("kaggle://keras/deeplabv3plus/keras/x", "KAGGLEHUB_CACHE"),
        ("hf://someone/absent", "HF_HUB_CACHE"),
    ],
)
def test_without_network_and_cache_one_error_says_how_to_go_on(tmp_path, source, variable):
    environment = {"KAGGLEHUB_CACHE": str(tmp_path), "HF_HUB_CACHE": str(tmp_path), "HF_HOME": str(tmp_path)}
    result = build(source, environment)
    assert result["error"] == "WeightsUnavailableError"
    for hint in ("could not be fetched", "weights=None", "path/to/preset_directory", variable):
        assert hint in result["message"]


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
    assert not any(is_handle(text) for text in ("kaggle", "a/b", "s3://x", "C://x", Path("hf:/a")))


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
    "handle", ["hf://a/b", "hf://a/b@refs/pr/1", "kaggle://a/b/c/d/1", "a/b/c.h5", "s3://a/b"]
)
def test_directories_are_told_from_files(handle):
    assert not is_file_handle(handle)


@pytest.mark.parametrize("handle", ["hf://a/b/../c", "hf://a", "hf://a/b"])
def test_malformed_handles_of_files(handle):
    with pytest.raises(WeightsUnavailableError, match="hf://user/model/file"):
        fetch_file(handle, declared=True)


@pytest.mark.slow
def test_a_file_on_hugging_face_is_served_from_the_cache_without_network(tmp_path):
    revision = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / "models--someone--net"
    (repository / "snapshots" / revision).mkdir(parents=True)
    (repository / "snapshots" / revision / "model.safetensors").write_bytes(b"content")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(revision)
    program = (
        "import sys; from registry.weights.handles import fetch_file\n"
        "print(fetch_file(sys.argv[1], declared=False).read_text())"
    )
    environment = {**os.environ, **NO_NETWORK, "HF_HUB_CACHE": str(tmp_path)}
    for name, expected in (("model", "content"), ("absent", "")):
        completed = subprocess.run(
            [sys.executable, "-c", program, f"hf://someone/net/{name}.safetensors"],
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert completed.stdout.strip() == expected
    assert "WeightsUnavailableError: the weights at hf://someone/net/absent" in completed.stderr


def test_a_missing_client_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    with pytest.raises(registry.RegistryError, match=r"pip install 'atrous\[kaggle\]'"):
        fetch_directory("kaggle://a/b/c/d/1", required=["config.json"], optional=[])
