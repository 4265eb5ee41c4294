"""Whole models of other libraries: what they gave for drawn weights is kept in files, and compared with ours.

NumPy only: the scripts that run another library import this module as well as our tests. A file holds a `description` of
the network as JSON, and sampled outputs by `HEIGHTxWIDTH`, with a pyramid level behind it for an encoder's.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from seeded_arrays import sampled, seeded_image

LARGEST_DIFFERENCE = 1e-4
"""Of an output, in standard deviations of the other library's."""


def write_golden(path, description, outputs):
    """Write one file.

    Args:
        path: its name, `.npz`.
        description: of the network; `variables` among it.
        outputs: key → output, which is sampled.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        path, description=json.dumps(description), **{key: sampled(output) for key, output in outputs.items()}
    )
    print(f"{path.name}: {len(description['variables'])} arrays, {path.stat().st_size:,} bytes")


def write_all(doc, networks, write):
    """Write the files that the command line asks for.

    Args:
        doc: of the script.
        networks: `small` and `full` → name → description.
        write: (path, description).
    """
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("size", choices=tuple(networks))
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    for name, description in networks[arguments.size].items():
        write(arguments.folder / f"{name}.npz", description)


def description_of(path):
    """What a file says of its network."""
    return json.loads(str(np.load(path, allow_pickle=False)["description"]))


def differences(path, model):
    """The largest difference of each output, in standard deviations of the other library's."""
    golden = np.load(path, allow_pickle=False)
    found = {}
    for key in (name for name in golden.files if name != "description"):
        size, _, level = key.partition(" ")
        output = model(seeded_image(*map(int, size.split("x"))), training=False)
        output = sampled(output[level] if level else output)
        found[key] = float(np.abs(output - golden[key]).max() / golden[key].std())
    return found


def compare_all(compare):
    """Compare every file of the folder that the command line names; exits 1 where one differs too much.

    Args:
        compare: path → model and differences.
    """
    worst = 0.0
    for path in sorted(Path(sys.argv[1]).glob("*.npz")):
        _, found = compare(path)
        worst = max(worst, *found.values())
        print(path.name, *(f"{key}: {value:.1e} σ" for key, value in found.items()))
    sys.exit(int(worst > LARGEST_DIFFERENCE))
