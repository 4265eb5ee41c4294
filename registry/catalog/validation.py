"""Located tree → validated model; complaints of pydantic → file, line, column, rule, value and repair."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from registry.catalog.architectures import (
    ARCHITECTURE_NAME,
    architecture_name,
    architecture_names,
    keys_of,
    preset_model,
)
from registry.catalog.origin import Origin, dotted
from registry.catalog.problems import Problem, config_error, shown
from registry.catalog.shape import Shape
from registry.catalog.tree import Node, Path
from registry.config import PresetConfig, RecipeConfig
from registry.discovery import host_is_installed
from registry.errors import ConfigError, nearest

__all__ = ["validate", "validate_preset", "validate_recipe"]

_Model = TypeVar("_Model", bound=BaseModel)
_YAML_1_1_BOOLEANS = {"yes": True, "on": True, "y": True, "no": False, "off": False, "n": False}


def validate_preset(tree: Node, *, preset: str) -> PresetConfig:
    """Validate a whole preset; the plugin of its architecture says which keys that section has.

    Args:
        tree: the preset with its bases merged.
        preset: its name, for the headline of the error.

    Raises:
        ConfigError: one or more values break the schema; all are listed.
        PluginError: the architecture's plugin cannot serve.
    """
    section = tree.find(ARCHITECTURE_NAME[:-1])
    if section is None or not isinstance(section.value, Mapping):
        return validate(PresetConfig, tree, preset=preset)
    name = architecture_name(tree)
    if name is not None and keys_of(name) is not None:
        return validate(preset_model(name), tree, preset=preset)
    # What the section may hold is unknown, the rest is not.
    free = preset_model(None)
    problems = [_nameless(tree)]
    try:
        free.model_validate(tree.plain())
    except ValidationError as error:
        problems += _problems(error, free, tree)
    raise _located(problems, f"preset {preset!r}")


def validate_recipe(tree: Node, *, recipe: str) -> RecipeConfig:
    """Validate a whole recipe, whose preset has been resolved.

    Args:
        tree: the recipe with its bases merged.
        recipe: its name, for the headline of the error.

    Raises:
        ConfigError: one or more values break the schema; all are listed.
    """
    try:
        return RecipeConfig.model_validate(tree.plain())
    except ValidationError as error:
        shape = Shape.of(RecipeConfig)
        problems = [_problem(finding, tree, (), shape, "a recipe") for finding in _findings(error, shape)]
        raise _located(problems, f"recipe {recipe!r}") from None


def validate(model: type[_Model], tree: Node, *, preset: str, at: Path = ()) -> _Model:
    """Validate a tree, or a branch of it.

    Args:
        model: what the branch must be.
        tree: the whole preset.
        preset: name of the preset, for the headline of the error.
        at: path of the branch; where nothing stands there, an empty mapping is validated.

    Raises:
        ConfigError: one or more values break the schema; all are listed.
    """
    branch = tree.find(at)
    try:
        return model.model_validate(branch.plain() if branch is not None else {})
    except ValidationError as error:
        raise _located(_problems(error, model, tree, at), f"preset {preset!r}") from None


def _problems(error: ValidationError, model: type[BaseModel], tree: Node, at: Path = ()) -> list[Problem]:
    whole = Shape.of(preset_model(architecture_name(tree)) if at else model)
    return [_problem(finding, tree, at, whole) for finding in _findings(error, Shape.of(model))]


def _located(problems: list[Problem], document: str) -> ConfigError:
    """One error for all problems, in the order in which they stand in the files."""
    problems.sort(key=lambda problem: (str(problem.origin.file), problem.origin.line, problem.origin.column))
    return config_error(problems, document)


@dataclass(frozen=True, slots=True)
class _Finding:
    """One error of pydantic, translated to the keys of the preset.

    Args:
        error: the error's details.
        path: keys and indices, without the labels that pydantic puts in for members of unions.
        unions: paths of the unions that were passed.
        shape: what is expected at the path; None where the schema has no such key.
        parent: what is expected one level up.
    """

    error: Mapping[str, Any]
    path: Path
    unions: tuple[Path, ...]
    shape: Shape | None
    parent: Shape

    @property
    def kind(self) -> str:
        return str(self.error["type"])

    @property
    def is_missing_key(self) -> bool:
        return self.kind == "missing" and isinstance(self.error["loc"][-1], str)


def _findings(error: ValidationError, shape: Shape) -> Iterator[_Finding]:
    """One finding per value: a union complains once per member, about a value that is wrong once."""
    details: Any = error.errors(include_url=False)
    found = [_follow(detail, shape) for detail in details]
    seen: set[Path] = set()
    for finding in found:
        # A list that fails as `auto` but gets as far as its second item is a list with a wrong item.
        is_outdone = any(
            finding.path in other.unions and len(other.path) > len(finding.path) for other in found
        )
        if finding.path not in seen and not (is_outdone and finding.path in finding.unions):
            seen.add(finding.path)
            yield finding


def _follow(error: Mapping[str, Any], shape: Shape) -> _Finding:
    """Walk the schema along an error's location."""
    location: tuple[str | int, ...] = error["loc"]
    path: Path = ()
    unions: list[Path] = []
    here: Shape | None = shape
    parent = shape
    index = 0
    while index < len(location):
        step = location[index]
        if here is not None and here.tags:
            here = here.tags.get(str(step), here)
        elif here is not None and len(here.members) == 1:
            here = here.members[0]
            continue
        elif here is not None and here.members:
            unions.append(path)
            if index + 1 < len(location):
                here = here.member_for(location[index + 1])
        else:
            parent = here or parent
            here = here.step(step) if here is not None else None
            path = (*path, step)
        index += 1
    if error["type"] == "missing" and path and isinstance(path[-1], int):
        # An item that is missing from a list of fixed length is the list's fault.
        return _Finding(error, path[:-1], (*unions, path[:-1]), _parent_union(shape, path[:-1]), parent)
    return _Finding(error, path, tuple(unions), here, parent)


def _parent_union(shape: Shape, path: Path) -> Shape | None:
    """The shape at a path with its alternatives, which `_follow` has narrowed to one."""
    here: Shape | None = shape
    for step in path:
        candidates = [here, *here.members] if here is not None else []
        here = next((found for candidate in candidates if (found := candidate.step(step)) is not None), None)
    return here


def _problem(finding: _Finding, tree: Node, at: Path, whole: Shape, document: str = "a preset") -> Problem:
    path = (*at, *finding.path)
    context = finding.error.get("ctx", {})
    if "at" in context:
        path = (*path, *context["at"].split("."))
    name = f"`{dotted(path)}`"
    nearest_node = tree.nearest(path)
    origin = nearest_node.origin
    node = tree.find(path)
    received = shown(node.plain() if node is not None else finding.error["input"])
    shape, parent = finding.shape, finding.parent

    if finding.kind == "extra_forbidden":
        return _unknown_key(nearest_node, path, parent, whole, document)
    if finding.is_missing_key:
        return Problem(origin, f"{name} is required", _keys(nearest_node), _add(path, shape))
    if finding.kind in ("union_tag_invalid", "union_tag_not_found") and shape is not None:
        return _tag(tree, (*path, shape.tag or "name"), list(shape.tags))
    message = str(finding.error["msg"]).removeprefix("Value error, ")
    if "at" in context or finding.kind in ("value_error", "assertion_error"):
        return Problem(
            origin, message if finding.path == () else f"{name}: {message}", received, "make the values agree"
        )
    if shape is None or not shape.is_known:
        return Problem(origin, f"{name}: {message}", received, "correct the value")
    value = node.plain() if node is not None else finding.error["input"]
    return Problem(origin, f"{name} must be {shape.expected()}", received, _repair(path, value, shape))


def _unknown_key(node: Node, path: Path, parent: Shape, whole: Shape, document: str) -> Problem:
    key = str(path[-1])
    where = f"`{dotted(path[:-1])}`" if len(path) > 1 else document
    elsewhere = [candidate for candidate in whole.paths() if candidate[-1] == key]
    if len(elsewhere) == 1 and elsewhere[0] != path:
        repair = (
            f"`{key}` belongs under `{dotted(elsewhere[0][:-1])}`"
            if len(elsewhere[0]) > 1
            else (f"`{key}` belongs at the top level")
        )
    else:
        repair = nearest(key, parent.keys) if parent.keys else "remove it; there are no keys here"
    return Problem(_key_origin(node), f"{where} has no key `{key}`", key, repair)


def _keys(section: Node) -> str:
    return f"only {', '.join(section.entries)}" if section.entries else "nothing under it"


def _key_origin(node: Node) -> Origin:
    return node.key_origin or node.origin


def _nameless(tree: Node) -> Problem:
    """The problem of a preset whose architecture is not named, or by no name that there is."""
    problem = _tag(tree, ARCHITECTURE_NAME, architecture_names())
    if host_is_installed():
        return problem
    repair = (
        f"atrous is not installed, so its own architectures are unknown: `pip install -e .`; {problem.repair}"
    )
    return replace(problem, repair=repair)


def _tag(tree: Node, path: Path, tags: list[str]) -> Problem:
    """The problem of a key that must be one of some words, and tells what else its section may hold."""
    node = tree.find(path)
    choices = f"one of {', '.join(f'`{tag}`' for tag in tags)}"
    if node is None:
        section = tree.nearest(path)
        rule = f"`{dotted(path)}` is required: {choices}"
        return Problem(section.origin, rule, _keys(section), f"add `{path[-1]}: {next(iter(tags), '…')}`")
    repair = nearest(str(node.plain()), tags)
    return Problem(node.origin, f"`{dotted(path)}` must be {choices}", shown(node.plain()), repair)


def _add(path: Path, shape: Shape | None) -> str:
    if shape is None or not shape.is_known:
        return f"add `{path[-1]}`"
    example = "" if shape.rule.get("type") == "object" or shape.tags else f" {_flow(shape.example())}"
    meaning = f" ({shape.description.rstrip('.')})" if shape.description else ""
    return f"add `{path[-1]}:{example}`{meaning}"


def _repair(path: Path, value: object, shape: Shape) -> str:
    if isinstance(value, str):
        if shape.rule.get("type") == "boolean" and value.lower() in _YAML_1_1_BOOLEANS:
            return f"write {shown(_YAML_1_1_BOOLEANS[value.lower()])}: in YAML 1.2, `{value}` is a string"
        if "integer" in shape.expected() or "number" in shape.expected() or shape.choices:
            number = _as_number(value)
            if number is not None:
                return f"write {shown(number)}, without quotes"
        words = [choice for choice in shape.choices if isinstance(choice, str)]
        if words:
            return nearest(value, words)
    if isinstance(value, float) and value.is_integer() and "integer" in shape.expected():
        return f"write {shown(int(value))}"
    if shape.rule.get("type") == "object" or shape.tags:
        below = f"below `{path[-1]}:`, indented"
        return f"write its keys {below if isinstance(path[-1], str) else f'after a dash: `- {_flow(shape.example())}`'}"
    example = _flow(shape.example())
    return (
        f"for instance `{path[-1]}: {example}`" if isinstance(path[-1], str) else f"for instance `{example}`"
    )


def _as_number(text: str) -> float | None:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return None


def _flow(value: object) -> str:
    return value if isinstance(value, str) else shown(value)
