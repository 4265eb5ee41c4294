"""The whole campaign against faults, counted: `python campaign.py [--short]` prints the table of docs/reliability.md.

Some minutes; `--short` takes a tenth of the inputs, of the kills and of the seconds. Fuzzing needs the extra `fuzz` and
is left out, and said to be, where atheris does not install.
"""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import generated
import hand_made
from faults import FAULTS, scratch_folder
from parsers import PARSERS

from registry.errors import RegistryError
from registry.weights.opening import open_weights

HERE = Path(__file__).resolve().parent


def refused(read, make, refusals=()):
    """Whether a reader refuses an input by an error of ours."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            read(make(Path(folder)))
        except (RegistryError, *refusals):
            return True
    return False


def by_hand():
    """Refused classes, and all of them."""
    sys.path.insert(0, str(HERE.parent / "weights"))
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import malicious_files

    from registry.assembly import load_model

    results = [
        refused(
            lambda path, n=name: PARSERS[hand_made.CASES[n][0]].read(hand_made.CASES[n][1], path),
            lambda f: f,
            PARSERS[hand_made.CASES[name][0]].refusals,
        )
        for name in hand_made.CASES
    ]
    results += [refused(load_model, build) for build, _ in malicious_files.MODELS.values()]
    results += [refused(open_weights, build) for build, _ in malicious_files.WEIGHTS.values()]
    return sum(results), len(results)


def fuzz(seconds):
    """What `fuzz.py` says."""
    arguments = [sys.executable, str(HERE / "fuzz.py"), str(seconds)]
    return json.loads(subprocess.run(arguments, stdout=subprocess.PIPE, text=True, check=False).stdout)


def killed(kills):
    """What `killed_models.py` says."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = [sys.executable, str(HERE / "killed_models.py"), folder, str(kills)]
        return json.loads(
            subprocess.run(arguments, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()[-1]
        )


def main():
    """Run it, print the table."""
    tenth = 10 if "--short" in sys.argv else 1
    defects = []

    def row(what, figure):
        print(f"| {what} | {figure} |", flush=True)

    print("| | |\n|---|---|")
    drawn = generated.run(1000 // tenth)
    defects += drawn["defects"]
    row(
        "bad inputs generated",
        f"{drawn['inputs']:,} for {drawn['parsers']} parsers ({drawn['bytes']:,} bytes)",
    )
    row("… refused by an error of ours / harmless", f"{drawn['refused']:,} / {drawn['read']:,}")
    fine, classes = by_hand()
    row("classes of malice made by hand, refused", f"{fine} of {classes}")
    if importlib.util.find_spec("atheris"):
        fuzzed = fuzz(1200 // tenth)
        defects += fuzzed["defects"]
        row("fuzzed under guidance of coverage", f"{fuzzed['inputs']:,} inputs, {fuzzed['bytes']:,} bytes")
    else:
        row("fuzzed under guidance of coverage", "left out: pip install 'atrous[fuzz]'")
    injected = 0
    for name, inject in FAULTS.items():
        folder = scratch_folder()
        count = inject(folder)
        shutil.rmtree(folder)
        injected += count
        row(f"faults injected and survived: {name}", f"{count:,}")
    models = killed(20 // tenth)
    injected += models["killed"]
    row("faults injected and survived: killed in save and export", f"{models['killed']:,}")
    row("faults injected and survived, in all", f"{injected:,}")
    row("files half-written", f"{len(models['half_written'])}")
    row("same seed, same bytes of .tflite and saved preset", "yes" if models["same"] else "NO")
    row("crashes, and errors that are not ours", f"{len(defects)}")
    print(*(json.dumps(defect) for defect in defects), sep="\n", file=sys.stderr)
    return bool(defects or models["half_written"] or not models["same"] or fine < classes)


if __name__ == "__main__":
    sys.exit(main())
