"""A validated preset as YAML that reads back as the same values."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from registry.catalog.scalars import BadScalarError, plain_scalar
from registry.catalog.tree import Path
from registry.config import PresetConfig

__all__ = ["preset_yaml", "yaml_lines"]

_PLAIN = re.compile(r"[A-Za-z0-9_./](?:[A-Za-z0-9_ ./+()'-]|:(?! |$))*")
_INVISIBLE = re.compile("[\x7f-\xa0\u2028\u2029\ufeff\ufffe\uffff]")


def preset_yaml(config: PresetConfig) -> str:
    """The whole of a preset as one YAML document, defaults written out: it extends nothing and depends on none."""
    lines = yaml_lines(config.model_dump(mode="json"), lambda path: "")
    return "".join(f"{text}\n" for text, _ in lines)


def yaml_lines(
    mapping: Mapping[str, Any], note: Callable[[Path], str], path: Path = ()
) -> Iterator[tuple[str, str]]:
    """Lines of YAML, each with the note for its margin; sections have none.

    Args:
        mapping: plain data.
        note: path of keys and indices → what the margin says of that value.
        path: where the mapping stands.
    """
    indent = "  " * len(path)
    for key, value in mapping.items():
        here = (*path, key)
        name = f"{indent}{_scalar(key)}:"
        if isinstance(value, dict) and value:
            yield name, ""
            yield from yaml_lines(value, note, here)
        elif isinstance(value, list) and any(isinstance(item, dict) for item in value):
            yield name, ""
            for index, item in enumerate(value):
                yield f"{indent}  - {_flow(item)}", note((*here, index))
        else:
            yield f"{name} {_flow(value)}", note(here)


def _flow(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_scalar(key)}: {_flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow, value)) + "]"
    return _scalar(value)


def _scalar(value: Any) -> str:
    """A scalar as YAML, quoted only where it would be read as something else."""
    if not isinstance(value, str):
        text = json.dumps(value)
        # YAML 1.1, which most readers speak, takes 1e-05 for a string: it wants a point.
        return text.replace("e", ".0e") if isinstance(value, float) and "." not in text else text
    if _PLAIN.fullmatch(value) and value == value.strip() and _reads_as_itself(value):
        return value
    # JSON's escapes are YAML's, but YAML has no surrogate pairs and breaks lines at more characters.
    quoted = json.dumps(value, ensure_ascii=False)
    return _INVISIBLE.sub(lambda match: f"\\u{ord(match[0]):04x}", quoted)


def _reads_as_itself(text: str) -> bool:
    try:
        return plain_scalar(text) == text
    except BadScalarError:
        return False
