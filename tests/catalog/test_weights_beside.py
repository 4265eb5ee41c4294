"""Weights that a preset file names lie beside that file, and nowhere else."""

import pytest
from preset_samples import MINIMAL

from registry.catalog import resolve
from registry.catalog.roots import Root, builtin_root
from registry.errors import ConfigError, WeightsUnavailableError

OUTSIDE = [
    "/etc/x",
    "../x",
    "a/../../x",
    "..",
    ".",
    "~/x",
    "~root/x",
    "C:/x",
    "a\\b",
    "a//b",
    "./a",
    "a/",
    "",
]


def with_weights(value, key="segmentation"):
    return MINIMAL + f"weights: {{{key}: {value}}}\n"


def test_a_path_means_the_folder_of_the_file_that_states_it(write, monkeypatch, tmp_path):
    write("root/_base/part.yaml", "weights: {segmentation: weights/a.safetensors}\n")
    write("root/_base/weights/a.safetensors", "")
    path = write("root/mine.yaml", MINIMAL + "extends: _base/part\n")
    monkeypatch.chdir("/")
    resolved = resolve(path)
    expected = tmp_path / "root/_base/weights/a.safetensors"
    assert resolved.weights_source("segmentation") == str(expected)
    assert resolved.weights_file("segmentation") == expected
    # As it stands there: the config names no place of this machine.
    assert resolved.config.weights.segmentation == "weights/a.safetensors"


def test_spaces_and_other_alphabets(write):
    path = write("größe.yaml", with_weights("'weights/mäuse und katzen.safetensors'"))
    file = write("weights/mäuse und katzen.safetensors", "")
    assert resolve(path).weights_source("segmentation") == str(file)


def test_what_is_no_file_stays_as_it_is(write):
    for value in ("kaggle://a/b/c/d/1", "https://host/x.h5", "hf://user/model"):
        resolved = resolve(write("mine.yaml", with_weights(f"'{value}'")))
        assert resolved.weights_source("segmentation") == value
        assert resolved.weights_file("segmentation") is None
    resolved = resolve(write("mine.yaml", with_weights("imagenet", "encoder")))
    assert resolved.weights_source("encoder", ["imagenet"]) == "imagenet"
    assert resolved.weights_source("segmentation") is None


def test_an_encoder_may_have_a_file_of_its_own(write):
    path = write("mine.yaml", with_weights("encoder.h5", "encoder"))
    with pytest.raises(
        WeightsUnavailableError, match=r"mine\.yaml:\d+:\d+: .*imagenet, a handle, or a file"
    ) as caught:
        resolve(path).weights_source("encoder", ["imagenet"])
    assert "no encoder.h5" in str(caught.value)
    file = write("encoder.h5", "")
    assert resolve(path).weights_source("encoder", ["imagenet"]) == str(file)


@pytest.mark.parametrize("how", ["inline", "override"])
def test_a_callers_path_is_relative_to_the_working_directory(write, how):
    path = write("sub/mine.yaml", MINIMAL)
    if how == "inline":
        preset = {"extends": "deeplab_v3_plus_resnet50_pascalvoc", "weights": {"segmentation": "../x.h5"}}
        resolved = resolve(preset)
    else:
        resolved = resolve(path, overrides={"weights.segmentation": "../x.h5"})
    assert resolved.weights_source("segmentation") == "../x.h5"
    assert resolved.weights_file("segmentation") is None


@pytest.mark.parametrize("value", OUTSIDE)
@pytest.mark.parametrize("key", ["segmentation", "encoder"])
def test_paths_cannot_leave_the_folder(write, value, key):
    path = write("mine.yaml", with_weights(f"'{value}'", key))
    with pytest.raises(
        ConfigError, match=rf"^mine\.yaml:4:\d+: `weights\.{key}` in a preset file names a file"
    ) as caught:
        resolve(path)
    assert "received:" in str(caught.value)
    assert "beside the preset file" in str(caught.value)


@pytest.mark.parametrize("value", ["file:///etc/x.h5", "file:/etc/x.h5", "http://127.0.0.1:8000/shutdown"])
def test_handles_of_one_machine_are_for_its_user(write, value):
    path = write("mine.yaml", with_weights(value))
    with pytest.raises(ConfigError, match=r"^mine\.yaml:4:\d+: .* names what other machines can reach too"):
        resolve(path)
    preset = {"extends": "deeplab_v3_plus_resnet50_pascalvoc", "weights": {"segmentation": value}}
    assert resolve(preset).weights_source("segmentation") == value, "what a caller passes is his own"


def test_a_base_is_held_to_it_as_well(write):
    write("base.yaml", with_weights("/etc/x"))
    with pytest.raises(ConfigError, match=r"^base\.yaml:4:"):
        resolve(write("mine.yaml", "extends: base\nweights: {segmentation: null}\n"))


def test_links_cannot_leave_the_root(write, tmp_path):
    write("outside/a.safetensors", "")
    path = write("root/mine.yaml", with_weights("link.safetensors"))
    (tmp_path / "root/link.safetensors").symlink_to("../outside/a.safetensors")
    with pytest.raises(ConfigError, match=r"root/mine\.yaml:4:\d+: `weights\.segmentation` must stay within"):
        resolve(path)
    path = write("root/mine.yaml", with_weights("folder/a.safetensors"))
    (tmp_path / "root/folder").symlink_to("../outside", target_is_directory=True)
    with pytest.raises(ConfigError, match="must stay within"):
        resolve(path)


def test_links_within_the_root_are_fine(write, tmp_path):
    write("root/real.safetensors", "")
    path = write("root/mine.yaml", with_weights("link.safetensors"))
    (tmp_path / "root/link.safetensors").symlink_to("real.safetensors")
    assert resolve(path).weights_source("segmentation") == str(tmp_path / "root/link.safetensors")


def test_links_in_a_circle_are_a_file_that_is_not_there(write, tmp_path):
    path = write("mine.yaml", with_weights("a.safetensors"))
    (tmp_path / "a.safetensors").symlink_to("a.safetensors")
    with pytest.raises((ConfigError, WeightsUnavailableError)):
        resolve(path).weights_source("segmentation")


def test_links_of_an_installed_root_are_followed(write, plugins, tmp_path):
    write("cache/blob", "")
    write("plugin/theirs.yaml", with_weights("weights/a.safetensors"))
    (tmp_path / "plugin/weights").mkdir()
    (tmp_path / "plugin/weights/a.safetensors").symlink_to(tmp_path / "cache/blob")
    plugins.append(Root(tmp_path / "plugin", "plugin 'x' of y", installed=True))
    assert resolve("theirs").weights_source("segmentation") == str(tmp_path / "plugin/weights/a.safetensors")


def test_printed_and_listed_it_stays_relative(write):
    resolved = resolve(write("mine.yaml", with_weights("weights/a.safetensors")))
    assert "  segmentation: weights/a.safetensors " in str(resolved)
    assert resolved.to_dict()["config"]["weights"]["segmentation"] == "weights/a.safetensors"


def test_weights_that_ship_are_there_and_small():
    """What the wheel carries: of every preset, the file that it names."""
    root = builtin_root().path
    named = set()
    for path in root.rglob("*.yaml"):
        if path.relative_to(root).parts[0] != "recipes" and not path.parent.name.startswith("_"):
            for key in ("segmentation", "encoder"):
                file = resolve(path).weights_file(key)
                named |= {file} if file is not None and (key == "segmentation" or file.suffix) else set()
    shipped = {path for path in root.rglob("*") if path.is_file() and path.suffix != ".yaml"}
    assert named == shipped
    assert all(path.stat().st_size <= 4 * 1024 * 1024 for path in shipped)
