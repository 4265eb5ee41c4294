"""Names in TensorFlow 2's checkpoints, and what TF Model Garden's have in common, for plugins that convert them.

`tf.train.Checkpoint` names a variable by the shortest path through the objects that hold it:
`head/_classifier/kernel/.ATTRIBUTES/VARIABLE_VALUE`. What an optimizer keeps for it stands below it:
`head/_classifier/kernel/.OPTIMIZER_SLOT/optimizer/momentum/.ATTRIBUTES/VARIABLE_VALUE`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from registry.weights.arrays import StoredArray, stored

__all__ = ["is_object_layout", "numbered_layers", "object_layers", "under"]

_VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"
_SLOT = "/.OPTIMIZER_SLOT/"
_TRAINING_STATE = ("optimizer", "keras_api", "train_metrics", "validation_metrics")
# In the order of a Keras layer's variables.
_VARIABLES = ("kernel", "depthwise_kernel", "bias", "gamma", "beta", "moving_mean", "moving_variance")

# Where a backbone stands: beside its model, within it, in a classifier's graph, or alone.
_BACKBONES = ("backbone", "model/backbone", "model/layer_with_weights-0", "layer_with_weights-0", "model", "")


def is_object_layout(arrays: Collection[str]) -> bool:
    """Whether names are those of `tf.train.Checkpoint`."""
    return any(name.endswith(_VALUE) for name in arrays)


def under(arrays: Mapping[str, Sequence[Any]], path: str) -> dict[str, Sequence[Any]]:
    """The variables that an object holds, named as in a checkpoint of that object alone.

    Args:
        arrays: names of a checkpoint → one array.
        path: of the object; empty for all.
    """
    prefix = f"{path}/" if path else ""
    return {name.removeprefix(prefix): held for name, held in arrays.items() if name.startswith(prefix)}


def object_layers(arrays: Mapping[str, Sequence[Any]]) -> dict[str, list[StoredArray]]:
    """Gather the variables of a checkpoint by the layer that holds them.

    Optimizers with all that they keep beside the variables (moments, running averages), metrics and counters are left
    out.

    Args:
        arrays: names of a checkpoint → one array.

    Returns:
        Path of a layer → arrays: kernel, then bias; gamma, beta, moving mean, moving variance; what has another name
        after these.
    """
    layers: dict[str, dict[str, StoredArray]] = {}
    for name, (array,) in arrays.items():
        path, _, variable = name.removesuffix(_VALUE).rpartition("/")
        if path and _SLOT not in name and not set(path.split("/")) & set(_TRAINING_STATE):
            layers.setdefault(path, {})[variable] = stored(array)
    return {path: [held[name] for name in sorted(held, key=_position)] for path, held in layers.items()}


def _position(variable: str) -> tuple[int, str]:
    return (_VARIABLES.index(variable) if variable in _VARIABLES else len(_VARIABLES), variable)


def numbered_layers(
    arrays: Mapping[str, Sequence[Any]],
) -> list[tuple[str, dict[str, list[StoredArray]]]] | None:
    """Layers of the backbone that a checkpoint of TF Model Garden holds, in the order of its graph.

    Args:
        arrays: names of a checkpoint of a whole model, of a classifier or of a backbone → one array.

    Returns:
        Each of `layer_with_weights-0`, `-1`, …: its name, and part → arrays; `""` is the part of a layer that holds
        its variables itself. None if the names are no checkpoint's of that kind.
    """
    if not is_object_layout(arrays):
        return None
    layers = object_layers(arrays)
    for place in _BACKBONES:
        prefix = f"{place}/layer_with_weights-" if place else "layer_with_weights-"
        numbered: dict[int, dict[str, list[StoredArray]]] = {}
        for path, held in layers.items():
            match = re.fullmatch(r"(\d{1,6})(?:/(.+))?", path.removeprefix(prefix))
            if path.startswith(prefix) and match:
                numbered.setdefault(int(match[1]), {})[match[2] or ""] = held
        if numbered:
            return [(f"{prefix}{number}", numbered[number]) for number in sorted(numbered)]
    return None
