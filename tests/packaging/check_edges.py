"""Run by an environment at an edge of what pyproject.toml claims: `check_edges.py`.

Each library in its oldest or newest version must still carry one model all the way: preset → model → a step of training
→ saved and read back → lock → .tflite of floats and of integers → run → mask. Prints the versions.
"""

import importlib.metadata
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from small_networks import SMALL_PRESET, randomize

import registry
from registry.errors import RegistryError, RegistryWarning
from registry.weights.opening import open_weights

SHOWN = (
    "tensorflow",
    "tf-keras",
    "ai-edge-litert",
    "numpy",
    "h5py",
    "protobuf",
    "pydantic",
    "safetensors",
    "pillow",
)


def main() -> None:
    versions = {name: importlib.metadata.version(name) for name in SHOWN}
    print(
        "Python",
        sys.version.split()[0],
        *(f"{name} {version}" for name, version in versions.items()),
        flush=True,
    )
    warnings.simplefilter("ignore", RegistryWarning)
    assert len(registry.list_presets()) > 50
    assert all(plugin.status in ("available", "loaded") for plugin in registry.list_plugins())
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (4, 64, 64, 3), np.uint8)
    model = randomize(registry.build(SMALL_PRESET, weights=None, image_shape=(64, 64, 3)))
    before = model.predict(images, verbose=0)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        registry.save_preset(model, folder / "saved")
        registry.lock(folder / "saved", folder / "atrous.lock")
        again = registry.build(folder / "saved", lock=folder / "atrous.lock")
        np.testing.assert_array_equal(again.predict(images, verbose=0), before)
        model.save(folder / "model.keras")
        model.save_weights(folder / "x.weights.h5")
        np.testing.assert_array_equal(
            registry.load_model(folder / "model.keras").predict(images, verbose=0), before
        )
        (folder / "half.weights.h5").write_bytes((folder / "x.weights.h5").read_bytes()[:3000])
        assert open_weights(folder / "x.weights.h5").arrays
        try:
            open_weights(folder / "half.weights.h5")
        except RegistryError:
            pass
        else:
            raise AssertionError("half a file was read")
        for quantization in ("float32", "int8"):
            path = folder / f"{quantization}.tflite"
            registry.export(
                model,
                path,
                quantization=quantization,
                calibration=images if quantization == "int8" else None,
                write_report=False,
                progress=False,
            )
            mask = registry.Segmenter(path).segment(images[0])
            agreeing = np.mean(mask == before[0].argmax(-1))
            assert agreeing > (0.999 if quantization == "float32" else 0.5), (quantization, agreeing)
    model.compile("sgd", "mse")
    loss = model.fit(images, np.zeros_like(before), verbose=0).history["loss"][0]
    assert np.isfinite(loss)
    print("carried a model all the way")


if __name__ == "__main__":
    main()
