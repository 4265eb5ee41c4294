"""A process that takes steps, one after the other, and tells what came of each: for what reads its environment on import.

    python steps.py '[["fetch_file", "hf://user/model/file", {"declared": true}], ["set", "ATROUS_OFFLINE", "1"]]'

A step is a function of `registry.weights.handles` with its arguments (the last one, a mapping, by name); `set` changes the
environment. Prints a list: a path, what was found, or the error's type and message.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from registry.errors import RegistryError
from registry.stores import FetchOptions, patience
from registry.weights import handles


def taken(function: str, *arguments: object) -> object:
    if function == "set":
        os.environ[arguments[0]] = arguments[1]
        return None
    if function == "write":
        file = Path(arguments[0]).resolve()
        file.chmod(0o644)
        file.write_text(arguments[1])
        return None
    *positional, named = arguments
    try:
        if function == "look":
            found = handles.look(*positional, FetchOptions())
            return [[one.name, one.size, one.path and str(one.path)] for one in found]
        return str(getattr(handles, function)(*positional, **named))
    except RegistryError as error:
        return f"{type(error).__name__}: {error}"


if __name__ == "__main__":
    patience.DEFAULT = patience.Patience(pause=0.001, longest_pause=0.002)
    print(json.dumps([taken(*step) for step in json.loads(sys.argv[1])]))
