"""Write the published JSON Schemas: `python -m registry.catalog.schema [--check]`, from a checkout."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from registry.catalog.published import preset_schema, recipe_schema
from registry.catalog.roots import checkout

__all__ = ["main"]

_FOLDER = Path("docs/reference")
_SCHEMAS: dict[str, Callable[[], dict[str, Any]]] = {
    "preset.schema.json": partial(preset_schema, builtin=True),
    "recipe.schema.json": recipe_schema,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the schemas, or check that the written ones are current.

    Returns:
        0, or 1 where a file is stale or this is no checkout.
    """
    parser = argparse.ArgumentParser(prog="python -m registry.catalog.schema", description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; fail if a file is stale")
    check = parser.parse_args(arguments).check
    top = checkout()
    if top is None:
        print("the schemas are written within a checkout of atrous, and this is none", file=sys.stderr)
        return 1
    stale = []
    for name, schema in _SCHEMAS.items():
        path = top / _FOLDER / name
        text = json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        elif not path.is_file() or path.read_text(encoding="utf-8") != text:
            stale.append(_FOLDER / name)
    for relative in stale:
        print(f"{relative} is stale; run python -m registry.catalog.schema", file=sys.stderr)
    return int(bool(stale))


if __name__ == "__main__":
    sys.exit(main())
