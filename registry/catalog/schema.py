"""Write the published JSON Schema: `python -m registry.catalog.schema [--check]`, from a checkout."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from registry.catalog.published import preset_schema
from registry.catalog.roots import checkout

__all__ = ["main"]

_FILE = Path("docs/reference/preset.schema.json")


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the schema, or check that the written one is current.

    Returns:
        0, or 1 where the file is stale or this is no checkout.
    """
    parser = argparse.ArgumentParser(prog="python -m registry.catalog.schema", description=__doc__)
    parser.add_argument("--check", action="store_true", help=f"change nothing; fail if {_FILE} is stale")
    check = parser.parse_args(arguments).check
    top = checkout()
    if top is None:
        print("the schema is written within a checkout of atrous, and this is none", file=sys.stderr)
        return 1
    path = top / _FILE
    text = json.dumps(preset_schema(builtin=True), indent=2, ensure_ascii=False) + "\n"
    if check:
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            return 0
        print(f"{_FILE} is stale; run python -m registry.catalog.schema", file=sys.stderr)
        return 1
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
