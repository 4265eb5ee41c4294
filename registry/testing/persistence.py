"""Does the encoder come back from a file, and do weights find their layers?"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from registry.assembly import load_model
from registry.backend import keras
from registry.errors import RegistryError, WeightsError
from registry.testing.outcomes import Finding
from registry.testing.subject import Subject
from registry.weights.assignment import assign

__all__ = ["check_save", "check_weights"]


def check_save(subject: Subject) -> Iterator[Finding]:
    """Write a `.keras` file, rebuild the graph from its configuration, and compare every bit of the results."""
    encoder = subject.randomized(min(subject.strides))
    image = subject.images(subject.probe, subject.probe)
    expected = encoder(image, training=False)
    with tempfile.TemporaryDirectory() as folder:
        encoder.save(Path(folder, "encoder.keras"))
        loaded = load_model(Path(folder, "encoder.keras"))
    yield from _same("the encoder's .keras file", loaded(image, training=False), expected)
    # The encoder asks its plugin again; a graph by itself depends on what each layer says of its arguments.
    graph = keras.Model(encoder.inputs, dict(encoder.pyramid_outputs))
    rebuilt = keras.Model.from_config(json.loads(json.dumps(graph.get_config())))
    rebuilt.set_weights(graph.get_weights())
    yield from _same("the graph's configuration", rebuilt(image, training=False), expected)


def _same(what: str, received: Mapping[str, Any], expected: Mapping[str, Any]) -> Iterator[Finding]:
    differing = [
        level
        for level in expected
        if level not in received or not np.array_equal(received[level].numpy(), expected[level].numpy())
    ]
    if differing:
        yield Finding(
            "what is saved must give the same results when it is loaded, bit by bit",
            f"{what} changes {', '.join(differing)}",
            "return every constructor argument from get_config of the plugin's own layers",
        )


def check_weights(subject: Subject) -> Iterator[Finding]:
    """Load arrays by layer name at another output stride, and show the conversion what is not its source's."""
    encoder = subject.randomized()
    arrays = {layer.name: layer.get_weights() for layer in encoder.layers if layer.weights}
    target = subject.encoder(min(subject.strides))
    target.set_weights([np.zeros_like(array) for array in target.get_weights()])
    try:
        assign(target.layers, arrays, source="the arrays of another build")
    except WeightsError as error:
        yield Finding(error.rule, str(error.received), "give layers the same names at every output stride")
        return
    different = [
        layer.name
        for layer in target.layers
        if not all(map(np.array_equal, layer.get_weights(), arrays.get(layer.name, [])))
    ]
    if different:
        yield Finding(
            "arrays must arrive unchanged", f"changed: {', '.join(different)}", "look at get_weights"
        )
    for source in subject.spec.weights:
        yield from _conversion_findings(subject, source, arrays, target)


def _conversion_findings(
    subject: Subject, source: str, arrays: dict[str, Any], target: Any
) -> Iterator[Finding]:
    """Arrays in the layers' own names need no conversion; arrays of nobody must be refused, not stumbled over."""
    converted = subject.loaded.convert_weights(subject.spec.name, source, arrays)
    try:
        assign(target.layers, converted, source=f"registry_convert_weights for {source!r}")
    except WeightsError as error:
        yield Finding(
            "arrays that are named and arranged as the layers must load: users pass paths of such files too",
            str(error.received),
            "recognize a source by the names in `arrays`, and return None for all others",
        )
    try:
        subject.loaded.convert_weights(subject.spec.name, source, {"not_a_layer.weight": [np.zeros((1,))]})
    except RegistryError as error:
        if error.__cause__ is not None and not isinstance(error.__cause__, RegistryError):
            yield Finding(
                "the conversion must pass on what it does not know",
                f"{type(error.__cause__).__name__} for source {source!r} with one foreign array",
                "return None where the names are not those of the source",
            )
