import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from registry import scaffold
from registry.errors import ModelError, OutputPathError, RegistryWarning
from registry.scaffold import LICENSES, new_plugin

FILES = {
    ".github/workflows/tests.yml",
    ".gitignore",
    "LICENSE",
    "README.md",
    "pyproject.toml",
    "registry_wave_net/__init__.py",
    "registry_wave_net/graph.py",
    "registry_wave_net/presets/deeplab_v3_plus_wave_net.yaml",
    "registry_wave_net/variants.py",
    "tests/test_conformance.py",
    "tests/test_preset.py",
}


def written(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_new_plugin_writes_a_distribution(run, tmp_path):
    result = run("new-plugin", "wave_net", "--license", "MIT", "--author", "Ada Lovelace")
    assert result.exit_code == 0, result.stderr
    folder = tmp_path / "registry-wave-net"
    assert written(folder) == FILES
    assert [
        Path(line).relative_to("registry-wave-net").as_posix() for line in result.stdout.split()
    ] == sorted(FILES)
    assert "pip install -e '.[test]'" in result.stderr
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    assert project["name"] == "registry-wave-net"
    assert project["license"] == "MIT"
    assert project["entry-points"]["registry.encoders"] == {"wave_net": "registry_wave_net"}
    assert "Ada Lovelace" in (folder / "LICENSE").read_text()


def test_nothing_of_the_templates_is_left(run, tmp_path):
    run("new-plugin", "wave_net")
    for path in (tmp_path / "registry-wave-net").rglob("*"):
        if path.is_file():
            text = path.read_text()
            assert "${" not in text.replace("${{ matrix.python }}", "")
            assert ".template" not in path.name


def test_what_is_written_is_in_the_style_it_asks_for(tmp_path):
    new_plugin("wave_net", tmp_path)
    for command in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--no-cache", str(tmp_path / "registry-wave-net")],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout


def test_json(run, tmp_path):
    (tmp_path / "plugins").mkdir()
    answer = json.loads(run("new-plugin", "wave", "--directory", "plugins", "--json").stdout)
    assert answer["plugin"] == "wave"
    assert answer["directory"] == str(Path("plugins/registry-wave"))
    assert all(Path(tmp_path, path).is_file() for path in answer["files"])


@pytest.mark.parametrize(
    ("name", "proposal"),
    [
        ("WaveNet", "wavenet"),
        ("wave-net", "wave_net"),
        ("registry_wave", "wave"),
        ("registry", "tinynet"),
        ("2net", "net"),
        ("class", "class_net"),
        ("wave__net", "wave_net"),
        ("", "tinynet"),
        ("wave net/../..", "wave_net"),
        ("ñandú", "and"),
        ("w" * 41, "w" * 40),
    ],
)
def test_what_is_no_name_is_refused_with_a_proposal(tmp_path, name, proposal):
    with pytest.raises(ModelError, match="Python name of lower-case letters") as caught:
        new_plugin(name, tmp_path)
    if proposal == "and":  # a keyword in its turn
        proposal = "and_net"
    assert caught.value.repair == f"for instance {proposal}"
    assert list(tmp_path.iterdir()) == []
    scaffold._check_name(proposal)


def test_nothing_is_overwritten(run, tmp_path):
    present = tmp_path / "registry-wave"
    present.mkdir()
    (present / "mine").write_text("mine")
    result = run("new-plugin", "wave")
    assert result.exit_code == 1
    assert "never overwrites" in result.stderr
    assert written(present) == {"mine"}
    link = tmp_path / "registry-other"
    link.symlink_to(tmp_path / "nowhere")
    assert run("new-plugin", "other").exit_code == 1
    assert link.is_symlink()


def test_the_folder_must_exist(run):
    result = run("new-plugin", "wave", "--directory", "nowhere")
    assert result.exit_code == 1
    assert "mkdir -p 'nowhere'" in result.stderr


def test_an_unknown_license_is_refused(tmp_path):
    with pytest.raises(ModelError, match=r"did you mean 'Apache-2\.0'"):
        new_plugin("wave", tmp_path, license_id="Apache-2")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("license_id", LICENSES)
def test_every_license_has_its_text(tmp_path, license_id):
    new_plugin("wave", tmp_path, license_id=license_id)
    text = (tmp_path / "registry-wave" / "LICENSE").read_text()
    assert {"Apache-2.0": "Apache License", "MIT": "MIT License", "BSD-3-Clause": "BSD 3-Clause"}[
        license_id
    ] in text


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failure_leaves_nothing_behind(tmp_path, monkeypatch, error):
    real, written_so_far = Path.write_text, []

    def fail_at_the_fifth(self, *arguments, **options):
        written_so_far.append(self)
        if len(written_so_far) == 5:
            raise error
        return real(self, *arguments, **options)

    monkeypatch.setattr(Path, "write_text", fail_at_the_fifth)
    with pytest.raises(OutputPathError if isinstance(error, OSError) else KeyboardInterrupt):
        new_plugin("wave", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_is_taken_is_warned_of(tmp_path):
    with pytest.warns(RegistryWarning, match="offers a plugin 'resnet' already"):
        new_plugin("resnet", tmp_path)
    assert (tmp_path / "registry-resnet").is_dir()


def test_the_preset_is_valid_and_the_license_is_its_own(tmp_path):
    new_plugin("wave", tmp_path, license_id="MIT")
    preset = next((tmp_path / "registry-wave").rglob("*.yaml"))
    content = yaml.safe_load(preset.read_text())
    assert content["license"] == "MIT"
    assert content["encoder"] == {"plugin": "wave", "variant": "wave_small", "output_stride": 16}


def test_new_plugin_imports_no_tensorflow(process):
    code = (
        "import sys\n"
        "sys.argv = ['atrous', 'new-plugin', 'wave']\n"
        "from registry.cli import main\n"
        "try:\n    main()\n"
        "except SystemExit as end:\n    assert not end.code, end.code\n"
        "assert not {'tensorflow', 'tf_keras', 'keras', 'numpy'} & set(sys.modules)\n"
    )
    done = process("-c", code)
    assert done.returncode == 0, done.stderr


def test_check_plugin_tells_what_holds(run):
    result = run("check-plugin", "resnet", "--variant", "resnet_18", "--check", "spec", "--check", "flat")
    assert result.exit_code == 0, result.stderr
    rows = [line.split()[:3] for line in result.stdout.splitlines()]
    assert rows == [
        ["variant", "check", "status"],
        ["resnet_18", "spec", "passed"],
        ["resnet_18", "flat", "passed"],
    ]


def test_check_plugin_ends_with_1_where_a_promise_is_broken(run, monkeypatch):
    from registry.testing import running
    from registry.testing.outcomes import Finding

    def broken(*arguments):
        yield Finding("a promise", "something else", "repair it")

    monkeypatch.setattr(running.CHECKS["flat"].__class__, "function", lambda self: broken)
    result = run("check-plugin", "resnet", "--variant", "resnet_18", "--check", "flat", "--json")
    assert result.exit_code == 1
    (outcome,) = json.loads(result.stdout)["outcomes"]
    assert outcome["status"] == "failed"
    assert outcome["findings"] == [{"promise": "a promise", "seen": "something else", "repair": "repair it"}]
    shown = run("check-plugin", "resnet", "--variant", "resnet_18", "--check", "flat")
    assert "a promise\n  seen:   something else\n  repair: repair it" in shown.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("resnett",), "did you mean 'resnet'"),
        (("resnet", "--variant", "resnet_19"), "did you mean"),
        (("resnet", "--check", "int9"), "did you mean 'int8'"),
    ],
)
def test_check_plugin_suggests_names(run, arguments, message):
    result = run("check-plugin", *arguments)
    assert result.exit_code == 1
    assert message in result.stderr
