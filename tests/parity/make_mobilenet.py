"""Write what timm's and KerasHub's MobileNets compute, for tests/encoders/test_mobilenet.py.

Run once per source, in an environment that has it:

    python tests/parity/make_mobilenet.py timm
    python tests/parity/make_mobilenet.py keras_hub

Weights and image follow from names and shapes (`random_array`), so that a file holds only these and, for each level,
a sample of the features. `--check` computes them again, compares them with the files and writes nothing.
"""

import argparse
import importlib.abc
import importlib.machinery
import json
import sys
import tempfile
import types
import zlib
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent / "mobilenet"
SIZE = (64, 96)
SAMPLED = 128

# our variant → the source's name
TIMM = {
    "mobilenet_v3_small_075_torch": "mobilenetv3_small_075",
    "mobilenet_v3_large_100_torch": "mobilenetv3_large_100",
    "mobilenet_v3_small_100": "tf_mobilenetv3_small_100",
    "mobilenet_v3_large_minimalistic_100": "tf_mobilenetv3_large_minimal_100",
    "mobilenet_v4_conv_small_050": "mobilenetv4_conv_small_050",
    "mobilenet_v4_conv_small": "mobilenetv4_conv_small",
    "mobilenet_v4_conv_medium": "mobilenetv4_conv_medium",
    "mobilenet_v4_conv_large": "mobilenetv4_conv_large",
}
KERAS_HUB = {
    "mobilenet_v3_small_050_torch": "mobilenetv3_small_050",
    "mobilenet_v3_small_100_torch": "mobilenetv3_small_100",
    "mobilenet_v3_large_100_torch": "mobilenetv3_large_100",
}


def random_array(name, shape):
    """Values that name and shape decide: an ordinary network's, in which nothing dies or explodes."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    if len(shape) > 1:
        # PyTorch's kernels begin with the output channels, Keras's end with them.
        fan_in = np.prod(shape[1:]) if name.endswith(".weight") else np.prod(shape[:-1])
        return rng.normal(0, np.sqrt(1 / fan_in), shape).astype(np.float32)
    if name.rpartition(".")[2] in ("weight", "running_var", "gamma", "moving_variance"):
        return rng.uniform(0.5, 1.5, shape).astype(np.float32)
    return rng.normal(0, 0.1, shape).astype(np.float32)


def image():
    """One image of −1 … 1, (1, height, width, 3)."""
    return np.random.default_rng(7).uniform(-1, 1, (1, *SIZE, 3)).astype(np.float32)


def sampled(features):
    """Some of the values, by position; features are (1, height, width, channels)."""
    flat = np.asarray(features, np.float32).ravel()
    return flat[np.random.default_rng(flat.size).integers(0, flat.size, SAMPLED)]


def timm_features(name):
    """Shapes of the parameters of timm's network, and its features by level."""
    import torch

    try:
        import torchvision  # noqa: F401
    except Exception:
        # timm imports it at every turn and needs none of it to build a MobileNet.
        sys.meta_path.insert(0, _Absent())
    import timm

    torch.manual_seed(0)
    network = timm.create_model(name, features_only=True).eval()
    state = {
        key: value for key, value in network.state_dict().items() if not key.endswith("num_batches_tracked")
    }
    shapes = {key: tuple(value.shape) for key, value in state.items()}
    network.load_state_dict(
        {key: torch.from_numpy(random_array(key, shape)) for key, shape in shapes.items()}, strict=False
    )
    with torch.no_grad():
        features = network(torch.from_numpy(image().transpose(0, 3, 1, 2)))
    return shapes, {
        f"P{level}": feature.numpy().transpose(0, 2, 3, 1) for level, feature in enumerate(features, start=1)
    }


class _Absent(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Stands for a torchvision that does not load: every module exists, every name is an empty class."""

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] != "torchvision":
            return None
        return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec):
        return _AbsentModule(spec.name)

    def exec_module(self, module):
        module.__path__ = []


class _AbsentModule(types.ModuleType):
    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        import enum

        import torch

        if name == "InterpolationMode":
            return enum.Enum(name, "NEAREST NEAREST_EXACT BILINEAR BICUBIC BOX HAMMING LANCZOS")
        return type(name, (torch.nn.Module,), {})


def keras_hub_features(name):
    """Shapes of the variables of KerasHub's backbone by `layer.variable`, and its features by level."""
    import keras
    from keras_hub.models import MobileNetBackbone
    from keras_hub.src.utils.timm.convert_mobilenet import convert_backbone_config

    backbone = MobileNetBackbone(**convert_backbone_config({"architecture": name}))
    shapes = {}
    with tempfile.TemporaryDirectory() as directory:
        # The file is what a user has: its names are the ones to be converted.
        path = Path(directory) / "model.weights.h5"
        backbone.save_weights(path)
        for layer, variables in _named_variables(backbone, path).items():
            for index, variable in enumerate(variables):
                key = f"{layer}.{_VARIABLES[len(variables)][index]}"
                shapes[key] = tuple(variable.shape)
                variable.assign(random_array(key, shapes[key]))
    model = keras.Model(backbone.input, _levels(backbone))
    return shapes, {level: np.asarray(value) for level, value in model.predict(image(), verbose=0).items()}


_VARIABLES = {
    1: ("kernel",),
    2: ("kernel", "bias"),
    4: ("gamma", "beta", "moving_mean", "moving_variance"),
}


def _named_variables(backbone, path):
    """Variables by the layer name that the file gives them."""
    import h5py

    named = {}
    with h5py.File(path) as file:

        def visit(key, item):
            if isinstance(item, h5py.Group) and "name" in item.attrs and len(item):
                named[item.attrs["name"]] = [item[str(index)].shape for index in range(len(item))]

        file.visititems(visit)
    layers = {layer.name: layer for layer in backbone._flatten_layers() if layer.weights}
    for name, shapes in named.items():
        assert [tuple(weight.shape) for weight in layers[name].weights] == shapes, name
    return {name: layers[name].weights for name in named}


def _levels(backbone):
    """The tensors that our levels stand for: the last block at each stride, the stem, the last convolution."""
    blocks = [layer for layer in backbone.layers if layer.name.startswith("block_")]
    stem = blocks[0].input
    stage, levels = 1, {"P1": stem}
    for block in blocks[:-1]:
        stage += getattr(block, "stride", 1) == 2
        levels[f"P{stage}"] = block.output
    return {**levels, f"P{stage}": blocks[-1].output}


SOURCES = {"timm": (TIMM, timm_features), "keras_hub": (KERAS_HUB, keras_hub_features)}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", choices=SOURCES)
    parser.add_argument("--check", action="store_true", help="compare with the files, write nothing")
    arguments = parser.parse_args()
    variants, features_of = SOURCES[arguments.source]
    HERE.mkdir(exist_ok=True)
    for variant, name in variants.items():
        shapes, features = features_of(name)
        path = HERE / f"{variant}.{arguments.source}.npz"
        samples = {level: sampled(values) for level, values in features.items()}
        if arguments.check:
            with np.load(path) as golden:
                for level, values in samples.items():
                    np.testing.assert_allclose(values, golden[level], atol=1e-4 * np.abs(values).max())
        else:
            np.savez_compressed(path, shapes=np.array(json.dumps(shapes)), **samples)
        spread = {level: f"{values.std():.3g}" for level, values in features.items()}
        print(variant, len(shapes), "arrays; deviation", spread, f"{path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
