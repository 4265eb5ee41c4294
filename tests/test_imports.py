"""What may not be imported by what is meant to be light. Each case is a fresh interpreter."""

import json
import subprocess
import sys

import pytest

HEAVY = (
    "tensorflow",
    "keras",
    "tf_keras",
    "tensorflow_model_optimization",
    "h5py",
    "kagglehub",
    "huggingface_hub",
)
PRESET = "deeplab_v3_plus_resnet50_pascalvoc"


def imported_by(program, **options):
    """Top-level packages that a program has imported when it ends."""
    finished = subprocess.run(
        [sys.executable, "-c", f"{program}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"],
        capture_output=True,
        text=True,
        check=False,
        **options,
    )
    assert finished.returncode == 0, finished.stderr
    return {name.split(".")[0] for name in json.loads(finished.stdout.splitlines()[-1])}


@pytest.mark.parametrize(
    "program",
    [
        "import registry",
        "import registry; registry.list_presets()",
        "import registry; registry.list_presets(); registry.list_plugins()",
        "import registry; registry.list_encoders()",
        f"import registry; str(registry.describe({PRESET!r}))",
        "import registry; registry.preset_schema()",
        "import registry.cli.app",
        "import registry.pyramid, registry.hookspecs, registry.errors, registry.config",
    ],
)
def test_names_and_descriptions_take_no_framework(program):
    modules = imported_by(program)
    assert modules.isdisjoint({*HEAVY, "numpy", "PIL", "ai_edge_litert"})


def test_importing_the_package_imports_no_plugin():
    assert "registry_resnet" not in imported_by("import registry; registry.list_plugins()")


def test_the_runtime_takes_no_tensorflow():
    modules = imported_by("import registry; registry.Segmenter")
    assert modules.isdisjoint(HEAVY)
    assert "ai_edge_litert" in modules


def test_handles_and_formats_take_no_tensorflow_and_no_hub():
    modules = imported_by(
        "import registry.weights.handles, registry.weights.keras_hub, registry.weights.assignment"
    )
    assert modules.isdisjoint(set(HEAVY) - {"h5py"})


@pytest.mark.parametrize(
    "command",
    [
        *(["list"], ["plugins"], ["encoders"], ["show", PRESET], ["validate"], ["schema"]),
        *(
            ["predict", "--help"],
            ["evaluate", "--help"],
            ["data", "check", "--help"],
            ["train", "--help"],
            ["serve", "--help"],
        ),
        ["doctor", "--help"],
    ],
)
def test_commands_that_only_look_take_no_tensorflow(command):
    program = (
        "import sys\n"
        f"sys.argv = ['atrous', *{command!r}]\n"
        "from registry.cli import main\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code"
    )
    assert imported_by(program).isdisjoint({"tensorflow", "tf_keras", "keras"})


@pytest.mark.parametrize("absent", ["tensorflow", "tf_keras"])
def test_without_tensorflow_listing_works_and_building_says_what_to_install(absent):
    code = (
        "import sys\n"
        f"sys.modules[{absent!r}] = None\n"
        "import registry\n"
        "name = registry.list_presets()[0]\n"
        "registry.describe(name)\n"
        "try:\n"
        "    registry.build(name, weights=None)\n"
        "except registry.RegistryError as error:\n"
        "    print(type(error).__name__, error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "EnvironmentUnsupportedError" in done.stdout
    assert f"pip install '{absent.replace('_', '-')}>=2.21,<2.22'" in done.stdout
