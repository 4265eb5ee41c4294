"""The commands that the README promises are the ones that CI runs, and the documentation's links lead somewhere."""

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEST_COMMAND = "python3 -m venv .venv && .venv/bin/pip install -e '.[dev]' && .venv/bin/python -m pytest -n 2 --dist loadfile"
DEMO_COMMAND = "python3 -m venv .venv && .venv/bin/pip install -e '.[demo]' && .venv/bin/atrous demo"


def read(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def test_ci_runs_the_test_command_of_the_readme():
    assert f"\n    {TEST_COMMAND}\n" in read("README.md")
    assert f"\n    {TEST_COMMAND}\n" in read(".ci/run")


def test_the_demo_command_of_the_readme_starts_from_a_clone():
    assert f"\n    git clone <url> atrous && cd atrous && {DEMO_COMMAND}\n" in read("README.md")
    assert "step_demo" in read(".ci/run")


def test_the_commands_name_extras_that_exist():
    extras = tomllib.loads(read("pyproject.toml"))["project"]["optional-dependencies"]
    named = re.findall(r"\.\[([a-z]+)\]|atrous\[([a-z]+)\]", read("README.md"))
    assert {one or other for one, other in named} <= set(extras)


def test_ci_refuses_a_step_that_it_does_not_have():
    finished = subprocess.run([ROOT / ".ci/run", "nonsense"], capture_output=True, text=True, check=False)
    assert finished.returncode == 2
    assert "unknown step 'nonsense'" in finished.stderr


def test_files_of_tests_have_names_of_their_own():
    """pytest imports them by name; one of two is not run, and that is said at the end of a long run."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert sorted(names) == sorted(set(names))


def test_ci_can_be_executed():
    assert os.access(ROOT / ".ci/run", os.X_OK)


def test_each_step_of_ci_that_the_makefile_names_exists():
    steps = set(re.findall(r"^step_(\w+)\(\)", read(".ci/run"), re.MULTILINE))
    named = set(re.findall(r"^\t\.ci/run (\w+)$", read("Makefile"), re.MULTILINE))
    assert named
    assert named <= steps


@pytest.mark.parametrize(
    "page", [path.relative_to(ROOT).as_posix() for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"))]
)
def test_relative_links_lead_somewhere(page):
    folder = (ROOT / page).parent
    targets = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", read(page))
    absent = [target for target in targets if "://" not in target and not (folder / target).exists()]
    assert absent == []
