import os
from pathlib import Path

import pytest
from preset_samples import MINIMAL

from registry.catalog import list_presets, resolve, roots
from registry.catalog.roots import Root, builtin_root, checkout
from registry.errors import CatalogError, DuplicatePresetError, RegistryWarning, UnknownPresetError

BUILT_IN = "deeplab_v3_plus_resnet50_pascalvoc"


@pytest.fixture
def plugin_root(tmp_path, plugins):
    folder = tmp_path / "plugin"
    folder.mkdir()
    plugins.append(Root(folder, "plugin 'fancy' of fancy-dist", installed=True))
    return folder


def test_names_are_sorted_and_parts_are_none():
    names = list_presets()
    assert names == sorted(names)
    assert BUILT_IN in names
    assert not any(name.startswith("_") for name in names)


def test_a_glob_filters():
    assert set(list_presets("*_os8_*")) == {name for name in list_presets() if "_os8_" in name}
    assert list_presets("nothing*") == []


def test_listing_reads_no_file(environment_root, monkeypatch):
    (environment_root / "mine.yaml").write_text("[broken")
    monkeypatch.setattr(Path, "open", lambda *_, **__: pytest.fail("a file was opened"))
    assert "mine" in list_presets()


def test_only_names_of_presets_are_listed(environment_root):
    shipped = set(list_presets())
    for name in ("_part.yaml", "Upper.yaml", "with space.yaml", "other.yml", "good-1.0.yaml", "note.txt"):
        (environment_root / name).write_text(MINIMAL)
    (environment_root / "folder.yaml").mkdir()
    assert set(list_presets()) - shipped == {"good-1.0"}


def test_the_environment_adds_folders(tmp_path, monkeypatch):
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        folder.mkdir()
        (folder / f"of_{folder.name}.yaml").write_text(MINIMAL)
    monkeypatch.setenv(roots.ENVIRONMENT_VARIABLE, os.pathsep.join(["", *map(str, folders), str(folders[0])]))
    assert resolve("of_a").files == (folders[0] / "of_a.yaml",)
    assert {"of_a", "of_b"} <= set(list_presets())


def test_a_folder_in_the_environment_must_exist(monkeypatch, tmp_path):
    monkeypatch.setenv(roots.ENVIRONMENT_VARIABLE, str(tmp_path / "absent"))
    for call in (list_presets, lambda: resolve(BUILT_IN)):
        with pytest.raises(CatalogError, match="ATROUS_PRESET_PATH must name folders that exist") as caught:
            call()
        assert str(tmp_path / "absent") in str(caught.value)


def test_two_files_of_one_name_are_an_error_naming_both(environment_root):
    (environment_root / f"{BUILT_IN}.yaml").write_text(MINIMAL)
    with pytest.raises(DuplicatePresetError) as caught:
        resolve(BUILT_IN)
    message = str(caught.value)
    assert f"{BUILT_IN}.yaml (built-in)" in message
    assert f"{environment_root / BUILT_IN}.yaml (ATROUS_PRESET_PATH)" in message


def test_two_plugins_of_one_preset_are_an_error_naming_both(tmp_path, plugins):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "clash.yaml").write_text(MINIMAL)
        plugins.append(Root(tmp_path / name, f"plugin {name!r} of dist-{name}", installed=True))
    with pytest.raises(DuplicatePresetError) as caught:
        resolve("clash")
    assert f"{tmp_path}/one/clash.yaml (plugin 'one' of dist-one)" in str(caught.value)
    assert f"{tmp_path}/two/clash.yaml (plugin 'two' of dist-two)" in str(caught.value)


def test_plugins_are_asked_only_for_names_that_others_do_not_hold(plugins, plugin_root):
    (plugin_root / "theirs.yaml").write_text(MINIMAL)
    resolve(BUILT_IN)
    assert plugins.asked == 0
    assert resolve("theirs").config.num_classes == 2
    assert plugins.asked == 1


def test_a_plugin_cannot_hide_a_built_in_preset(plugin_root):
    (plugin_root / f"{BUILT_IN}.yaml").write_text(MINIMAL)
    with pytest.warns(RegistryWarning) as caught:
        names = list_presets()
    assert names.count(BUILT_IN) == 1
    message = str(caught[0].message)
    assert "(built-in)" in message
    assert f"{plugin_root / BUILT_IN}.yaml (plugin 'fancy' of fancy-dist)" in message
    assert resolve(BUILT_IN).config.num_classes == 21


def test_a_folder_that_two_name_is_one_root(environment_root, plugins):
    (environment_root / "mine.yaml").write_text(MINIMAL)
    plugins.append(Root(environment_root, "plugin 'x' of y", installed=True))
    assert list_presets("mine") == ["mine"]
    assert resolve("mine").config.num_classes == 2


def test_the_records_of_discovery_become_roots(monkeypatch, tmp_path, real_plugin_roots):
    from registry import discovery

    record = discovery.PresetRoot("fancy", "fancy-dist", tmp_path)
    monkeypatch.setattr(discovery, "preset_roots", lambda: [record])
    assert real_plugin_roots() == [Root(tmp_path, "plugin 'fancy' of fancy-dist", installed=True)]


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [
        ("deeplab_v3_plus_resnet50_pascal", "did you mean 'deeplab_v3_plus_resnet50_pascalvoc'"),
        ("DeepLab_V3_Plus_ResNet50_PascalVOC", "did you mean 'deeplab_v3_plus_resnet50_pascalvoc'"),
        ("zzz", "choose one of: "),
        ("", "choose one of: "),
        ("_base", "choose one of: "),
        ("a b\0", "choose one of: "),
    ],
)
def test_an_unknown_name_suggests_its_neighbours(name, suggestion):
    with pytest.raises(UnknownPresetError) as caught:
        resolve(name)
    assert suggestion in str(caught.value)
    assert isinstance(caught.value, LookupError)


def test_a_string_with_suffix_or_separator_is_a_file(write):
    write("sub/mine.yaml", MINIMAL)
    write("mine.yml", MINIMAL)
    for preset in ("sub/mine.yaml", "./sub/mine.yaml", "mine.yml", Path("sub/mine.yaml")):
        assert resolve(preset).name == "mine"
    with pytest.raises(CatalogError, match="must exist"):
        resolve("absent.yaml")
    with pytest.raises(CatalogError, match="is a folder"):
        resolve(Path("sub"))
    with pytest.raises(CatalogError, match="must exist"):
        resolve("~nobody-of-this-name/mine.yaml")


def test_a_file_in_a_root_may_use_the_parts_of_the_root(environment_root):
    (environment_root / "_base").mkdir()
    (environment_root / "_base" / "all.yaml").write_text(MINIMAL)
    (environment_root / "_base" / "more.yaml").write_text("extends: _base/all\n")
    assert resolve(environment_root / "_base" / "more.yaml").config.num_classes == 2


@pytest.mark.parametrize("preset", [None, 3, b"name", object(), ["a"]])
def test_anything_else_is_no_preset(preset):
    with pytest.raises(CatalogError, match="a name, a path or a mapping"):
        resolve(preset)


def test_a_checkout_reads_its_own_presets():
    top = Path(__file__).parents[2]
    if not (top / "registry").is_dir():
        pytest.skip("runs against an installed package")
    assert checkout() == top
    assert builtin_root().path == top / "presets"


def test_an_installed_package_reads_the_presets_inside_it(monkeypatch):
    monkeypatch.setattr(roots, "checkout", lambda: None)
    assert builtin_root().path == Path(roots.__file__).parents[1] / "presets"


def test_a_folder_of_presets_beside_another_project_is_not_ours(monkeypatch, tmp_path):
    (tmp_path / "presets").mkdir()
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'other'\n")
    monkeypatch.setattr(roots, "__file__", str(tmp_path / "registry" / "catalog" / "roots.py"))
    assert checkout.__wrapped__() is None
    (tmp_path / "pyproject.toml").write_text("[project]\nname = 'atrous'\n")
    assert checkout.__wrapped__() == tmp_path
