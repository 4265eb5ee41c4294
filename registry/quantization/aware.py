"""From a trained model to one that computes as its quantized file will: what is rounded where."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from registry.backend import keras
from registry.compression import kernel_attribute
from registry.config.quantization import QuantizationConfig
from registry.errors import QuantizationError, nearest
from registry.models.graph import Graph, Node
from registry.quantization.quantizers import FixedRange
from registry.quantization.rules import Fixed, Own, Rule, Rules, Same, rule_of
from registry.quantization.wrapper import LayerQuantization, QuantizedLayer
from registry.rewrites import drop_final_activation, inference_form

__all__ = ["Placement", "place", "quantized_layers", "to_keras"]

_BITS = {"int8": 8, "int16x8": 16}
# Their kernels apply a ReLU themselves; convolutions have taken theirs up in the inference form.
_FUSING = (keras.layers.Add, keras.layers.Subtract, keras.layers.Multiply)


@dataclass
class Placement:
    """Where a model is rounded.

    Args:
        graph: its inference form.
        config: what it is quantized to.
        rules: name of a node → its rule.
        excluded: names of nodes that compute in floating point; their results are rounded for those who read them.
        fused: names of sums and products whose kernel applies the ReLU behind them, so that they are not rounded.
        groups: name of a node → the group of tensors of one range that it belongs to.
        input_range: smallest and largest value of the input.
        momentum: of the observers.
    """

    graph: Graph
    config: QuantizationConfig
    rules: dict[str, Rule]
    excluded: set[str]
    fused: set[str]
    groups: dict[str, str]
    input_range: tuple[float, float]
    momentum: float = 0.99
    shared: dict[str, dict[str, Any]] = field(default_factory=dict)

    @property
    def bits(self) -> int:
        """Of activations."""
        return _BITS[self.config.scheme]


def place(
    model: Any,
    config: QuantizationConfig,
    rules: Rules,
    *,
    momentum: float = 0.99,
) -> Placement:
    """Find out what is rounded where.

    Args:
        model: a segmenter of atrous.
        config: what it is quantized to.
        rules: of layers that are not known here; they go before the known ones.
        momentum: of the observers.

    Raises:
        QuantizationError: a layer has no rule, or `exclude` names none.
    """
    activations: Any = "int8" if config.scheme == "int8" else "int16"
    form, _ = inference_form(model, activations=activations)
    graph = Graph.of(form)
    drop_final_activation(graph)
    excluded = _excluded(graph, config.exclude)
    found = _rules(graph, excluded, rules)
    if _BITS[config.scheme] == 8:
        found = {name: _with_one_scale(rule, graph[name], model) for name, rule in found.items()}
    return Placement(
        graph,
        config,
        found,
        excluded,
        _fused(graph, found),
        _groups(graph, found),
        _input_range(model),
        momentum=momentum,
    )


def to_keras(placement: Placement) -> tuple[Any, Any]:
    """Build the functional graph, rounded.

    Returns:
        Input and output tensor.
    """
    graph = placement.graph
    (name,) = graph.inputs
    image = keras.layers.Input(graph[name].shape[1:], name=name)
    tensors = {name: _InputRounding(placement, name=f"{name}_rounded")(image)}
    for node in graph:
        if node.name in tensors:
            continue
        layer = _layer(node, placement)
        arguments, keywords = node.substituted(tensors)
        tensors[node.name] = layer(*arguments, **keywords)
        if node.weights:
            (layer.layer if isinstance(layer, QuantizedLayer) else layer).set_weights(node.weights)
    return image, tensors[graph.outputs[0]]


def quantized_layers(model: Any) -> dict[str, QuantizedLayer]:
    """The layers of a model that round, by name."""
    return {layer.name: layer for layer in model.layers if isinstance(layer, QuantizedLayer)}


def _layer(node: Node, placement: Placement) -> Any:
    layer = node.layer.from_config(dict(node.config))
    rule = placement.rules.get(node.name)
    group = placement.groups[node.name]
    if rule is None or node.name in placement.fused or (isinstance(rule, Same) and not rule.blends):
        return layer
    config = LayerQuantization(
        rule,
        activation_bits=placement.bits,
        momentum=placement.momentum,
        shared=placement.shared.setdefault(group, {}),
    )
    return QuantizedLayer(layer, config)


class _InputRounding(keras.layers.Layer):
    """The input, rounded to what pixels become by the model's normalization."""

    def __init__(self, placement: Placement, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._quantizer = FixedRange(*placement.input_range, placement.bits)

    def call(self, inputs: Any) -> Any:
        """Round."""
        return self._quantizer(inputs, False, {})


def _excluded(graph: Graph, patterns: Iterable[str]) -> set[str]:
    names = [node.name for node in graph]
    excluded: set[str] = set()
    for pattern in patterns:
        found = [name for name in names if fnmatchcase(name, pattern)]
        if not found:
            raise QuantizationError(
                "`exclude` names layers of the model's inference form, or patterns that match some",
                received=pattern,
                repair=nearest(pattern, names),
            )
        excluded.update(found)
    return excluded


def _rules(graph: Graph, excluded: set[str], others: Rules) -> dict[str, Rule]:
    found: dict[str, Rule] = {}
    unknown: list[QuantizationError] = []
    for node in graph:
        if node.name in graph.inputs:
            continue
        if node.name in excluded:
            # Its kernel stays as it is; whoever reads its result reads integers.
            found[node.name] = Own()
            continue
        try:
            found[node.name] = rule_of(node.layer.from_config(dict(node.config)), others)
        except QuantizationError as error:
            unknown.append(error)
    if unknown:
        listed = "; ".join(str(error.received) for error in unknown[:12])
        more = f" and {len(unknown) - 12} more" if len(unknown) > 12 else ""
        raise QuantizationError(unknown[0].rule, received=listed + more, repair=unknown[0].repair)
    return found


def _with_one_scale(rule: Rule, node: Node, model: Any) -> Rule:
    """A clustered kernel has one scale: with one for each channel, each of its values would become as many integers."""
    compression = getattr(model, "compression", None)
    if compression is None or not compression.shares(node.name):
        return rule
    kernel = kernel_attribute(node.layer)
    if kernel is None or not isinstance(rule, Own) or kernel not in (rule.kernels or {}):
        return rule
    return Own({**(rule.kernels or {}), kernel: ()})


def _fused(graph: Graph, rules: Mapping[str, Rule]) -> set[str]:
    fused = set()
    for node in graph:
        if node.name not in rules or not _is_fusable_relu(node):
            continue
        source = graph[node.inputs[0]]
        is_alone = graph.only_consumer(source.name) is node
        if is_alone and source.name in rules and source.is_a(*_FUSING):
            fused.add(source.name)
    return fused


def _is_fusable_relu(node: Node) -> bool:
    """Whether it is a ReLU or ReLU6, which kernels apply as they write their result."""
    if node.is_a(keras.layers.Activation):
        return node.config["activation"] in ("relu", "relu6")
    return (
        node.is_a(keras.layers.ReLU)
        and not node.config["negative_slope"]
        and not node.config["threshold"]
        and node.config["max_value"] in (None, 6, 6.0)
    )


def _groups(graph: Graph, rules: Mapping[str, Rule]) -> dict[str, str]:
    """Tensors that a moving layer reads and gives have one range, however long the chain of such layers is."""
    leader = {node.name: node.name for node in graph}

    def find(name: str) -> str:
        while leader[name] != name:
            name = leader[name]
        return name

    for node in graph:
        if not isinstance(rules.get(node.name), Same):
            continue
        for source in node.inputs:
            # A fixed range stays what it is; the file converts where the two meet.
            is_fixed = isinstance(rules.get(source), Fixed) or source in graph.inputs
            if source in rules and not is_fixed:
                leader[find(source)] = find(node.name)
    return {node.name: find(node.name) for node in graph}


def _input_range(model: Any) -> tuple[float, float]:
    """What the darkest and the brightest pixel become."""
    preprocessor = getattr(model, "preprocessor", None)
    return (0.0, 255.0) if preprocessor is None else preprocessor.range_of_pixels()
