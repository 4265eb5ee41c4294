"""Networks of tf_keras.applications in the form that an encoder has here: flat, of plain layers, sizes rounded up.

Each step takes a graph and changes it in place. None changes what the network computes, but for `same` padding in the
stems of Inception, Xception and NASNet: those pad nothing, so that their maps are not the image's size over the
stride; padded, they have the same features, except at the border.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from registry.backend import keras, tf
from registry.models.activations import GELU, HardSigmoid, HardSwish, Swish
from registry.models.graph import Graph, Node, Ref
from registry.models.layers import AtrousConv2D

__all__ = ["LayerScale", "normalize", "rename"]

layers = keras.layers

_WINDOWS = (
    layers.Conv2D,
    layers.DepthwiseConv2D,
    layers.SeparableConv2D,
    layers.MaxPooling2D,
    layers.AveragePooling2D,
)
_SUM, _PRODUCT = "__operators__.add", "math.multiply"


@keras.saving.register_keras_serializable(package="registry_keras_applications")
class LayerScale(keras.layers.Layer):
    """A factor per channel that is learnt (arXiv:2103.17239), as tf_keras.applications has it in ConvNeXt.

    Args:
        init_values: value that each factor starts with.
    """

    def __init__(self, init_values: float = 1e-6, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.init_values = init_values

    def build(self, input_shape: Any) -> None:
        """Create one factor per channel."""
        self.gamma = self.add_weight(
            name="gamma",
            shape=(input_shape[-1],),
            initializer=keras.initializers.Constant(self.init_values),
        )
        super().build(input_shape)

    def call(self, inputs: Any) -> Any:
        """Scale each channel."""
        return inputs * self.gamma

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments."""
        return {**super().get_config(), "init_values": self.init_values}


def normalize(graph: Graph, variant: str) -> None:
    """Bring the graph of an application into the form that an encoder has here.

    Args:
        graph: of a model of tf_keras.applications, flat, without head.
        variant: name of the variant, which becomes part of names that Keras would count through the session.
    """
    name_alike(graph, variant)
    for step in (
        _drop_preprocessing_and_identities,
        _functions_to_layers,
        _hard_swish,
        _scaled_sums,
        _activations_apart,
        _squeeze_at_rank_4,
        _separable_apart,
        _dense_to_pointwise,
        _grouped_to_depthwise,
        _round_sizes_up,
    ):
        step(graph)


def name_alike(graph: Graph, variant: str) -> None:
    """Give layers that were built without a name one that does not depend on what was built before.

    Keras counts such layers through the session, `conv2d_7`; here each class is counted through the network, and the
    name starts with the variant's, so that it meets no other's.
    """
    counted: dict[str, list[tuple[int, str]]] = {}
    renamed: dict[str, str] = {}
    for node in graph.nodes.values():
        kind = _snake_case(node.layer.__name__)
        counter = re.fullmatch(rf"{kind}(?:_(\d+))?", node.name)
        if node.layer.__name__ == "TFOpLambda":
            kind = {_SUM: "sum", _PRODUCT: "product"}.get(node.config["function"], "function")
            counter = re.fullmatch(r"tf\.[a-z_.]*?[a-z](?:_(\d+))?", node.name)
        if counter is not None and not node.is_a(layers.InputLayer):
            counted.setdefault(kind, []).append((int(counter[1] or 0), node.name))
        elif stem := re.match(r"stem_\d+_", node.name):  # ResNet-RS counts its stems
            renamed[node.name] = f"stem_1_{node.name[stem.end() :]}"
    for kind, found in counted.items():
        for index, (_, name) in enumerate(sorted(found)):
            renamed[name] = f"{variant}_{kind}_{index}"
    rename(graph, renamed)


def _drop_preprocessing_and_identities(graph: Graph) -> None:
    """The encoder's specification states the normalization; linear activations do nothing."""
    for node in graph:
        if node.is_a(layers.Rescaling, layers.Normalization) or (
            node.is_a(layers.Activation) and node.config["activation"] == "linear"
        ):
            graph.remove(node)


def _functions_to_layers(graph: Graph) -> None:
    """Sums and products of two tensors, and the hard sigmoid, as layers."""
    for node in graph:
        if node.layer.__name__ != "TFOpLambda" or node.name not in graph.nodes:
            continue
        function, sources = node.config["function"], node.inputs
        if len(sources) == 2 and function in (_SUM, _PRODUCT):
            _become(node, layers.Add if function == _SUM else layers.Multiply)
            node.arguments, node.keywords = ([Ref(name) for name in sources],), {}
        elif function == _SUM and _constant(node) == 3.0:
            _hard_sigmoid(graph, node)


def _hard_sigmoid(graph: Graph, shifted: Node) -> None:
    """The chain x + 3 → ReLU6 → · 1/6 becomes one layer, under the name of the last."""
    clipped = graph.only_consumer(shifted.name)
    scaled = graph.only_consumer(clipped.name) if clipped else None
    if clipped and scaled and abs(_constant(scaled) * 6.0 - 1.0) < 1e-6:
        _become(scaled, HardSigmoid)
        scaled.arguments, scaled.keywords = (Ref(shifted.inputs[0]),), {}


def _hard_swish(graph: Graph) -> None:
    """The product x · hard sigmoid(x) becomes one layer."""
    for node in graph:
        if not node.is_a(layers.Multiply):
            continue
        source, gate = node.inputs
        if graph[gate].is_a(HardSigmoid) and graph[gate].inputs == [source]:
            _become(node, HardSwish)
            node.arguments = (Ref(source),)


def _scaled_sums(graph: Graph) -> None:
    """Inception-ResNet's `x + scale · residual` as two layers, ConvNeXt's scale as one that can be saved."""
    for node in graph:
        if node.layer.__name__ == "CustomScaleLayer":
            source, residual = node.inputs
            scaling = _node(
                f"{node.name}_scale", layers.Rescaling, {"scale": node.config["scale"]}, node.shape
            )
            scaling.arguments = (Ref(residual),)
            scaling = graph.add(scaling)
            _become(node, layers.Add)
            node.arguments, node.keywords = ([Ref(source), Ref(scaling.name)],), {}
        elif node.layer.__name__ == "LayerScale":
            _become(node, LayerScale, init_values=node.config["init_values"])


def _activations_apart(graph: Graph) -> None:
    """Swish and GELU as this project's layers; what a convolution activates by itself, unless ReLU, as a layer."""
    for node in graph:
        kind = node.config.get("activation")
        if node.is_a(layers.Activation):
            if kind in ("swish", "silu", "gelu"):
                _become(node, GELU if kind == "gelu" else Swish)
            elif kind == "relu":
                _become(node, layers.ReLU)
        elif node.is_a(layers.Conv2D) and kind not in ("linear", "relu"):
            node.config = {**node.config, "activation": "linear"}
            is_swish = kind in ("swish", "silu")
            added = _node(
                f"{node.name}_activation",
                Swish if is_swish else layers.Activation,
                {} if is_swish else {"activation": kind},
                node.shape,
            )
            added = graph.add(added)
            graph.redirect(node.name, added.name)
            added.arguments = (Ref(node.name),)


def _squeeze_at_rank_4(graph: Graph) -> None:
    """Global pooling that keeps its axes, instead of a reshape after it."""
    for node in graph:
        if node.is_a(layers.Reshape) and graph[node.inputs[0]].is_a(layers.GlobalAveragePooling2D):
            pooling = graph[node.inputs[0]]
            pooling.config = {**pooling.config, "keepdims": True}
            pooling.shape = node.shape
            graph.remove(node)


def _separable_apart(graph: Graph) -> None:
    """A separable convolution as a depthwise one, `…_depthwise`, and a 1×1 one that keeps the name."""
    for node in graph:
        if not node.is_a(layers.SeparableConv2D):
            continue
        config = node.config
        kept = ("kernel_size", "strides", "padding", "depth_multiplier")
        depthwise = _node(
            f"{node.name}_depthwise",
            layers.DepthwiseConv2D,
            {**{key: config[key] for key in kept}, "use_bias": False},
            (*node.shape[:3], graph[node.inputs[0]].shape[-1] * config["depth_multiplier"]),
        )
        depthwise.arguments = node.arguments
        depthwise = graph.add(depthwise)
        _become(
            node,
            layers.Conv2D,
            filters=config["filters"],
            kernel_size=1,
            use_bias=config["use_bias"],
            activation=config["activation"],
        )
        node.arguments = (Ref(depthwise.name),)


def _dense_to_pointwise(graph: Graph) -> None:
    """A dense layer on each pixel as a 1×1 convolution."""
    for node in graph:
        if node.is_a(layers.Dense) and len(node.shape) == 4:
            kept = ("use_bias", "activation")
            _become(
                node,
                layers.Conv2D,
                filters=node.config["units"],
                kernel_size=1,
                **{key: node.config[key] for key in kept},
            )


def _grouped_to_depthwise(graph: Graph) -> None:
    """A convolution of one group per channel as a depthwise one; other groups as one operation, too."""
    for node in graph:
        config = node.config
        if not node.is_a(layers.Conv2D) or node.is_a(layers.DepthwiseConv2D):
            continue
        if config["groups"] == 1:
            continue
        if config["groups"] == config["filters"] == graph[node.inputs[0]].shape[-1]:
            kept = ("kernel_size", "strides", "padding", "use_bias", "activation")
            _become(node, layers.DepthwiseConv2D, **{key: config[key] for key in kept})
        else:
            node.layer = AtrousConv2D


def _round_sizes_up(graph: Graph) -> None:
    """Let every strided layer give its input's size over the stride, rounded up, for odd sizes, too."""
    for node in graph:
        if not node.is_a(*_WINDOWS) or node.config["padding"] == "same":
            continue
        pools = node.is_a(layers.MaxPooling2D, layers.AveragePooling2D)
        taps = _pair(node.config["pool_size" if pools else "kernel_size"])
        pad = graph[node.inputs[0]]
        if not pad.is_a(layers.ZeroPadding2D):
            if max(taps) > 1:
                node.config = {**node.config, "padding": "same"}
        elif _pairs(pad.config["padding"]) != [(count // 2 - 1, count // 2) for count in taps]:
            continue  # padded alike on both sides: rounds up as it is
        elif pools:
            # Pooling sees these zeros. One more row serves odd sizes and is not looked at in even ones.
            edges = tuple((count // 2 - 1, count // 2 + 1) for count in taps)
            pad.config = {**pad.config, "padding": edges}
        else:
            # What `same` pads at even sizes, spelt out.
            node.config = {**node.config, "padding": "same"}
            node.arguments = (Ref(pad.inputs[0]),)


def _become(node: Node, layer: Any, **arguments: Any) -> None:
    """Make a node one of another layer, of the same name and inputs."""
    node.layer, node.config = layer, layer(name=node.name, **arguments).get_config()


def _node(name: str, layer: Any, arguments: Mapping[str, Any], shape: tuple[int | None, ...]) -> Node:
    return Node(name=name, layer=layer, config=layer(name=name, **arguments).get_config(), shape=shape)


def _pair(value: Any) -> tuple[int, int]:
    rows, columns = (value, value) if isinstance(value, int) else value
    return (rows, columns)


def _pairs(edges: Any) -> list[tuple[int, int]]:
    return [(before, after) for before, after in edges]


def _constant(node: Node) -> float:
    """The number that a wrapped function takes beside its tensor."""
    values = [
        value for value in (*node.arguments, *node.keywords.values()) if isinstance(value, (int, float))
    ]
    return float(values[0]) if len(values) == 1 else float("nan")


def _snake_case(name: str) -> str:
    name = re.sub(r"(.)([A-Z][a-z0-9]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def rename(graph: Graph, names: Mapping[str, str]) -> None:
    """Give nodes other names.

    Args:
        graph: is changed in place.
        names: old name → new name.
    """
    for node in graph.nodes.values():
        node.name = names.get(node.name, node.name)
        node.config = {**node.config, "name": node.name}
        node.arguments, node.keywords = tf.nest.map_structure(
            lambda item: Ref(names.get(item.name, item.name)) if isinstance(item, Ref) else item,
            (node.arguments, node.keywords),
        )
    graph.nodes = {node.name: node for node in graph.nodes.values()}
    graph.inputs = [names.get(name, name) for name in graph.inputs]
    graph.outputs = [names.get(name, name) for name in graph.outputs]
