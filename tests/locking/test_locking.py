"""What is locked is what is built, or nothing is."""

import json
import sys
import warnings

import pytest
import yaml
from fake_site import Site

import registry
from registry import discovery
from registry.catalog.source import MAX_BYTES
from registry.errors import LockDriftError, LockError, RegistryWarning, UnknownPresetError
from registry.locking.lockfile import read_lock

PLUGIN = """
    from registry.hookspecs import hookimpl
    from registry.pyramid import EncoderSpec

    @hookimpl
    def registry_encoders():
        return [EncoderSpec(name="tiny_s", channels={"P2": 8, "P5": 16}, output_strides=(16, 32))]

    @hookimpl
    def registry_build_encoder(variant, inputs, output_stride, options):
        raise AssertionError("not reached")
"""
PRESET = {
    "encoder": {"plugin": "tiny", "variant": "tiny_s", "output_stride": 16},
    "architecture": {"name": "deeplab_v3"},
    "num_classes": 2,
    "labels": [{"name": "a", "color": [0, 0, 0]}, {"name": "b", "color": [9, 9, 9]}],
}


@pytest.fixture
def site(tmp_path, monkeypatch):
    """`registry-tiny` 1.0 beside what is installed, with a RECORD."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delenv("ATROUS_PLUGINS", raising=False)
    monkeypatch.delenv("ATROUS_BLOCK_PLUGINS", raising=False)
    discovery.reset()
    site = Site(folder)
    site.install("registry-tiny", {"tiny": "registry_tiny"}, modules={"registry_tiny": PLUGIN})
    site.record("registry-tiny", "1.0")
    yield site
    discovery.reset()
    sys.modules.pop("registry_tiny", None)


@pytest.fixture
def preset(tmp_path):
    path = tmp_path / "presets" / "mein größtes Preset.yaml"
    path.parent.mkdir()
    path.write_text(yaml.safe_dump(PRESET), encoding="utf-8")
    return path


def locked(presets, path, **arguments):
    # atrous itself is installed editable where it is developed, which it says.
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "atrous .* is installed editable", RegistryWarning)
        return registry.lock(presets, path, **arguments)


def drifts(call, *arguments, **options):
    with pytest.raises(LockDriftError) as caught:
        call(*arguments, **options)
    for drift in caught.value.drifts:
        assert drift.what
        assert drift.repair
        assert str(drift) in str(caught.value)
    return {drift.what: (drift.locked, drift.found) for drift in caught.value.drifts}


def test_the_file_says_everything_in_a_fixed_order_and_twice_the_same(site, preset, tmp_path):
    path = locked(preset, tmp_path / "atrous.lock", num_classes=2)
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert content["plugins"] == [
        {"kind": "architecture", "name": "deeplab_v3", "distribution": "atrous"},
        {"kind": "encoder", "name": "tiny", "distribution": "registry-tiny"},
    ]
    assert list(content["distributions"]) == ["atrous", "registry-tiny"]
    tiny = next(result for result in registry.verify_plugins() if result.distribution == "registry-tiny")
    assert content["distributions"]["registry-tiny"] == {"version": "1.0", "code": tiny.code}
    ((name, entry),) = content["presets"].items()
    assert name == "./presets/mein größtes Preset.yaml"
    assert entry["overrides"] == {"num_classes": 2}
    assert entry["weights"] == "none"
    shown = registry.describe(preset).to_dict()["config"]
    assert entry["config"] | {"labels": None} == shown | {"labels": None}
    before = path.read_bytes()
    assert locked(preset, path, num_classes=2).read_bytes() == before
    assert registry.check_lock(path) == [name]


def test_order_of_presets_does_not_matter(preset, site, tmp_path):
    names = ["deeplab_v3_plus_resnet50_pascalvoc", str(preset), "deeplab_v3_resnet50_cityscapes"]
    known = [name for name in names if name == str(preset) or name in registry.list_presets()]
    one = locked(known, tmp_path / "one.lock", weights=False).read_bytes()
    assert one == locked(known[::-1], tmp_path / "two.lock", weights=False).read_bytes()
    assert registry.check_lock(tmp_path / "one.lock", [preset]) == ["./presets/mein größtes Preset.yaml"]


def test_a_preset_that_changed_is_named_by_key_with_both_values(site, preset, tmp_path):
    path = locked(preset, tmp_path / "atrous.lock")
    changed = PRESET | {"architecture": {"name": "deeplab_v3", "dilation_rates": [1, 2]}, "ignore_label": 7}
    preset.write_text(yaml.safe_dump(changed), encoding="utf-8")
    of = "of preset './presets/mein größtes Preset.yaml'"
    expected = {
        f"architecture.dilation_rates {of}": ('"auto"', "[1, 2]"),
        f"ignore_label {of}": ("255", "7"),
    }
    assert drifts(registry.check_lock, path) == expected
    assert drifts(registry.build, preset, weights=None, lock=path) == expected
    # Labels are stated as one hash.
    preset.write_text(yaml.safe_dump(PRESET | {"labels": PRESET["labels"][::-1]}), encoding="utf-8")
    assert list(drifts(registry.check_lock, path)) == [f"labels {of}"]


def test_overrides_of_a_build_are_drift_unless_they_were_locked(site, preset, tmp_path):
    path = locked(preset, tmp_path / "atrous.lock")
    found = drifts(registry.build, preset, weights=None, lock=path, output_stride=32)
    assert list(found.values()) == [("16", "32")]


def harm_code(site):
    (site.folder / "registry_tiny.py").write_text("raise SystemExit('this code must not run')")


def other_version(site):
    (site.folder / "registry_tiny-1.0.dist-info").rename(site.folder / "registry_tiny-1.1.dist-info")
    metadata = site.folder / "registry_tiny-1.1.dist-info" / "METADATA"
    metadata.write_text(metadata.read_text().replace("Version: 1.0", "Version: 1.1"))


def other_code(site):
    harm_code(site)
    site.record("registry-tiny", "1.0")


def other_distribution(site):
    other_version(site)
    (site.folder / "registry_tiny-1.1.dist-info" / "entry_points.txt").write_text("")
    site.install("registry-evil", {"tiny": "registry_tiny"}, modules={})


def rival(site):
    site.install("registry-evil", {"tiny": "registry_tiny"}, modules={})


def gone(site):
    (site.folder / "registry_tiny-1.0.dist-info" / "entry_points.txt").write_text("")


@pytest.mark.parametrize(
    ("change", "what", "found"),
    [
        (harm_code, "code of registry-tiny", "changed: registry_tiny.py"),
        (other_code, "code of registry-tiny", ""),
        (other_version, "version of registry-tiny", "1.1"),
        (other_distribution, "distribution of encoder 'tiny'", "registry-evil"),
        (rival, "distribution of encoder 'tiny'", "nothing"),
        (gone, "distribution of encoder 'tiny'", "nothing"),
    ],
)
def test_a_plugin_that_drifted_is_refused_before_its_code_runs(site, preset, tmp_path, change, what, found):
    path = locked(preset, tmp_path / "atrous.lock")
    sys.modules.pop("registry_tiny")
    discovery.reset()
    change(site)
    for call in (
        lambda: registry.check_lock(path),
        lambda: registry.build(preset, weights=None, lock=path),
    ):
        assert found in drifts(call)[what][1]
    assert "registry_tiny" not in sys.modules


def test_code_that_is_not_what_was_installed_is_not_locked(site, preset, tmp_path):
    (site.folder / "registry_tiny.py").write_text((site.folder / "registry_tiny.py").read_text() + "# mine\n")
    with pytest.raises(LockError, match=r"changed: registry_tiny\.py"):
        locked(preset, tmp_path / "atrous.lock")
    assert not (tmp_path / "atrous.lock").exists()


def test_code_that_cannot_be_locked_is_told(site, preset, tmp_path):
    (site.folder / "registry_tiny-1.0.dist-info" / "RECORD").unlink()
    with pytest.warns(RegistryWarning, match=r"registry-tiny 1\.0 is without a RECORD"):
        locked(preset, tmp_path / "atrous.lock")
    assert read_lock(tmp_path / "atrous.lock").distributions["registry-tiny"].code == "unrecorded"


def test_a_file_edited_by_hand_is_told(site, preset, tmp_path):
    path = locked(preset, tmp_path / "atrous.lock")
    path.write_text(
        path.read_text(encoding="utf-8").replace("ignore_label: 255", "ignore_label: 3"), encoding="utf-8"
    )
    with pytest.raises(LockDriftError, match="edited by hand"):
        registry.check_lock(path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "must exist"),
        (b"", "mapping|empty|nothing"),
        (b"\xff\xfe", "UTF-8"),
        (b"version: 2\nplugins: []\ndistributions: {}\npresets: {}\n", "version"),
        (b"version: 1\nplugins: []\ndistributions: {}\npresets: {}\nmore: 1\n", "more"),
        (b"version: 1\nplugins: []\ndistributions: {a: {version: '1', code: abc}}\npresets: {}\n", "code"),
        (b"[" * 5000, "deep|nest"),
        (b"# " + b"x" * MAX_BYTES, "bytes"),
    ],
)
def test_what_is_no_lock_file_is_an_error_of_ours(tmp_path, content, reason):
    path = tmp_path / "atrous.lock"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(LockError, match=reason) as caught:
        registry.check_lock(path)
    assert "repair:" in str(caught.value)


def test_what_cannot_be_locked_or_is_not_in_it(site, preset, tmp_path):
    path = tmp_path / "atrous.lock"
    for wrong, reason in [
        ([], "needs presets"),
        ([preset, preset], "once"),
        (PRESET, "has a name"),
        (7, "has a name"),
    ]:
        with pytest.raises(LockError, match=reason):
            locked(wrong, path)
    with pytest.raises(UnknownPresetError):
        locked("deeplab", path)
    assert not path.exists()
    locked(preset, path)
    with pytest.raises(LockError, match="must be in it"):
        registry.build("deeplab_v3_plus_resnet50_pascalvoc", weights=None, lock=path)
    with pytest.raises(LockError, match="a mapping has no name"):
        registry.build(PRESET, weights=None, lock=path)


def test_weights_are_locked_by_content_and_held_to_before_they_are_parsed(small_model, tmp_path):
    folder = registry.save_preset(small_model, tmp_path / "saved")
    path = locked(folder, tmp_path / "atrous.lock")
    entry = read_lock(path).presets["./saved"]
    assert list(entry.weights.files) == ["model.safetensors"]
    model = registry.build(folder, lock=path)
    assert model.weights_report.loaded
    # The same content under another name is the same.
    copy = tmp_path / "copy.safetensors"
    content = (folder / "model.safetensors").read_bytes()
    copy.write_bytes(content)
    assert registry.check_lock(path) == ["./saved"]
    (folder / "model.safetensors").write_bytes(b"not even weights" + content)
    assert list(drifts(registry.check_lock, path)) == ["model.safetensors, weights of preset './saved'"]
    assert registry.check_lock(path, weights=False) == ["./saved"]
    drifts(registry.build, folder, lock=path)
    drifts(registry.build, folder, weights=folder, lock=path)
    registry.build(folder, weights=copy, lock=path)
    (folder / "model.safetensors").write_bytes(content)
    locked(folder, path, weights=False)
    with pytest.raises(LockError, match="must be locked"):
        registry.build(folder, lock=path)


@pytest.mark.filterwarnings("ignore:atrous .* is installed editable")
def test_commands(site, preset, tmp_path, monkeypatch):
    from typer.testing import CliRunner

    from registry.cli.app import app

    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        return CliRunner().invoke(app, list(arguments))

    written = run("lock", str(preset), "--set", "ignore_label=9", "--json")
    assert json.loads(written.stdout) == {"file": "atrous.lock", "presets": [str(preset)], "checked": False}
    assert run("lock", "--check").exit_code == 0
    assert run("lock").exit_code == run("lock", "--check", "--set", "a=1").exit_code == 2
    assert run("plugins", "--verify").exit_code == 0
    (site.folder / "registry_tiny.py").write_text("raise SystemExit")
    drifted = run(
        "build", str(preset), "--weights", "none", "--lock", "atrous.lock", "--set", "ignore_label=9"
    )
    assert drifted.exit_code == run("lock", "--check").exit_code == 1
    assert "code of registry-tiny" in drifted.stderr
    verified = run("plugins", "--verify", "--json")
    assert verified.exit_code == 1
    found = {item["distribution"]: item for item in json.loads(verified.stdout)["distributions"]}
    assert found["registry-tiny"]["changed"] == ["registry_tiny.py"]
