"""Random weights and images that every environment draws alike, so that golden files hold outputs only.

NumPy only: the scripts that run another library import this module as well as our tests.
"""

import zlib

import numpy as np

SAMPLES = 500


def seeded_array(name, kind, shape, fan_in):
    """Draw the array of that name.

    Args:
        name: of the variable in its own library; decides the values.
        kind: `kernel`, `scale` (gamma and variance) or `shift` (beta, mean, bias).
        shape: in the library's own layout.
        fan_in: products that one output of a kernel sums.
    """
    generator = np.random.default_rng(zlib.crc32(name.encode()))
    if kind == "scale":
        values = generator.uniform(0.5, 1.5, shape)
    elif kind == "kernel":
        values = generator.normal(0.0, np.sqrt(2.0 / fan_in), shape)
    else:
        values = generator.normal(0.0, 0.1, shape)
    return values.astype(np.float32)


def seeded_image(height, width):
    """(1, height, width, 3), in the range of normalized pixels."""
    return (
        np.random.default_rng(height * 10_000 + width).uniform(-1.0, 1.0, (1, height, width, 3)).astype("f4")
    )


def sampled(values):
    """About SAMPLES values spread over a whole tensor, all of a small one; every channel and row occurs."""
    flat = np.asarray(values, np.float32).reshape(-1)
    step = max(1, flat.size // SAMPLES)
    # Odd steps are coprime to the powers of two that sizes and channels are made of.
    return flat[:: step | 1]


def keras_kind(variable):
    """Kind of a Keras variable by its own name."""
    if variable in ("gamma", "moving_variance"):
        return "scale"
    return "shift" if variable in ("beta", "moving_mean", "bias") else "kernel"


def keras_array(layer, variable, shape):
    """Array of a Keras layer's variable: `conv1_conv`, `kernel`."""
    axes = shape[:2] if variable == "depthwise_kernel" else shape[:-1]
    return seeded_array(f"{layer}/{variable}", keras_kind(variable), shape, int(np.prod(axes)))


def torch_array(parameter, shape):
    """Array of a PyTorch parameter: `stem.0.conv.weight`."""
    kind = "kernel" if len(shape) > 1 else "scale"
    if parameter.endswith(("bias", "running_mean")):
        kind = "shift"
    return seeded_array(parameter, kind, shape, int(np.prod(shape[1:])))


def garden_array(name, shape):
    """Array of a variable of TF Model Garden's checkpoints; None for what is no part of the network."""
    path = name.removesuffix("/.ATTRIBUTES/VARIABLE_VALUE")
    if "/.OPTIMIZER_SLOT/" in name or not path.startswith(("backbone/", "decoder/", "head/", "model/")):
        return None
    layer, _, variable = path.rpartition("/")
    return keras_array(layer, variable, shape)
