"""Write KerasHub's own DenseNet features for random weights that both sides draw alike.

Runs in an environment of its own (`pip install keras-hub==0.32.0 tensorflow`), never in the test environment:

    python tests/parity/make_densenet.py small tests/parity/densenet
    python tests/parity/make_densenet.py full /somewhere

`check_xception_densenet.py` compares; the tests do it with the committed small files.
"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras_hub
from golden_keras import write_golden

REPEATS = {"densenet_121": [6, 12, 24, 16], "densenet_169": [6, 12, 32, 32], "densenet_201": [6, 12, 48, 32]}
SMALL = {
    "densenet_growth_6": {"stackwise_num_repeats": [2, 3, 2, 2], "growth_rate": 6},
    "densenet_compressed": {
        "stackwise_num_repeats": [1, 2, 1],
        "compression_ratio": 0.3,
        "growth_rate": 4,
    },
}
SIZES = ((64, 64), (96, 160))


def main():
    """Write every file of one size."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("size", choices=("small", "full"))
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    if arguments.size == "small":
        recipes = {name: (config, config) for name, config in SMALL.items()}
    else:
        recipes = {
            name: ({"stackwise_num_repeats": repeats}, {"variant": name}) for name, repeats in REPEATS.items()
        }
    for name, (config, ours) in recipes.items():
        model = keras_hub.models.DenseNetBackbone(**config)
        write_golden(
            arguments.folder / f"{name}.npz",
            model,
            dict(model.pyramid_outputs),
            family="densenet",
            config=ours,
            sizes=SIZES,
        )


if __name__ == "__main__":
    main()
