"""Features of EfficientNets of timm and KerasHub on seeded weights, for parity without their 12 MB of weights.

Every value of a network follows from its array's name, so a golden file holds only the list of arrays and the
pyramid. `make_efficientnet_features.py` writes them where the source library runs; this module reads them beside
atrous. NumPy alone is imported before `compare` is called.

The full check, every size of each family, in float64: make them with `--all`, then

    python tests/parity/efficientnet_features.py FOLDER
"""

import json
import sys
import zlib
from pathlib import Path

import numpy as np

GOLDEN = Path(__file__).parent / "efficientnet"
SIZE = (64, 96)
# Steps at which a level is kept: early ones are large and say the same everywhere.
STEPS = {"P1": 8, "P2": 4, "P3": 2, "P4": 1, "P5": 1}


def seeded(name, index, shape, role):
    """The array of that name: of a network in which nothing dies and nothing explodes.

    `RandomState` has a stream that NumPy promises never to change.
    """
    random = np.random.RandomState(zlib.crc32(f"{name}/{index}".encode()))
    if role == "scale":
        return random.uniform(0.5, 1.5, shape).astype(np.float32)
    if role == "offset":
        return (0.3 * random.standard_normal(shape)).astype(np.float32)
    fan_in = int(role)
    return (np.sqrt(1 / fan_in) * random.standard_normal(shape)).astype(np.float32)


def image():
    """(1, height, width, 3), normalized pixels."""
    return np.random.RandomState(7).standard_normal((1, *SIZE, 3)).astype(np.float32)


def write(path, variant, source, layout, pyramid):
    """Write a golden file: `layout` is a list of (name, index, shape, role), the pyramid NHWC."""
    header = json.dumps({"variant": variant, "source": source, "layout": layout})
    levels = {
        level: features[:, :: STEPS[level], :: STEPS[level]].astype(np.float32)
        for level, features in pyramid.items()
    }
    np.savez_compressed(path, header=np.frombuffer(header.encode(), np.uint8), **levels)


def compare(path):
    """Load a golden file's arrays into the variant through the plugin's conversion, and compare the pyramids.

    Returns:
        Level → largest difference ÷ standard deviation of the source's features.
    """
    from registry.backend import keras
    from registry.weights.assignment import assign
    from registry_efficientnet import registry_convert_weights
    from registry_efficientnet.graph import efficientnet_pyramid
    from registry_efficientnet.variants import ARCHITECTURES, SPECS

    golden = np.load(path)
    header = json.loads(bytes(golden["header"]))
    arrays = {}
    for name, index, shape, role in header["layout"]:
        arrays.setdefault(name, []).append(seeded(name, index, shape, role))
    variant = header["variant"]
    (spec,) = (spec for spec in SPECS if spec.name == variant)
    inputs = keras.layers.Input((None, None, 3))
    encoder = keras.Model(inputs, efficientnet_pyramid(inputs, ARCHITECTURES[variant], output_stride=32))
    converted = registry_convert_weights(variant, header["source"], arrays)
    assign(encoder.layers, converted, source=str(path), unused=spec.unused_weights)
    pyramid = encoder(image().astype(keras.backend.floatx()), training=False)
    differences = {}
    for level, features in pyramid.items():
        expected = golden[level]
        received = features.numpy()[:, :: STEPS[level], :: STEPS[level]]
        assert received.shape == expected.shape, (level, received.shape, expected.shape)
        assert expected.std() > 1e-3, level
        differences[level] = float(np.abs(received - expected).max() / expected.std())
    return differences


if __name__ == "__main__":
    from registry.backend import keras

    keras.backend.set_floatx("float64")
    for golden_path in sorted(Path(sys.argv[1]).glob("*.npz")):
        worst = max(compare(golden_path).values())
        print(f"{golden_path.stem:45} {worst:.1e}", flush=True)
        if worst > 1e-4:
            sys.exit(f"{golden_path}: differs")
