"""State dicts of PyTorch's libraries with drawn values: filled in a module there, written as a file here. NumPy only."""

import tempfile
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from seeded_arrays import seeded_image, torch_array


def drawn_variables(module, tensor):
    """Give every parameter of a module the values that both sides draw.

    Args:
        module: `torch.nn.Module`, changed in place.
        tensor: `torch.from_numpy`.

    Returns:
        Names and shapes, counters of batches left out.
    """
    state = module.state_dict()
    variables = [
        (name, tuple(value.shape))
        for name, value in state.items()
        if not name.endswith("num_batches_tracked")
    ]
    state |= {name: tensor(torch_array(name, shape)) for name, shape in variables}
    module.load_state_dict(state)
    return variables


def outputs(function, sizes):
    """Size → what `function` gives for the image of that size, (1, 3, height, width) → (1, classes, …), as NHWC."""
    found = {}
    for height, width in sizes:
        image = np.moveaxis(seeded_image(height, width), -1, 1).copy()
        found[f"{height}x{width}"] = np.moveaxis(function(image), 1, -1)
    return found


def loaded(build, variables):
    """What `build` makes of a `.safetensors` file that holds the drawn values."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.safetensors"
        save_file({name: torch_array(name, tuple(shape)) for name, shape in variables}, file)
        return build(file)
