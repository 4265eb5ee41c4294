"""The tutorial runs as it stands: every block, in order, in one empty folder, and prints what it shows."""

import contextlib
import io
import re
import shlex
import tomllib
from pathlib import Path

import pytest
from fenced import fenced, printed_as
from typer.testing import CliRunner

from registry.cli.app import app

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")


def run_commands(text):
    """What the commands of a block print; of one that fails, what it says is wrong."""
    printed = []
    for command in text.splitlines():
        program, *arguments = shlex.split(command)
        assert program == "atrous"
        result = CliRunner().invoke(app, arguments, prog_name="atrous")
        assert result.exit_code in (0, 1), result.output
        printed.append(result.stdout if result.exit_code == 0 else result.stderr)
    return "".join(printed)


def run_program(text, namespace):
    """What a block of Python prints, as a continuation of those before."""
    with contextlib.redirect_stdout(io.StringIO()) as stream:
        exec(text, namespace)
    return stream.getvalue()


@pytest.mark.slow
def test_every_block_runs_and_prints_what_the_page_shows(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace, printed = {}, ""
    for block in fenced(PAGE):
        if block.language == "text":
            assert printed_as(block.text).fullmatch(printed), f"shown:\n{block.text}\nprinted:\n{printed}"
            printed = ""
            continue
        assert printed == "", f"the page does not show what was printed:\n{printed}"
        if block.language == "yaml":
            Path(block.named).write_text(block.text, encoding="utf-8")
        elif block.language == "sh":
            printed = run_commands(block.text)
        elif block.language == "python":
            printed = run_program(block.text, namespace)
    assert printed == ""


def test_every_block_is_of_a_kind_that_is_run():
    assert {block.language for block in fenced(PAGE)} == {"console", "sh", "python", "yaml", "text"}
    assert not re.findall(r"^\n    \S", PAGE, re.MULTILINE), "fence it"


def test_the_installation_is_that_of_the_readme():
    """CI runs it: from the wheel, in an environment of its own."""
    (block,) = [block.text for block in fenced(PAGE) if block.language == "console"]
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(re.findall(r"atrous\[(\w+)\]", block)) <= set(extras)
    assert "git clone <url> atrous\n" in block


def test_an_ellipsis_stands_for_a_part_of_a_line_or_for_lines():
    shown = printed_as("a …% b\n…\nend\n")
    assert shown.fullmatch("a 9.1% b\nend\n")
    assert shown.fullmatch("a 9.1% b\nx\ny\nend\n")
    assert not shown.fullmatch("a 9.1% b\nx\n")
    assert not shown.fullmatch("a 9\n% b\nend\n")
    assert printed_as("pixels in 0…255\n").fullmatch("pixels in 0…255\n")
