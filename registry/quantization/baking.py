"""From a model that rounds to a plain graph with fixed ranges: what the converter makes integers of.

Kernels are stored rounded; the converter finds the same scales in them again. Ranges of activations are constants of
fake quantization behind each result, which become the scales of the file's tensors.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from registry.backend import keras, tf
from registry.models.graph import Graph, Node, Ref
from registry.quantization.quantizers import KernelRounding, whole_range
from registry.quantization.rules import Fixed, Own, Same, Steps
from registry.quantization.segmenter import QuantizedSegmenter
from registry.quantization.wrapper import QuantizedLayer
from registry.rewrites import average_by_convolution, drop_padding_taps, fold_stem_into_depth

__all__ = ["FixedRounding", "bake"]

_OUTPUT = "output"


@keras.saving.register_keras_serializable(package="atrous")
class FixedRounding(keras.layers.Layer):
    """Rounds to a range that no longer changes.

    Args:
        low: smallest value.
        high: largest value.
        bits: of the integers.
    """

    def __init__(self, low: float, high: float, bits: int = 8, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.low, self.high, self.bits = low, high, bits

    def call(self, inputs: Any) -> Any:
        """Round; shape and dtype stay as they are."""
        return _rounded(inputs, (self.low, self.high), self.bits)

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {**super().get_config(), "low": self.low, "high": self.high, "bits": self.bits}


class _Around(keras.layers.Layer):
    """A layer in whose computing something is rounded.

    What it rounds by may be code, so it lives only as long as the conversion.

    Args:
        layer: the layer.
    """

    def __init__(self, layer: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._layer = layer

    def build(self, input_shape: Any) -> None:
        """Build the layer, whose variables are this one's."""
        if not self._layer.built:
            self._layer.build(input_shape)
        super().build(input_shape)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The layer's."""
        return self._layer.compute_output_shape(input_shape)

    def get_config(self) -> dict[str, Any]:
        """Class and configuration of the layer."""
        return {
            **super().get_config(),
            "layer": type(self._layer),
            "layer_config": self._layer.get_config(),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """Make it of the layer's own class and configuration."""
        parts = dict(config)
        layer = parts.pop("layer").from_config(parts.pop("layer_config"))
        return cls(layer, **parts)


class _Stepped(_Around):
    """A layer of several operations, with fixed ranges in between."""

    def __init__(
        self, layer: Any, rule: Steps, ranges: dict[str, tuple[float, float]], bits: int, **kwargs: Any
    ) -> None:
        super().__init__(layer, **kwargs)
        self._rule, self._ranges, self._bits = rule, ranges, bits

    def call(self, inputs: Any) -> Any:
        """Compute, rounding each result in between."""
        return self._rule.compute(
            self._layer, inputs, lambda name, value: _rounded(value, self._ranges[name], self._bits)
        )

    def get_config(self) -> dict[str, Any]:
        """What it is made of."""
        return {**super().get_config(), "rule": self._rule, "ranges": self._ranges, "bits": self._bits}


class _WholeKernel(_Around):
    """A layer whose kernel is rounded with one scale.

    Args:
        layer: the layer.
        attribute: that holds its kernel.
        reach: greatest magnitude in it.
    """

    def __init__(self, layer: Any, attribute: str, reach: float, **kwargs: Any) -> None:
        super().__init__(layer, **kwargs)
        self._attribute, self._reach = attribute, reach

    def call(self, inputs: Any) -> Any:
        """Compute with the rounded kernel."""
        kernel = getattr(self._layer, self._attribute)
        rounded = tf.quantization.fake_quant_with_min_max_args(
            kernel, -self._reach, self._reach, narrow_range=True
        )
        try:
            object.__setattr__(self._layer, self._attribute, rounded)
            return self._layer.call(inputs)
        finally:
            object.__setattr__(self._layer, self._attribute, kernel)

    def get_config(self) -> dict[str, Any]:
        """What it is made of."""
        return {**super().get_config(), "attribute": self._attribute, "reach": self._reach}


def _surround(node: Node, kind: type[_Around], **parts: Any) -> None:
    """Put a layer around a node's, in its place."""
    node.config = {"layer": node.layer, "layer_config": dict(node.config), "name": node.name, **parts}
    node.layer = kind


def bake(
    model: QuantizedSegmenter, size: tuple[int, int], *, activations: bool = True
) -> tuple[Any, dict[str, int]]:
    """Make the graph that is converted.

    Args:
        model: whose weights and ranges are fixed.
        size: input height and width in pixels, in which some more rewrites are exact.
        activations: False rounds kernels alone.

    Returns:
        A functional `tf_keras.Model`, and how often each rewrite applied.
    """
    graph = Graph.of(_with_ranges(model, activations=activations).to_keras(), size)
    rewrites = [drop_padding_taps]
    if model.placement.bits == 8:  # of 16 bits there is no SPACE_TO_DEPTH, and no delegate to stay in
        rewrites += [fold_stem_into_depth, average_by_convolution]
    applied = {rewrite.__name__: rewrite(graph) for rewrite in rewrites}
    if activations:
        _round_whole_kernels(graph, model)
    return graph.to_keras(), applied


def _with_ranges(model: QuantizedSegmenter, *, activations: bool) -> Graph:
    placement, layers = model.placement, model.rounding_layers
    source = placement.graph
    graph = Graph(source.name, [replace(node) for node in source], list(source.inputs), list(source.outputs))
    if activations:
        (name,) = graph.inputs
        _append(graph, graph[name], placement.input_range, placement.bits)
    for node in list(graph):
        if node.name not in layers:
            own = (
                model.get_layer(node.name)
                if node.name not in graph.inputs and node.layer is not FixedRounding
                else None
            )
            if own is not None and own.weights:
                node.weights = own.get_weights()
            continue
        layer = layers[node.name]
        node.weights = _rounded_weights(layer)
        if not activations:
            continue
        rule = placement.rules[node.name]
        ranges = {name: _values(variables, placement.bits) for name, variables in layer.ranges.items()}
        if isinstance(rule, Steps):
            inner = {name: ranges[name] for name in rule.names}
            _surround(node, _Stepped, rule=rule, ranges=inner, bits=placement.bits)
        if isinstance(rule, Fixed):
            if not _is_known_to_kernels(layer.layer):
                _append(graph, node, (rule.low, rule.high), placement.bits)
        elif isinstance(rule, Same):
            shared = placement.shared[placement.groups[node.name]]
            _append(graph, node, _values(shared, placement.bits), placement.bits)
        else:
            _append(graph, node, ranges[_OUTPUT], placement.bits)
    return graph


def _round_whole_kernels(graph: Graph, model: QuantizedSegmenter) -> None:
    """State the one scale of kernels that have one: by itself the converter gives each channel its own."""
    for node in graph:
        rule = model.placement.rules.get(node.name)
        kernels = rule.kernels if isinstance(rule, Own) else None
        for attribute, axes in (kernels or {}).items():
            if not axes:
                reach = float(np.abs(node.weights[0]).max()) or 1.0  # a kernel of zeros has any scale
                _surround(node, _WholeKernel, attribute=attribute, reach=reach)


def _rounded_weights(layer: QuantizedLayer) -> list[np.ndarray]:
    """The layer's weights, kernels rounded."""
    config = layer.quantize_config
    rounded = {
        getattr(layer.layer, name).ref(): KernelRounding(axes, config.weight_bits)
        for name, axes in config.kernels.items()
    }
    return [
        (rounded[variable.ref()](variable, False, {}) if variable.ref() in rounded else variable).numpy()
        for variable in layer.layer.weights
    ]


def _values(variables: dict[str, Any], bits: int) -> tuple[float, float]:
    low, high = whole_range(variables["min"], variables["max"], bits)
    return float(low), float(high)


def _is_known_to_kernels(layer: Any) -> bool:
    """Whether TFLite's kernel fixes the range itself: a sigmoid's or softmax's scale is 1/256, a tanh's 1/128."""
    if isinstance(layer, keras.layers.Softmax):
        return True
    if not isinstance(layer, keras.layers.Activation):
        return False
    return keras.activations.serialize(layer.activation) in ("sigmoid", "softmax", "tanh")


def _append(graph: Graph, node: Node, limits: tuple[float, float], bits: int) -> None:
    """Round what everybody reads of a node."""
    layer = FixedRounding(*limits, bits, name=f"{node.name}_range")
    added = graph.add(
        Node(
            name=layer.name,
            layer=FixedRounding,
            config=layer.get_config(),
            arguments=(Ref(node.name),),
            shape=node.shape,
        )
    )
    graph.redirect(node.name, added.name)
    added.arguments = (Ref(node.name),)


def _rounded(value: Any, limits: tuple[float, float], bits: int) -> Any:
    return tf.quantization.fake_quant_with_min_max_args(value, *limits, num_bits=bits)
