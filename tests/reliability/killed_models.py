"""Save and export in children that are killed at random moments: `python killed_models.py FOLDER KILLS`.

Two children run to their end first, from the same seed: their files must be the same, byte for byte. Then each further
child writes these files again and again until it is killed; whatever has a name by then must be one of those files.
Children are forked after the imports. Prints JSON.
"""

import hashlib
import json
import os
import random
import signal
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from small_networks import SMALL_PRESET

import registry
from registry.assembly import build, save_preset
from registry.exporting import export

LONGEST = 1.0
"""Seconds from a child's first file to its end, at most."""


def write(folder, *, again):
    """Build from a fixed seed, save and export."""
    from registry.backend import keras

    keras.utils.set_random_seed(7)
    model = build(SMALL_PRESET, weights=None)
    (folder / "model").mkdir(exist_ok=True)
    while True:
        save_preset(model, folder / "saved", overwrite=True)
        export(model, folder / "model" / "x.tflite", size=(64, 64), write_report=False, progress=False)
        (folder / "ready").touch()
        if not again:
            return


def start(folder, *, again):
    """Write in a child."""
    folder.mkdir()
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        write(folder, again=again)
        status = 0
    except BaseException as error:  # a child must not go on with the parent's code
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
    os._exit(status)


def files(folder):
    """Name → hash of everything that has a name of its own; unfinished files begin with a dot."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and path.name != "ready"
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    }


def main():
    """Compare, kill, look."""
    top, kills, chance = Path(sys.argv[1]), int(sys.argv[2]), random.Random(0)
    for name in ("one", "two"):
        if os.waitpid(start(top / name, again=False), 0)[1]:
            return 1
    whole = files(top / "one")
    result = {"files": sorted(whole), "same": whole == files(top / "two"), "killed": 0, "half_written": []}
    for number in range(kills):
        folder = top / str(number)
        child = start(folder, again=True)
        while not (folder / "ready").exists():
            time.sleep(0.02)
        time.sleep(chance.uniform(0, LONGEST))
        os.kill(child, signal.SIGKILL)
        result["killed"] += os.waitpid(child, 0)[1] == signal.SIGKILL
        result["half_written"] += [name for name, held in files(folder).items() if held != whole[name]]
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    assert registry.__version__
    sys.exit(main())
