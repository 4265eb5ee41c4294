"""Is the pyramid what was promised, at every size and output stride, and is the graph one that can be worked on?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from registry.backend import keras
from registry.models.encoder import pyramid_shapes
from registry.pyramid import reported_stride
from registry.testing.heads import head_names
from registry.testing.outcomes import Finding
from registry.testing.subject import Subject
from registry.weights.saved_layers import tensor_names

__all__ = ["check_deterministic", "check_flat", "check_pyramid", "check_sizes"]

_SHOWN = 6
_OPERATION_LAYERS = ("TFOpLambda", "SlicingOpLambda", "ClassMethod", "InstanceProperty", "InstanceMethod")


def check_pyramid(subject: Subject) -> Iterator[Finding]:
    """Infer the shapes at several sizes, smallest, not square and odd, at every output stride; nothing is run."""
    for stride in subject.strides:
        encoder = subject.encoder(stride)  # held to the contract at two sizes while it is built
        shapes = pyramid_shapes(encoder.inputs[0], encoder.pyramid_outputs, _sizes(subject))
        for size, levels in shapes.items():
            yield from _shape_findings(levels, size, stride)


def check_sizes(subject: Subject) -> Iterator[Finding]:
    """Run the network at each size, and build it for a fixed one, at the largest and the smallest output stride."""
    for stride in sorted({min(subject.strides), max(subject.strides)}):
        encoder = subject.randomized(stride)
        for size in _sizes(subject):
            levels = encoder(subject.images(*size), training=False)
            yield from _shape_findings({level: tuple(x.shape) for level, x in levels.items()}, size, stride)
            inferred = encoder.compute_output_shape((1, *size, 3))
            for level, x in levels.items():
                if tuple(inferred[level]) != tuple(x.shape):
                    yield Finding(
                        "inferred shapes must be those of the results",
                        f"{level} at {_where(size, stride)}: inferred {inferred[level]}, run {x.shape}",
                        "correct compute_output_shape of the plugin's own layers",
                    )
                if not np.isfinite(x.numpy()).all():
                    yield Finding(
                        "results must be finite",
                        f"{level} at {_where(size, stride)} has NaN or infinite values",
                        "look for a division by a statistic that may be 0",
                    )
    stride, size = min(subject.strides), (subject.probe, subject.probe + subject.unit)
    fixed = subject.build(stride, size)
    yield from _shape_findings(
        {level: (1, *x.shape[1:]) for level, x in fixed.pyramid_outputs.items()},
        size,
        stride,
        how=" fixed in the graph",
    )


def _sizes(subject: Subject) -> tuple[tuple[int, int], ...]:
    side, unit, smallest = subject.probe, subject.unit, subject.spec.min_size
    return (smallest, smallest), (side, side + unit), (side + 1, side + unit // 2 + 3)


def _shape_findings(
    levels: Mapping[str, Sequence[int | None]], size: tuple[int, int], stride: int, how: str = ""
) -> Iterator[Finding]:
    where = _where(size, stride) + how
    by_stride: dict[int, tuple[str, tuple[int | None, ...]]] = {}
    for level, shape in levels.items():
        promised = reported_stride(level, stride)
        extents = tuple(shape[1:3])
        # An odd rest may be padded or left out; both are common, and decoders resize to what they get.
        allowed = [{max(1, extent // promised), -(-extent // promised)} for extent in size]
        if any(extent not in fit for extent, fit in zip(extents, allowed, strict=True)):
            yield Finding(
                f"{level} must have stride {promised}, its size rounded down or up, and one pixel at least",
                f"{extents[0]}×{extents[1]} pixels at {where}",
                "correct strides and padding of the graph, or min_size of the EncoderSpec",
            )
        other, expected = by_stride.setdefault(promised, (level, extents))
        if extents != expected:
            yield Finding(
                "levels of one stride must have one size, or no decoder can join them",
                f"{other} has {expected}, {level} has {extents} at {where}",
                "pad alike at every stage",
            )


def _where(size: tuple[int, int], stride: int) -> str:
    return f"input {size[0]}×{size[1]}, output stride {stride}"


def check_flat(subject: Subject) -> Iterator[Finding]:
    """Look at every layer: no model in a model, no code in a graph, no name that a head needs."""
    try:
        encoder = subject.encoder()
    except Exception:
        # A TensorFlow function in the graph keeps its shapes from being inferred; it can be looked at all the same.
        encoder = subject.unchecked_graph()
    layers = encoder.layers
    nested = [layer.name for layer in layers if isinstance(layer, keras.Model)]
    if nested:
        yield Finding(
            "the graph must be flat: quantization refuses a model in a model, and rewrites do not see into it",
            f"nested: {_listed(nested)}",
            "apply the inner model's layers to the tensor one by one",
        )
    lambdas = [layer.name for layer in layers if isinstance(layer, keras.layers.Lambda)]
    if lambdas:
        yield Finding(
            "a graph must not hold code: loading a Lambda layer runs whatever the file says",
            f"Lambda: {_listed(lambdas)}",
            "use a layer of tf_keras or registry.models, or register a layer class of your own",
        )
    operations = [layer.name for layer in layers if type(layer).__name__ in _OPERATION_LAYERS]
    if operations:
        yield Finding(
            "every operation must be a layer: quantization cannot annotate a TensorFlow function",
            f"operations on KerasTensors: {_listed(operations)}",
            "use Add, Multiply, Concatenate, Rescaling … and registry.models.activations in place of + * tf.…",
        )
    taken = sorted({layer.name for layer in layers} & head_names())
    if taken:
        yield Finding(
            "names of layers must leave those of the heads free",
            _listed(taken),
            "put the encoder's own word in front of these names",
        )
    # The nodes of this graph; a layer itself also remembers graphs that it was replayed in.
    uses = Counter(node.layer.name for nodes in encoder._nodes_by_depth.values() for node in nodes)
    shared = [
        f"{layer.name} ×{uses[layer.name]}" for layer in layers if layer.weights and uses[layer.name] > 1
    ]
    if shared:
        yield Finding(
            "a layer with weights must be applied once: a rewrite of one place would change the others",
            _listed(shared),
            "make one layer per use",
        )


def check_deterministic(subject: Subject) -> Iterator[Finding]:
    """Build again, and at every output stride: files of weights know layers by name."""
    first = _weights_of(subject.encoder())
    builds = [("a second build", subject.build(max(subject.strides)))]
    builds += [(f"output stride {stride}", subject.encoder(stride)) for stride in subject.strides[1:]]
    for what, model in builds:
        other = _weights_of(model)
        if list(first) != list(other) and set(first) != set(other):
            differing = sorted(set(first) ^ set(other))
            yield Finding(
                "layers with weights must have the same names in every build",
                f"{what} differs in {_listed(differing)}",
                "name every layer, by its place and never by a counter",
            )
            continue
        if list(first) != list(other):
            yield Finding(
                "layers with weights must come in the same order in every build, for set_weights",
                f"{what} has another order",
                "create layers in the same order at every output stride",
            )
        shapes = [name for name in first if first[name] != other[name]]
        if shapes:
            yield Finding(
                "weights must have the same shapes at every output stride: published ones were trained at one",
                f"{what} differs in {_listed(shapes)}",
                "change strides and dilation rates only",
            )
        differing = sorted(set(tensor_names(subject.encoder().layers)) ^ set(tensor_names(model.layers)))
        if differing:
            yield Finding(
                "variables must have the same names in every build: a saved preset knows them by name",
                f"{what} differs in {_listed(differing)}",
                "name the layers within a layer, or give it variables of its own",
            )


def _weights_of(model: Any) -> dict[str, list[tuple[int, ...]]]:
    return {layer.name: [tuple(v.shape) for v in layer.weights] for layer in model.layers if layer.weights}


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown} and {len(names) - _SHOWN} more"
