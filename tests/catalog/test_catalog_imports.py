import subprocess
import sys

SCRIPT = """
import sys
from registry import catalog
catalog.resolve("deeplab_v3_plus_resnet50_pascalvoc")
plugins = {name.split(".")[0] for name in sys.modules if name.startswith("registry_")}
assert plugins == {"registry_deeplab"}, f"a built-in name imported {plugins}"
catalog.preset_schema()
catalog.list_presets()
heavy = {"tensorflow", "tf_keras", "keras", "numpy", "registry.models"} & set(sys.modules)
assert not heavy, heavy
"""


def test_the_catalog_imports_no_tensorflow_and_of_plugins_only_the_architecture():
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, check=False, text=True, timeout=120
    )
    assert result.returncode == 0, result.stderr


def test_the_schema_command_runs_without_a_warning():
    command = [sys.executable, "-W", "error", "-m", "registry.catalog.schema", "--check"]
    result = subprocess.run(command, capture_output=True, check=False, text=True, timeout=120)
    assert (result.returncode, result.stderr) == (0, "")


def test_what_is_public_exists():
    from registry import catalog

    assert sorted(catalog.__all__) == catalog.__all__
    assert all(hasattr(catalog, name) for name in catalog.__all__)
