"""One YAML file → located tree, under limits.

The tree is built from parser events, with a stack instead of recursion: nesting, aliases and size are checked
while reading, so a bomb is refused before it is expanded and a file of a million brackets cannot exhaust the
C stack of libyaml's composer.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn

import yaml

from registry.catalog.origin import Origin, shown_path
from registry.catalog.problems import Problem, shown
from registry.catalog.scalars import BadScalarError, plain_scalar, tagged_scalar
from registry.catalog.tree import MAX_DEPTH, MAX_NODES, Node, Scalar
from registry.errors import CatalogError, ConfigError

__all__ = ["MAX_BYTES", "parse", "read"]

MAX_BYTES = 1 << 20

# libyaml is some ten times faster; both give the same events with the same marks.
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NON_PRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_FIRST_KEYS = {"preset": "encoder", "recipe": "preset", "lock": "version"}
_CONTAINER_TAGS = {
    yaml.MappingStartEvent: "tag:yaml.org,2002:map",
    yaml.SequenceStartEvent: "tag:yaml.org,2002:seq",
}


def read(path: Path, label: str | None = None, kind: str = "preset") -> Node:
    """Read a file of the catalog.

    Args:
        path: the file.
        label: how listings show it; by default its name.
        kind: what messages call it, `preset` or `recipe`.

    Returns:
        The top-level mapping.

    Raises:
        CatalogError: the file does not exist or cannot be read.
        ConfigError: the content is not a YAML mapping within the limits.
    """
    data = _read_bytes(path, kind)
    start = Origin("file", path, 1, 1, label=label or path.name)
    if len(data) > MAX_BYTES:
        rule = f"a {kind} file has at most {MAX_BYTES:,} bytes"
        raise Problem(
            start, rule, "a larger file", f"is this a {kind}? keep data in files of their own"
        ).error()
    return parse(_decode(data, start, kind), start, kind)


def parse(text: str, start: Origin, kind: str = "preset") -> Node:
    """Turn YAML text into a located tree.

    Args:
        text: one YAML document.
        start: origin of the first character; file and label carry over to every node.
        kind: what messages call the document.

    Raises:
        ConfigError: syntax, tags, keys, aliases or limits; with line and column.
    """
    _refuse_control_characters(text, start)
    return _Builder(start, text, kind).build()


def _read_bytes(path: Path, kind: str) -> bytes:
    try:
        status = path.stat()
        if stat.S_ISREG(status.st_mode):
            with path.open("rb") as stream:
                return stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise CatalogError(
            f"a {kind} file must exist",
            received=shown_path(path),
            repair="check the path; names are case-sensitive",
        ) from None
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the path
        raise CatalogError(
            f"a {kind} file must be readable",
            received=f"{shown_path(path)} ({error})",
            repair="check its permissions",
        ) from error
    is_folder = stat.S_ISDIR(status.st_mode)
    raise CatalogError(
        f"a {kind} must be a regular file",
        received=f"{shown_path(path)}, which is {'a folder' if is_folder else 'not a regular file'}",
        repair="name a .yaml file" + (" in that folder" if is_folder else ""),
    )


def _decode(data: bytes, start: Origin, kind: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        line_start = before.rfind(b"\n") + 1
        column = len(before[line_start:].decode("utf-8", "replace")) + 1
        origin = replace(start, line=before.count(b"\n") + 1, column=column)
        received = f"byte 0x{data[error.start]:02x}"
        raise Problem(
            origin, f"a {kind} file must be UTF-8", received, "save the file as UTF-8"
        ).error() from None


def _refuse_control_characters(text: str, start: Origin) -> None:
    match = _NON_PRINTABLE.search(text)
    if match is not None:
        before = text[: match.start()]
        origin = replace(start, line=before.count("\n") + 1, column=match.start() - before.rfind("\n"))
        received = f"character U+{ord(match[0]):04X}"
        raise Problem(origin, "YAML allows no control characters", received, "delete the character").error()


@dataclass(slots=True)
class _Open:
    """A mapping or sequence whose end has not been read yet."""

    origin: Origin
    anchor: str | None
    flow: bool
    container: dict[str, Node] | list[Node]
    key: Node | None = None
    size: int = 1
    height: int = 1

    def close(self) -> Node:
        value = self.container
        return Node(value if isinstance(value, dict) else tuple(value), self.origin)


@dataclass(frozen=True, slots=True)
class _Anchored:
    node: Node
    size: int
    height: int


@dataclass(slots=True)
class _Builder:
    start: Origin
    text: str
    kind: str
    stack: list[_Open] = field(default_factory=list)
    anchors: dict[str, _Anchored] = field(default_factory=dict)
    nodes: int = 0
    root: Node | None = None

    def build(self) -> Node:
        try:
            for event in self._events():
                self._on(event)
        except yaml.MarkedYAMLError as error:
            raise self._syntax_error(error) from None
        except yaml.YAMLError as error:
            self._fail(self.start, f"YAML syntax: {error}", "text that is not YAML", "correct the file")
        if self.root is None:
            repair = f"write `{_FIRST_KEYS[self.kind]}:` and so on"
            self._fail(self.start, f"a {self.kind} file must hold a mapping", "an empty file", repair)
        if not isinstance(self.root.value, dict):
            self._fail(
                self.root.origin,
                f"the top level of a {self.kind} must be a mapping",
                shown(self.root.plain()),
                "write `key: value` lines",
            )
        return self.root

    def _events(self) -> Iterator[Any]:
        loader = _Loader(self.text)
        try:
            while loader.check_event():
                yield loader.get_event()
        finally:
            loader.dispose()

    def _on(self, event: Any) -> None:
        match event:
            case yaml.DocumentStartEvent() if self.root is not None:
                origin = self._origin(event)
                self._fail(
                    origin,
                    f"a {self.kind} file holds one document",
                    "a second one",
                    "remove `---` and what follows",
                )
            case yaml.ScalarEvent():
                self._add(Node(self._scalar(event), self._origin(event)), event.anchor, size=1, height=1)
            case yaml.AliasEvent():
                self._alias(event)
            case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                self._enter(event)
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                closed = self.stack.pop()
                self._add(closed.close(), closed.anchor, size=closed.size, height=closed.height, counted=True)

    def _enter(self, event: Any) -> None:
        origin = self._origin(event)
        if event.tag not in (None, "!", _CONTAINER_TAGS[type(event)]):
            self._refuse_tag(origin, event.tag)
        if self.stack and self._expects_key():
            self._refuse_key(origin, "a mapping or list")
        is_map = isinstance(event, yaml.MappingStartEvent)
        self.stack.append(_Open(origin, event.anchor, bool(event.flow_style), {} if is_map else []))
        if event.anchor is not None:
            # Hides an earlier anchor of that name: an alias from inside would contain itself.
            self.anchors.pop(event.anchor, None)
        self._count(1, len(self.stack), origin)

    def _alias(self, event: Any) -> None:
        origin = self._origin(event)
        target = self.anchors.get(event.anchor)
        if target is None:
            recursive = any(opened.anchor == event.anchor for opened in self.stack)
            rule = "an alias must not contain itself" if recursive else "an alias must follow its anchor"
            repair = (
                "write the value out" if recursive else f"define `&{event.anchor}` above, or quote the text"
            )
            self._fail(origin, rule, f"*{event.anchor}", repair)
        self._add(target.node, None, size=target.size, height=target.height, at=origin)

    def _add(
        self,
        node: Node,
        anchor: str | None,
        *,
        size: int,
        height: int,
        counted: bool = False,
        at: Origin | None = None,
    ) -> None:
        if not counted:
            self._count(size, len(self.stack) + height, at or node.origin)
        if anchor is not None:
            self.anchors[anchor] = _Anchored(node, size, height)
        if not self.stack:
            self.root = node
            return
        parent = self.stack[-1]
        parent.size += size
        parent.height = max(parent.height, height + 1)
        if isinstance(parent.container, list):
            parent.container.append(node)
        elif parent.key is None:
            parent.key = self._checked_key(node, parent.container, at or node.origin)
        else:
            assert isinstance(parent.key.value, str)
            parent.container[parent.key.value] = replace(node, key_origin=parent.key.origin)
            parent.key = None

    def _expects_key(self) -> bool:
        parent = self.stack[-1]
        return isinstance(parent.container, dict) and parent.key is None

    def _checked_key(self, node: Node, siblings: dict[str, Node], origin: Origin) -> Node:
        key = node.value
        if not isinstance(key, str):
            self._refuse_key(origin, shown(node.plain()))
        if key in siblings:
            first = siblings[key].key_origin or siblings[key].origin
            self._fail(
                origin,
                f"a key may appear once in a mapping; `{key}` stands at {first} already",
                f"`{key}` twice",
                "remove one of the two",
            )
        return Node(key, origin)

    def _scalar(self, event: Any) -> Scalar:
        is_plain: bool = event.tag is None and event.implicit[0]
        if is_plain and event.value == "<<" and self.stack and self._expects_key():
            self._fail(
                self._origin(event),
                "merge keys are not part of YAML 1.2",
                "<<",
                f"use `extends` to inherit from another {self.kind}",
            )
        try:
            if event.tag is not None:
                return tagged_scalar(event.value, event.tag)
            return plain_scalar(event.value) if is_plain else str(event.value)
        except BadScalarError as error:
            if event.tag is not None and str(error).startswith("only the tags"):
                self._refuse_tag(self._origin(event), event.tag)
            repair = "remove the tag" if event.tag else "write an ordinary number, or put the text in quotes"
            shortened = event.value if len(event.value) <= 40 else f"{event.value[:40]}…"
            self._fail(self._origin(event), str(error), shortened, repair)

    def _count(self, size: int, depth: int, origin: Origin) -> None:
        self.nodes += size
        if self.nodes > MAX_NODES:
            self._fail(
                origin,
                f"a {self.kind} has at most {MAX_NODES:,} values, aliases expanded",
                f"{self.nodes:,} up to here",
                "use fewer aliases; keep data in files of their own",
            )
        if depth > MAX_DEPTH:
            self._fail(
                origin,
                f"a {self.kind} nests at most {MAX_DEPTH} levels",
                f"{depth} levels",
                "flatten the mapping",
            )

    def _origin(self, event: Any) -> Origin:
        mark = event.start_mark
        return replace(self.start, line=mark.line + 1, column=mark.column + 1)

    def _refuse_tag(self, origin: Origin, tag: str) -> NoReturn:
        rule = "only the tags !!str, !!int, !!float, !!bool, !!null, !!seq and !!map are allowed"
        short = tag.replace("tag:yaml.org,2002:", "!!")
        self._fail(origin, rule, short, "remove the tag, or quote the text if it is no tag")

    def _refuse_key(self, origin: Origin, received: str) -> NoReturn:
        self._fail(
            origin,
            "a key must be a string",
            received,
            "put the key in quotes, or write the value on one line",
        )

    def _fail(self, origin: Origin, rule: str, received: str, repair: str) -> NoReturn:
        raise Problem(origin, rule, received, repair).error()

    def _syntax_error(self, error: yaml.MarkedYAMLError) -> ConfigError:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line, mark.column) if mark is not None else (0, 0)
        lines = self.text.splitlines()
        row = lines[line] if line < len(lines) else ""
        if "nesting depth" in str(error.problem):  # PyYAML reads ahead, and has a limit of its own
            return Problem(
                replace(self.start, line=line + 1, column=column + 1),
                f"a {self.kind} nests at most {MAX_DEPTH} levels",
                "far more",
                "flatten the mapping",
            ).error()
        context = f" ({error.context})" if error.context else ""
        origin = replace(self.start, line=line + 1, column=column + 1)
        received = row.strip() or "the end of the file"
        return Problem(
            origin, f"YAML syntax: {error.problem}{context}", received, self._repair(error, row, column)
        ).error()

    def _repair(self, error: yaml.MarkedYAMLError, row: str, column: int) -> str:
        problem = f"{error.problem} {error.context}"
        unclosed = next((opened for opened in reversed(self.stack) if opened.flow), None)
        if "\t" in row[: column + 1]:
            return "indent with spaces; YAML forbids tabs"
        if "quoted scalar" in problem:
            opened = error.context_mark
            where = f" opened on line {opened.line + 1}" if opened is not None else ""
            return f"close the quotation mark{where}, or correct the escape sequence"
        if unclosed is not None:
            return f"close the bracket opened at line {unclosed.origin.line}, column {unclosed.origin.column}"
        if "mapping values are not allowed" in problem:
            return "put a value that contains `: ` in quotes, or correct the indentation"
        if "cannot start any token" in problem:
            return "put the text in quotes"
        return "correct the indentation or the punctuation here or on the line above"
