"""Signatures and docstrings, read from the source text and written as Markdown, for docs/generate.py."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path

from blocks import fenced

TOP = Path(__file__).resolve().parents[1]
WIDTH = 100
"""Characters of the longest line of a signature, or of a command's help."""


def parse(module: str) -> ast.Module:
    """The source of a module of `registry`."""
    base = TOP.joinpath(*module.split("."))
    path = base / "__init__.py" if base.is_dir() else base.with_suffix(".py")
    return ast.parse(path.read_text(encoding="utf-8"))


def definition(module: str, name: str) -> tuple[str, ast.stmt]:
    """The module and statement that define a name, imports followed."""
    body = parse(module).body
    body += [inner for node in body if isinstance(node, ast.If) for inner in node.body]  # of TYPE_CHECKING
    for node in reversed(body):  # of an overloaded function, the implementation comes last
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            return module, node
        if isinstance(node, ast.Assign) and any(
            isinstance(target, ast.Name) and target.id == name for target in node.targets
        ):
            return module, node
        if isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return definition(node.module, alias.name)
    raise LookupError(f"{module} does not define {name}")


def class_blocks(node: ast.ClassDef) -> Iterator[str]:
    """A class as Markdown: how it is made, what it is, its public methods."""
    bases = ", ".join(ast.unparse(base) for base in node.bases)
    methods = [member for member in node.body if isinstance(member, ast.FunctionDef)]
    constructor = next((method for method in methods if method.name == "__init__"), None)
    header = f"class {node.name}({bases})" if bases else f"class {node.name}"
    yield fenced(header if constructor is None else f"{header}\n\n{signature(constructor, name=node.name)}")
    yield docstring(ast.get_docstring(node))
    for method in methods:
        if method.name.startswith("_") or any(
            isinstance(decorator, ast.Attribute) and decorator.attr == "setter"
            for decorator in method.decorator_list
        ):
            continue
        kinds = {decorator.id for decorator in method.decorator_list if isinstance(decorator, ast.Name)}
        yield f"### {node.name}.{method.name}"
        if "property" in kinds:
            yield fenced(
                f"{method.name}: {ast.unparse(method.returns) if method.returns else 'Any'}  # property"
            )
        else:
            yield fenced(signature(method, prefix="@classmethod\n" if "classmethod" in kinds else ""))
        yield docstring(ast.get_docstring(method))


def signature(node: ast.FunctionDef, *, name: str = "", prefix: str = "") -> str:
    """`name(arguments) -> result` on one line, or one argument a line where that is too long."""
    arguments = node.args
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults: list[ast.expr | None] = [None] * (len(positional) - len(arguments.defaults)) + list(
        arguments.defaults
    )
    shown = [
        _argument(argument, default)
        for argument, default in zip(positional, defaults, strict=True)
        if argument.arg not in ("self", "cls")
    ]
    if arguments.vararg:
        shown.append(f"*{_argument(arguments.vararg)}")
    elif arguments.kwonlyargs:
        shown.append("*")
    shown += [
        _argument(argument, default)
        for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    ]
    if arguments.kwarg:
        shown.append(f"**{_argument(arguments.kwarg)}")
    result = f" -> {ast.unparse(node.returns)}" if node.returns and not name else ""
    line = f"{name or node.name}({', '.join(shown)}){result}"
    if len(line) > WIDTH:
        line = f"{name or node.name}(\n" + "".join(f"    {part},\n" for part in shown) + f"){result}"
    return prefix + line


def _argument(argument: ast.arg, default: ast.expr | None = None) -> str:
    text = argument.arg
    if argument.annotation is not None:
        text += f": {ast.unparse(argument.annotation)}"
    if default is not None:
        text += f" = {ast.unparse(default)}"
    return text


def docstring(text: str | None) -> str:
    """A Google-style docstring as Markdown."""
    lines = inspect.cleandoc(text or "").splitlines()
    blocks: list[str] = []
    while lines:
        line = lines.pop(0)
        if re.fullmatch(r"Args|Returns|Raises|Yields", line.rstrip(":")) and line.endswith(":"):
            body = []
            while lines and (not lines[0].strip() or lines[0].startswith(" ")):
                body.append(lines.pop(0))
            title = {"Args": "Arguments"}.get(line.rstrip(":"), line.rstrip(":"))
            blocks.append(f"**{title}**\n\n{_entries(body, named=title in ('Arguments', 'Raises'))}\n")
        else:
            blocks.append(line)
    return "\n".join(_fence_indented(blocks))


def _entries(body: Iterable[str], *, named: bool) -> str:
    lines = [line for line in textwrap.dedent("\n".join(body)).splitlines() if line.strip()]
    if not named:
        return "\n".join(line.strip() for line in lines)
    entries: list[str] = []
    for line in lines:
        if line.startswith(" ") and entries:
            entries[-1] += f"\n  {line.strip()}"
            continue
        name, colon, meaning = line.partition(": ")
        entries.append(f"- `{name}`: {meaning}" if colon else f"- {line}")
    return "\n".join(entries)


def _fence_indented(lines: Iterable[str]) -> Iterator[str]:
    """Indented blocks of code, fenced; blank lines within one belong to it."""
    inside, blank = False, 0
    for line in lines:
        if not line:
            blank += 1
            continue
        indented = line.startswith("    ")
        if inside and not indented:
            yield "```"
        yield from [""] * blank
        if indented and not inside:
            yield "```python"
        inside, blank = indented, 0
        yield line.removeprefix("    ")
    if inside:
        yield "```"
