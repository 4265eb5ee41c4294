"""From a weights file of tf_keras.applications to the layers of the encoder.

Most names are the same. What differs is told from the arrays: layers that the file counts through a session, first
convolutions that expect BGR, and layers that the encoder has in another form. NumPy only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from registry_keras_applications.variants import application_of

__all__ = ["convert"]

Layers = dict[str, Sequence[Any]]

# Classes whose layers some of the networks leave without a name, so that Keras counts them: `conv2d_7`.
_COUNTED = ("conv2d", "batch_normalization", "layer_normalization")


def convert(variant: str, arrays: Mapping[str, Sequence[Any]]) -> Layers | None:
    """Name and arrange the arrays of a file.

    Args:
        variant: whose file it is.
        arrays: layer → arrays, of a file that the network's own model wrote; what this encoder wrote stays as it is.

    Returns:
        Layer name → arrays in the order of the layer's variables; None if the file names parameters of PyTorch.
    """
    if all(len(held) == 1 for held in arrays.values()) and any(name.endswith(".weight") for name in arrays):
        return None
    family = application_of(variant).family
    converted: Layers = {}
    for name, held in _named_alike(variant, arrays):
        if name == family.first_layer_bgr:
            kernel = np.asarray(held[0])
            converted[f"{name}_rgb"] = [kernel[:, :, ::-1], *held[1:]]
            continue
        for part, part_held in _taken_apart(variant, name, held):
            converted[part] = [_in_our_shape(array) for array in part_held]
    return converted


def _named_alike(variant: str, arrays: Mapping[str, Sequence[Any]]) -> Iterator[tuple[str, Sequence[Any]]]:
    """Layers under the names that they have here; those of the preprocessing are left out.

    Wherever a file starts to count, its layers of one class were counted in the order in which they were built.
    """
    counted: dict[str, list[tuple[int, str]]] = {kind: [] for kind in _COUNTED}
    for name in arrays:
        match = re.fullmatch(rf"({'|'.join(_COUNTED)})(?:_(\d+))?", name)
        if match:
            counted[match[1]].append((int(match[2] or 0), name))
    names = {
        name: f"{variant}_{kind}_{index}"
        for kind, found in counted.items()
        for index, (_, name) in enumerate(sorted(found))
    }
    for name, held in arrays.items():
        if not re.fullmatch(r"normalization(_\d+)?", name):
            yield names.get(name, re.sub(r"^stem_\d+_", "stem_1_", name)), held


def _taken_apart(variant: str, name: str, held: Sequence[Any]) -> Iterator[tuple[str, Sequence[Any]]]:
    ranks = [len(array.shape) for array in held]
    if ranks[:2] == [4, 4]:
        # A separable convolution: a depthwise one and a 1×1 one.
        yield f"{name}_depthwise", held[:1]
        yield name, held[1:]
    elif match := re.fullmatch(r"(.+)_(stem|downsampling)(?:_block(_\d+))?", name):
        # ConvNeXt's nested models: the stem's convolution comes before its normalization, the others' after.
        first, second = ("conv", "layernorm") if ranks[0] == 4 else ("layernorm", "conv")
        yield f"{match[1]}_{match[2]}_{first}{match[3] or ''}", held[:2]
        yield f"{match[1]}_{match[2]}_{second}{match[3] or ''}", held[2:]
    else:
        yield name, held


def _in_our_shape(array: Any) -> Any:
    shape = tuple(array.shape)
    if len(shape) == 2:
        return array.reshape(1, 1, *shape)  # a dense layer, here a 1×1 convolution
    if len(shape) == 4 and shape[2] == 1 and shape[3] > 1:
        return array.transpose(0, 1, 3, 2)  # a convolution of one group per channel, here a depthwise one
    return array
