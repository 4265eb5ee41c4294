"""`extends`: a preset file and its bases → one tree.

Mappings merge deeply, everything else is replaced; later bases win over earlier ones and a preset's own
values over all of them. Three keys decide what others mean, and changing one drops the inherited values that
were written for the old meaning (see `inherit`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NoReturn

from registry.catalog import roots
from registry.catalog.architectures import keys_of
from registry.catalog.beside import check_stated_files
from registry.catalog.problems import Problem, shown
from registry.catalog.roots import Kind, Root
from registry.catalog.source import read
from registry.catalog.tree import Node, deep_merge
from registry.errors import UnknownPresetError, UnknownRecipeError, nearest

__all__ = ["EXTENDS", "NAME_PATTERN", "Inheritance", "inherit"]

EXTENDS = "extends"
MAX_CHAIN = 16
MAX_BASES = 32
NAME_PATTERN = r"[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*"
_NAME = re.compile(NAME_PATTERN)


def inherit(base: Node, own: Node) -> Node:
    """Lay a preset over its base.

    - A new `architecture.name` drops inherited keys that the new architecture does not have.
    - A new `encoder.plugin` drops the inherited `variant` and `options`, which belong to the old plugin.
    - A new `num_classes` without `labels` drops inherited labels of another number.

    What the preset itself says is never dropped: a key that does not fit is an error there.
    """
    kept = _base_for_architecture(base, own)
    kept = _base_for_encoder(kept, own)
    return deep_merge(_base_for_classes(kept, own), own)


@dataclass(slots=True)
class Inheritance:
    """One resolution; every file is read and merged once, however often it is named.

    Attributes:
        kind: what the files are, `preset` or `recipe`.
        lay: lays a document over its base.
        files: the files read so far, in the order of reading.
    """

    kind: Kind = "preset"
    lay: Callable[[Node, Node], Node] = inherit
    files: list[Path] = field(default_factory=list)
    _done: dict[Path, Node] = field(default_factory=dict)

    def load(self, path: Path, home: Root, chain: tuple[Path, ...] = ()) -> Node:
        """Read a file with all its bases.

        Args:
            path: the file.
            home: the root it belongs to.
            chain: the files that led here.
        """
        if path not in self._done:
            self.files.append(path)
            own = read(path, home.label(path), self.kind)
            check_stated_files(own, home)
            self._done[path] = self.merge(own, home, (*chain, path))
        return self._done[path]

    def merge(self, own: Node, home: Root | None, chain: tuple[Path, ...] = ()) -> Node:
        """Merge a tree with the bases that its `extends` names.

        Args:
            own: the tree as written.
            home: the root it belongs to; None for an inline preset.
            chain: the files that led here, the tree's own last.
        """
        statement = own.entries.get(EXTENDS)
        if statement is None:
            return own
        merged: Node | None = None
        for name in _names(statement, self.kind):
            path, root = _locate(name, home, self.kind)
            _check_chain(name, path, chain, self.kind)
            base = self.load(path, root, chain)
            merged = base if merged is None else self.lay(merged, base)
        own = own.without(EXTENDS)
        return own if merged is None else self.lay(merged, own)


def _names(statement: Node, kind: Kind) -> tuple[Node, ...]:
    names = statement.value if isinstance(statement.value, tuple) else (statement,)
    if not all(isinstance(name.value, str) for name in names):
        _fail(
            statement, f"`extends` must be a {kind} name or a list of names", "write `extends: _base/my_part`"
        )
    if len(names) > MAX_BASES:
        _fail(
            statement,
            f"`extends` names at most {MAX_BASES} bases",
            "combine some of them in a part of their own",
        )
    return names


def _locate(name: Node, home: Root | None, kind: Kind) -> tuple[Path, Root]:
    text = str(name.value)
    if not _NAME.fullmatch(text):
        _fail(
            name,
            f"`extends` takes the name of a {kind} or part within a {kind} root, such as `_base/resnet_50`; "
            "absolute paths, `..` and backslashes are refused",
            f"name a file below the {kind}'s own folder, without .yaml",
        )
    builtin = roots.builtin_root(kind)
    for root in (home, builtin) if home is not None else (builtin,):
        path = next((path for path in root.places(text) if path.exists()), None)
        if path is not None:
            _check_inside(name, path, root, kind)
            return path, root
    try:
        found = roots.find(text, kind)
    except (UnknownPresetError, UnknownRecipeError):
        _fail(name, f"`extends` must name a {kind} or part that exists", nearest(text, _known(home, builtin)))
    return found.path, found.root


def _known(home: Root | None, builtin: Root) -> set[str]:
    searched = {root.path: root for root in (home, builtin) if root is not None}.values()
    return {
        path.relative_to(root.path).with_suffix("").as_posix()
        for root in searched
        for pattern in ("*.yaml", "_*/*.yaml")
        for path in root.path.glob(pattern)
    }


def _check_inside(name: Node, path: Path, root: Root, kind: Kind) -> None:
    if not root.installed and not path.resolve().is_relative_to(root.path.resolve()):
        _fail(
            name,
            f"`extends` must stay within {root.path}, links followed",
            f"copy the file into the {kind} root",
        )


def _check_chain(name: Node, path: Path, chain: tuple[Path, ...], kind: Kind) -> None:
    if path in chain:
        cycle = " → ".join(file.stem for file in (*chain[chain.index(path) :], path))
        raise Problem(
            name.origin, f"a {kind} must not extend itself", cycle, "remove one `extends` of the chain"
        ).error()
    if len(chain) >= MAX_CHAIN:
        _fail(name, f"`extends` reaches at most {MAX_CHAIN} files deep", "flatten the chain of bases")


def _fail(node: Node, rule: str, repair: str) -> NoReturn:
    raise Problem(node.origin, rule, shown(node.plain()), repair).error()


def _changed(base: Node, own: Node, section: str, key: str) -> object:
    """The value that `own` gives to a key to which `base` gave another; None if it does not."""
    before, after = base.find((section, key)), own.find((section, key))
    if before is None or after is None or before.value == after.value:
        return None
    return after.value


def _base_for_architecture(base: Node, own: Node) -> Node:
    name = _changed(base, own, "architecture", "name")
    known = keys_of(name) if isinstance(name, str) else None
    if known is None:
        return base
    section = base.entries["architecture"]
    return _replace(
        base, "architecture", section.without(*(key for key in section.entries if key not in known))
    )


def _base_for_encoder(base: Node, own: Node) -> Node:
    if _changed(base, own, "encoder", "plugin") is None:
        return base
    return _replace(base, "encoder", base.entries["encoder"].without("variant", "options"))


def _base_for_classes(base: Node, own: Node) -> Node:
    number, labels = own.entries.get("num_classes"), base.entries.get("labels")
    if number is None or labels is None or "labels" in own.entries:
        return base
    is_other = isinstance(labels.value, tuple) and len(labels.value) != number.value
    return base.without("labels") if is_other else base


def _replace(tree: Node, key: str, node: Node) -> Node:
    return replace(tree, value={**tree.entries, key: node})
