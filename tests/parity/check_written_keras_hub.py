"""Load directories that atrous wrote into KerasHub, and compare outputs.

    python tests/parity/check_written_keras_hub.py FOLDER

Runs in KerasHub's environment, see `make_written_keras_hub.py`. Exits 1 where the outputs differ by more than 1e-4 of
their standard deviation, called or with KerasHub's own preprocessing.
"""

import os
import sys
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import keras_hub
import numpy as np
from seeded_arrays import seeded_image

LARGEST_DIFFERENCE = 1e-4


def main():
    """Compare every directory."""
    worst = 0.0
    for directory in sorted(path for path in Path(sys.argv[1]).iterdir() if path.is_dir()):
        model = keras_hub.models.ImageSegmenter.from_preset(str(directory))
        written = np.load(directory / "written.npz", allow_pickle=False)
        outputs = {
            "called": np.asarray(model(seeded_image(64, 96), training=False)),
            "predicted": model.predict(written["image"], verbose=0),
        }
        for kind, output in outputs.items():
            difference = float(np.abs(output - written[kind]).max() / written[kind].std())
            worst = max(worst, difference)
            print(
                f"{directory.name:16} {kind:10} {model.count_params():>11,} parameters  max |Δ| {difference:.1e} σ"
            )
    return int(worst > LARGEST_DIFFERENCE)


if __name__ == "__main__":
    sys.exit(main())
