"""Run by an environment that holds the installed wheel and nothing of the repository: `check_installed.py <repository>`.

Presets and encoders must be found, a preset must build, and no module or preset may come from the repository.
"""

import sys
from pathlib import Path

import registry


def main() -> None:
    repository = Path(sys.argv[1]).resolve()
    package = Path(registry.__file__).resolve().parent
    assert not Path.cwd().resolve().is_relative_to(repository), "leave the repository before checking"

    presets = registry.list_presets()
    encoders, architectures = registry.list_encoders(), registry.list_architectures()
    statuses = {plugin.name: plugin.status for plugin in registry.list_plugins()}
    assert "tensorflow" not in sys.modules, "listing must not import TensorFlow"
    in_repository = {path.stem for path in (repository / "presets").glob("*.yaml")}
    assert set(presets) == in_repository, f"presets found {presets}, shipped {sorted(in_repository)}"
    assert encoders, "no encoder found"
    assert architectures, "no architecture found"
    assert set(statuses.values()) == {"loaded"}, f"plugins: {statuses}"

    name = "deeplab_v3_plus_resnet50_pascalvoc"
    for file in registry.describe(name).files:
        assert file.resolve().is_relative_to(package / "presets"), (
            f"{file} is no file of the installed package"
        )

    carried = [file for name in presets if (file := registry.describe(name).weights_file("segmentation"))]
    for file in carried:
        assert file.is_file(), f"{file} is not in the package"
        assert file.resolve().is_relative_to(package / "presets"), f"{file} is no file of the package"

    model = registry.build(name, weights=None)
    assert model.count_params() == 39_196_032, model.count_params()

    strays = [
        module.__file__
        for module in list(sys.modules.values())
        if getattr(module, "__file__", None) and Path(module.__file__).resolve().is_relative_to(repository)
    ]
    assert not strays, f"imported from the repository: {strays}"
    print(
        f"{package}: {len(presets)} presets, {len(carried)} with their weights, {len(encoders)} encoders, {name} builds"
    )


if __name__ == "__main__":
    main()
