"""The one line of an author's tests: what it collects, what it shows, what it imports."""

import re
import subprocess
import sys

import pytest

from registry.errors import EnvironmentUnsupportedError, UnknownPluginError
from registry.testing import conformance

ONE_LINE = """
from registry.testing import conformance

TestFlawed = conformance(
    "flawed", ["nested", "nested_and_known", "without_example"], checks=["spec", "flat", "sizes"], rest=False
)
"""


def collected(made):
    (mark,) = made.test_promise.pytestmark
    return [case.id for case in mark.args[1]]


def test_the_outcomes_of_one_line(flawed_environment, tmp_path):
    (tmp_path / "test_flawed.py").write_text(ONE_LINE)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-ra", "-p", "no:cacheprovider", "-k", "not sizes or without", "."],
        cwd=tmp_path,
        env=flawed_environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    shown = re.sub(r"\s+", " ", done.stdout)
    assert "FAILED test_flawed.py::TestFlawed::test_promise[nested-flat]" in shown
    assert "nested: inner repair: apply the inner model's layers to the tensor one by one" in shown
    assert (
        "XFAIL test_flawed.py::TestFlawed::test_promise[nested_and_known-flat] "
        "- a model inside, as its authors publish it" in shown
    )
    assert "its options have no defaults, and the options model gives no example" in shown
    assert "FAILED test_flawed.py::TestFlawed::test_promise[without_example-spec]" in shown
    assert "2 failed, 2 passed, 2 skipped" in shown or "skipped" in shown
    assert "pytest_class.py" not in shown.split("short test summary")[0], (
        "findings come without our traceback"
    )


def test_ids_name_variant_and_check(flawed):
    ids = collected(conformance(flawed, ["sound"], checks=["atrous", "int8"], rest=False))
    assert ids == ["sound-atrous", "sound-int8"]


def test_the_rest_runs_the_light_checks(flawed):
    ids = collected(conformance(flawed, ["sound"], checks=["imports", "spec", "atrous"]))
    assert {"sound-imports", "sound-spec", "sound-atrous", "nested-spec"} <= set(ids)
    assert {"nested-imports", "nested-atrous"}.isdisjoint(ids)


def test_a_plugin_that_is_not_installed_is_named(flawed):
    with pytest.raises(UnknownPluginError, match="flawed"):
        conformance("flaved")


def test_without_pytest_it_says_what_to_install(flawed, monkeypatch):
    monkeypatch.setitem(sys.modules, "pytest", None)
    with pytest.raises(EnvironmentUnsupportedError, match=r"pip install 'atrous\[testing\]'"):
        conformance(flawed)


def test_collecting_imports_no_tensorflow_and_the_kit_no_pytest(flawed_environment):
    program = (
        "import sys\n"
        "from registry.testing import CHECKS, conformance, select_variants\n"
        "assert 'pytest' not in sys.modules\n"
        "conformance('flawed')\n"
        "assert not {'tensorflow', 'tf_keras', 'keras', 'numpy'} & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=flawed_environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
