"""Names in TensorFlow 2's checkpoints, and what TF Model Garden's have in common, for plugins that convert them.

`tf.train.Checkpoint` names a variable by the shortest path through the objects that hold it:
`head/_classifier/kernel/.ATTRIBUTES/VARIABLE_VALUE`. What an optimizer keeps for it stands below it:
`head/_classifier/kernel/.OPTIMIZER_SLOT/optimizer/momentum/.ATTRIBUTES/VARIABLE_VALUE`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from registry.errors import WeightsFormatError
from registry.weights.arrays import StoredArray, stored
from registry.weights.checkpoints import OBJECT_GRAPH
from registry.weights.messages import BYTES, VARINT, fields

__all__ = ["children", "is_object_layout", "numbered_layers", "object_layers", "under"]

_VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"
_SLOT = "/.OPTIMIZER_SLOT/"
_MOST_FIELDS = 200_000
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
        if (
            name.endswith(_VALUE)
            and path
            and _SLOT not in name
            and not set(path.split("/")) & set(_TRAINING_STATE)
        ):
            layers.setdefault(path, {})[variable] = stored(array)
    return {path: [held[name] for name in sorted(held, key=_position)] for path, held in layers.items()}


def children(arrays: Mapping[str, Sequence[Any]], path: str) -> frozenset[str]:
    """What an object of a checkpoint holds, layers without variables included.

    Args:
        arrays: names of a checkpoint → one array.
        path: of the object.

    Returns:
        Its children's names, as the graph of objects in the file has them; nothing if the file has no such graph, or
        the graph no such object.

    Raises:
        WeightsFormatError: the graph is damaged.
    """
    if OBJECT_GRAPH not in arrays:
        return frozenset()
    graph = np.asarray(arrays[OBJECT_GRAPH][0]).tobytes()
    try:
        nodes = [held for number, kind, held in _bounded(graph) if number == 1 and kind == BYTES]
        held = _children(nodes[0])
        for name in filter(None, path.split("/")):
            if name not in held:
                return frozenset()
            held = _children(nodes[held[name]])
    except (ValueError, IndexError, KeyError) as error:
        raise WeightsFormatError(
            "the graph of objects in a TensorFlow checkpoint is a tree of messages",
            received=f"{OBJECT_GRAPH}: {error}",
            repair="download it again",
        ) from error
    return frozenset(held)


def _bounded(message: bytes) -> Iterator[tuple[int, int, Any]]:
    """Fields of a message; each costs far more than the two bytes that it may have, so that they are counted."""
    for count, field in enumerate(fields(message)):
        if count == _MOST_FIELDS:
            raise ValueError(f"a message of more than {_MOST_FIELDS:,} fields")
        yield field


def _children(node: bytes) -> dict[str, int]:
    """Name → number of the node."""
    found = {}
    for number, kind, message in _bounded(node):
        if number == 1 and kind == BYTES:
            held = {(at, kind): value for at, kind, value in _bounded(message)}
            found[held.get((2, BYTES), b"").decode("utf-8")] = held.get((1, VARINT), 0)
    return found


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
