"""What `import registry` offers: every name resolves, is documented, and survives the import of every submodule."""

import ast
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import registry
from registry import errors

PUBLIC = sorted(set(registry.__all__) - {"__version__"})


def run(program):
    finished = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def test_all_lists_the_lazy_names_and_the_version():
    assert sorted(registry.__all__) == sorted([*registry._HOMES, "__version__"])
    assert len(set(registry.__all__)) == len(registry.__all__)


def test_type_checkers_see_the_same_names():
    tree = ast.parse(Path(registry.__file__).read_text(encoding="utf-8"))
    (block,) = [
        node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    ]
    seen = {alias.asname or alias.name: node.module for node in block.body for alias in node.names}
    assert seen == registry._HOMES


def test_version_is_one_that_pip_understands():
    assert re.fullmatch(r"\d+\.\d+\.\d+((a|b|rc|\.dev)\d+)?", registry.__version__)


def test_dir_lists_every_name():
    assert set(registry.__all__) <= set(dir(registry))


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'biuld'"):
        registry.biuld  # noqa: B018


@pytest.mark.parametrize("name", PUBLIC)
def test_every_name_resolves_and_is_documented(name):
    value = getattr(registry, name)
    if name == "hookimpl":  # pluggy's marker: an instance, explained where it is made
        return
    assert inspect.isclass(value) or callable(value)
    assert inspect.getdoc(value)


@pytest.mark.parametrize("name", PUBLIC)
def test_every_name_is_in_the_reference(name):
    page = Path(__file__).parents[1] / "docs" / "reference" / "python.md"
    assert f"\n## registry.{name}\n" in page.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "module", sorted({*registry._HOMES.values(), "registry.errors", "registry.hookspecs", "registry.pyramid"})
)
def test_what_a_module_exports_exists(module):
    home = importlib.import_module(module)
    assert [name for name in home.__all__ if not hasattr(home, name)] == []


def test_every_error_is_drawn_in_the_tree_at_its_place():
    depths = {}
    for line in errors.__doc__.splitlines():
        match = re.match(r"([ │├└─]*)(\w+(?:Error|Warning))\b", line)
        if match and line.startswith("    "):
            depths[match[2]] = (len(match[1]) - 4) // 4
    classes = {
        name: value
        for name, value in vars(errors).items()
        if inspect.isclass(value) and name in errors.__all__
    }
    assert set(depths) == set(classes)
    for name, value in classes.items():
        ancestors = [base for base in value.__mro__[1:] if issubclass(base, errors.RegistryError)]
        assert depths[name] == len(ancestors), name


def test_no_submodule_replaces_a_public_name():
    """A submodule is bound to its package on import, over whatever had that name."""
    answer = run(
        """
        import importlib, inspect, pkgutil
        import registry

        for module in pkgutil.walk_packages(registry.__path__, "registry."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
        replaced = [name for name in registry.__all__ if inspect.ismodule(getattr(registry, name))]
        print(replaced, all(callable(getattr(registry, name)) for name in registry._HOMES))
        """
    )
    assert answer.splitlines()[-1] == "[] True"


def test_no_submodule_bears_a_public_name():
    submodules = {module.name for module in pkgutil.iter_modules(registry.__path__)}
    assert submodules.isdisjoint(registry.__all__)
