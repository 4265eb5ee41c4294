"""The guide for plugin authors is complete: every hook is explained and tested, every file shown as it is."""

from __future__ import annotations

import ast
import dataclasses
import hashlib
import inspect
import io
import re
import shutil
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from fake_site import Site
from fenced import fenced, texts, unfenced

import registry
from registry import discovery, hookspecs
from registry.architecture import ArchitectureSpec
from registry.catalog import resolve
from registry.diagram import assembly_diagram
from registry.errors import WeightsUnavailableError
from registry.pyramid import EncoderSpec
from registry.stores import patience
from registry.testing import CHECKS
from registry.weights.handles import fetch_file

ROOT = Path(__file__).parents[2]
GUIDE = ROOT / "docs" / "write-a-plugin.md"
SAMPLE = ROOT / "docs" / "write-a-plugin" / "registry-tinynet"
HOOKS = {name: hook for name, hook in vars(hookspecs).items() if hasattr(hook, "registry_spec")}
SAMPLE_FILES = sorted(
    path.relative_to(SAMPLE.parent).as_posix()
    for path in SAMPLE.rglob("*")
    if path.suffix in {".toml", ".py", ".yaml"}
)


def shown_files() -> dict[str, str]:
    return {block.file: block.text for block in fenced(GUIDE.read_text(encoding="utf-8")) if block.file}


def test_there_are_hooks():
    assert set(HOOKS) >= {"registry_encoders", "registry_build_encoder", "registry_preset_roots"}


@pytest.mark.parametrize("name", HOOKS)
def test_every_hook_has_a_section_with_its_signature(name: str):
    arguments = ", ".join(inspect.signature(HOOKS[name]).parameters)
    assert f"\n### `{name}({arguments})`\n" in GUIDE.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", HOOKS)
def test_every_hook_has_a_docstring(name: str):
    assert inspect.getdoc(HOOKS[name])


@pytest.mark.parametrize("name", HOOKS)
def test_every_hook_is_exercised_by_a_test(name: str):
    tests = {
        node.name
        for path in Path(__file__).parent.glob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef)
    }
    assert any(test.startswith(f"test_hook_{name}") for test in tests)


def test_every_field_of_a_description_is_explained():
    rows = [line for line in GUIDE.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    explained = {word for row in rows for word in re.findall(r"`(\w+)`", row.split(" | ")[0])}
    for spec in (EncoderSpec, ArchitectureSpec):
        assert explained >= {field.name for field in dataclasses.fields(spec)}


def test_every_status_and_variable_is_explained():
    text = GUIDE.read_text(encoding="utf-8")
    for word in ("available", "loaded", "broken", "blocked", "duplicate", "incompatible"):
        assert f"| `{word}` |" in text
    for word in ("ATROUS_PLUGINS", "ATROUS_BLOCK_PLUGINS", "REGISTRY_API_VERSION"):
        assert f"`{word}`" in text


def test_the_guide_shows_every_file_of_the_sample():
    assert sorted(shown_files()) == SAMPLE_FILES


@pytest.mark.parametrize("name", SAMPLE_FILES)
def test_the_guide_shows_a_file_as_it_is(name: str):
    assert shown_files()[name] == (SAMPLE.parent / name).read_text(encoding="utf-8")


def test_the_sample_is_discovered_and_its_preset_is_valid(site: Site):
    shutil.copytree(SAMPLE / "registry_tinynet", site.folder / "registry_tinynet")
    site.install("registry-tinynet", {"tinynet": "registry_tinynet"}, modules={})
    site.modules.append("registry_tinynet")
    (encoder,) = discovery.list_encoders()
    assert encoder.channels == {"P1": 16, "P2": 32, "P3": 64, "P4": 96, "P5": 128}
    (root,) = discovery.preset_roots()
    (preset,) = root.path.glob("*.yaml")
    site.install("atrous", "[registry.architectures]\ndeeplab_v3_plus = registry_deeplab\n", modules={})
    config = resolve(preset).config
    _, spec = discovery.find_encoder(config.encoder.plugin, config.encoder.variant)
    assert config.encoder.output_stride in spec.output_strides
    assert spec.channels_for(spec.options(**config.encoder.options))["P1"] == 24


def other_blocks(language: str) -> list[str]:
    """Fenced blocks that are no file of the sample."""
    return texts(GUIDE.read_text(encoding="utf-8"), language)


def test_every_block_is_of_a_kind_that_is_tested():
    text = GUIDE.read_text(encoding="utf-8")
    assert {block.language for block in fenced(text) if block.file is None} == {"python", "toml", "sh"}
    indented = re.findall(r"^\n((?:    .*\n)+)", unfenced(text), re.MULTILINE)
    assert [block.split()[0] for block in indented] == ["registry-tinynet/"], (
        "the tree of files; fence the rest"
    )


def test_the_conversion_of_the_guide_converts():
    (source,) = [block for block in other_blocks("python") if "registry_convert_weights" in block]
    namespace: dict[str, object] = {}
    exec(source, namespace)
    convert = namespace["registry_convert_weights"]
    kernel = np.arange(24.0).reshape(2, 3, 2, 2)
    converted = convert({"stem.weight": [kernel]})
    np.testing.assert_array_equal(converted["stem"][0], kernel.transpose(2, 3, 1, 0))
    assert convert({"stem": [kernel.transpose(2, 3, 1, 0)]}) is None


def test_the_architecture_of_the_guide_builds(site: Site):
    others = ("registry_convert_weights", "registry_store")
    source = "\n".join(block for block in other_blocks("python") if not any(hook in block for hook in others))
    (declared,) = [block for block in other_blocks("toml") if "architectures" in block]
    ((group, entries),) = tomllib.loads(declared)["project"]["entry-points"].items()
    lines = "".join(f"{name} = {module}\n" for name, module in entries.items())
    site.install("registry-tinyhead", f"[{group}]\n{lines}", modules={"registry_tinyhead": source})
    site.install("atrous", "[registry.encoders]\nresnet = registry_resnet\n", modules={})
    preset = {
        "encoder": {"plugin": "resnet", "variant": "resnet_18"},
        "architecture": {"name": "tinyhead", "filters": 8},
        "num_classes": 3,
    }
    model = registry.build(preset, weights=None)
    assert model(np.zeros((1, 64, 96, 3), np.float32)).shape == (1, 64, 96, 3)
    assert "3×3 convolution" in assembly_diagram(resolve(preset))


class ClientError(Exception):
    """botocore's, as far as the guide looks at it."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.response = {"Error": {"Code": code}}


class Bucket:
    """boto3 and its client, as far as the guide asks them: objects by key, and codes that come first."""

    def __init__(self, **objects: bytes) -> None:
        self.objects, self.codes, self.asked = objects, [], []

    def client(self, service: str) -> Bucket:
        assert service == "s3"
        return self

    def get_object(
        self, Bucket: str, Key: str, Range: str = "bytes=0-", IfMatch: str = ""
    ) -> dict[str, object]:
        self.asked.append(Range)
        if self.codes and (code := self.codes.pop(0)):
            raise ClientError(code)
        if Key not in self.objects:
            raise ClientError("NoSuchKey")
        content = self.objects[Key]
        tag = f'"{hashlib.md5(content).hexdigest()}"'
        if IfMatch not in ("", tag):
            raise ClientError("PreconditionFailed")
        body = content[int(Range[6:-1]) :]
        cut, self.cut = self.cut, None
        return {"Body": io.BytesIO(body[:cut]), "ContentLength": len(body), "ETag": tag}

    cut: int | None = None


@pytest.fixture
def bucket(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """The store of the guide, installed, before a bucket with one object."""
    (source,) = [block for block in other_blocks("python") if "registry_store" in block]
    (declared,) = [block for block in other_blocks("toml") if "stores" in block]
    ((group, entries),) = tomllib.loads(declared)["project"]["entry-points"].items()
    lines = "".join(f"{name} = {module}\n" for name, module in entries.items())
    site.install("registry-s3", f"[{group}]\n{lines}", modules={"registry_s3": source})
    bucket = Bucket(**{"net.safetensors": bytes(range(256)) * 100})
    monkeypatch.setitem(sys.modules, "boto3", bucket)
    monkeypatch.setitem(sys.modules, "botocore.exceptions", SimpleNamespace(ClientError=ClientError))
    monkeypatch.setenv("ATROUS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(patience, "DEFAULT", patience.Patience(pause=0.001))
    return bucket


def test_the_store_of_the_guide_fetches(bucket: Bucket):
    content = bucket.objects["net.safetensors"]
    bucket.codes, bucket.cut = ["SlowDown", None], 1000
    assert fetch_file("s3://bucket/net.safetensors").read_bytes() == content
    assert bucket.asked == ["bytes=0-", "bytes=0-", "bytes=1000-"]
    bucket.objects["new.h5"] = b"old" * 9

    def changed(*arguments: object, **options: object) -> dict[str, object]:
        bucket.objects["new.h5"] = b"new" * 9
        del bucket.get_object
        return Bucket.get_object(bucket, *arguments, **options)

    bucket.cut = 3
    first = bucket.get_object
    bucket.get_object = lambda **asked: (first(**asked), setattr(bucket, "get_object", changed))[0]
    assert fetch_file("s3://bucket/new.h5").read_bytes() == b"new" * 9


@pytest.mark.parametrize(
    ("code", "said"), [("AccessDenied", "bucket/a.h5"), ("NoSuchBucket", "bucket/a.h5"), ("Weird", "Weird")]
)
def test_the_store_of_the_guide_refuses(bucket: Bucket, code: str, said: str):
    bucket.codes = [code]
    with pytest.raises(WeightsUnavailableError, match=said):
        fetch_file("s3://bucket/a.h5")
    assert len(bucket.asked) == 1


def test_every_check_is_explained():
    text = GUIDE.read_text(encoding="utf-8")
    table = text[text.index("| check | promise |") :].split("\n\n")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == list(CHECKS)
