"""Scalars by the YAML 1.2 core schema.

PyYAML follows YAML 1.1, where `no` is false, `1e-3` a string, `010` eight and `1:30` ninety. A preset is read
as its author sees it instead.
"""

from __future__ import annotations

import re

from registry.catalog.tree import Scalar, check_number

__all__ = ["BadScalarError", "plain_scalar", "tagged_scalar"]

_TAG = "tag:yaml.org,2002:"
_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_DECIMAL = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_MAX_DIGITS = 24  # more cannot fit 64 bits; also keeps int() from its quadratic cost


class BadScalarError(Exception):
    """A scalar that no preset may hold; its text is the rule."""


def plain_scalar(text: str) -> Scalar:
    """Read a scalar that is written without quotes and without tag.

    Raises:
        BadScalarError: an infinite, undefined or oversized number.
    """
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if _NOT_FINITE.fullmatch(text):
        raise BadScalarError("a number must be finite")
    number: int | float | None = _integer(text)
    if number is None and _FLOAT.fullmatch(text):
        number = float(text)
    if number is None:
        return text
    rule = check_number(number)
    if rule is not None:
        raise BadScalarError(rule)
    return number


def tagged_scalar(text: str, tag: str) -> Scalar:
    """Read a scalar with an explicit tag such as `!!str`.

    Raises:
        BadScalarError: the tag is not one of the five safe ones, or the text is not of that type.
    """
    kind = tag.removeprefix(_TAG)
    if tag == "!" or kind == "str":
        return text
    types: dict[str, tuple[type, ...]] = {
        "int": (int,),
        "float": (float, int),
        "bool": (bool,),
        "null": (type(None),),
    }
    if kind not in types:
        raise BadScalarError(
            "only the tags !!str, !!int, !!float, !!bool, !!null, !!seq and !!map are allowed"
        )
    value = plain_scalar(text)
    if not isinstance(value, types[kind]) or (isinstance(value, bool) and kind != "bool"):
        raise BadScalarError(f"`!!{kind}` must be followed by a value of that type")
    return float(value) if kind == "float" and isinstance(value, int) else value


def _integer(text: str) -> int | None:
    for pattern, base in ((_DECIMAL, 10), (_OCTAL, 8), (_HEXADECIMAL, 16)):
        if pattern.fullmatch(text):
            digits = text.lstrip("+-0") if base == 10 else text[2:].lstrip("0")
            if len(digits) > _MAX_DIGITS:
                raise BadScalarError("an integer must fit 64 bits")
            return int(text[2:] if base != 10 else text, base)
    return None
