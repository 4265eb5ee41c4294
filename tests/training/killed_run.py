"""Train a recipe in children that are killed at random moments, until one comes to the end.

    python killed_run.py RECIPE.json FOLDER KILLS SEED

Children are forked after the imports, which take most of a start. Prints one JSON object a line for each.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

from registry.training import train

LOOK = 0.02
"""Seconds between looks at a child."""
LONGEST = 0.5
"""Seconds from a child's first checkpoint to its end, at most: some steps, validations and checkpoints."""


def start(recipe, folder):
    """Train in a child; its exit status is 0 if the run came to its end."""
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        train(recipe, folder, progress=False)
        status = 0
    except BaseException as error:  # a child must not go on with the parent's code
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
    os._exit(status)


def checkpoints(folder):
    return {path.stem for path in (folder / "checkpoints").glob("*.index")}


def kill_under_way(recipe, folder, delay):
    """Kill a child some time after it has got further than the ones before it."""
    before = checkpoints(folder)
    child = start(recipe, folder)
    while checkpoints(folder) <= before:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return status
        time.sleep(LOOK)
    time.sleep(delay)
    os.kill(child, signal.SIGKILL)
    return os.waitpid(child, 0)[1]


def main():
    """Kill so many children, then let one finish."""
    recipe, folder = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])
    kills, chance = int(sys.argv[3]), random.Random(int(sys.argv[4]))
    for _ in range(kills):
        status = kill_under_way(recipe, folder, chance.uniform(0, LONGEST))
        print(
            json.dumps({"killed": status == signal.SIGKILL, "checkpoints": sorted(checkpoints(folder))}),
            flush=True,
        )
    return os.waitpid(start(recipe, folder), 0)[1]


if __name__ == "__main__":
    sys.exit(main())
