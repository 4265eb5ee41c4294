"""A functional model as data: layers with their weights, connected by names.

Rewriting a Keras graph in place is not possible; `Graph.of` takes one apart, `Graph.to_keras` builds the next and
`Graph.append_to` continues another graph by it. Every node gives one tensor.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from registry.backend import keras, tf
from registry.errors import ModelError
from registry.models.symbolic import shapes_as_stated

__all__ = ["Graph", "Node", "Ref"]


@dataclass(frozen=True)
class Ref:
    """Stands for the tensor of the node of that name in the arguments of another."""

    name: str


@dataclass
class Node:
    """One layer and where its inputs come from.

    Args:
        name: unique in the graph; the layer's name.
        layer: class of the layer.
        config: its `get_config()`.
        weights: its variables' values, in the layer's order; empty leaves them to its initializers.
        arguments: positional arguments of its call, tensors as `Ref`.
        keywords: keyword arguments of its call.
        shape: shape of its output with the batch axis, as far as the graph fixes it.
    """

    name: str
    layer: Any
    config: dict[str, Any]
    weights: list[np.ndarray] = field(default_factory=list)
    arguments: tuple[Any, ...] = ()
    keywords: dict[str, Any] = field(default_factory=dict)
    shape: tuple[int | None, ...] = ()

    @property
    def inputs(self) -> list[str]:
        """Names of the nodes whose tensors it reads, in order."""
        flat = tf.nest.flatten((self.arguments, self.keywords))
        return [item.name for item in flat if isinstance(item, Ref)]

    def substituted(self, tensors: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Arguments and keywords of its call, with these tensors in the place of names."""
        result: tuple[tuple[Any, ...], dict[str, Any]] = tf.nest.map_structure(
            lambda item: tensors[item.name] if isinstance(item, Ref) else item,
            (self.arguments, self.keywords),
        )
        return result

    def is_a(self, *classes: type) -> bool:
        """Whether the layer is of one of these classes."""
        return issubclass(self.layer, classes)

    @property
    def is_pointwise(self) -> bool:
        """Whether it is a 1×1 convolution at stride 1: a matrix applied to each pixel."""
        return (
            self.is_a(keras.layers.Conv2D)
            and not self.is_a(keras.layers.DepthwiseConv2D)
            and tuple(self.config["kernel_size"]) == (1, 1)
            and tuple(self.config["strides"]) == (1, 1)
            and self.config["groups"] == 1
        )


class Graph:
    """Nodes by name, in an order in which each comes after its inputs.

    Args:
        name: of the model.
        nodes: all nodes.
        inputs: names of the input nodes.
        outputs: names of the nodes whose tensors are the model's outputs.
    """

    def __init__(self, name: str, nodes: Iterable[Node], inputs: list[str], outputs: list[str]) -> None:
        self.name = name
        self.nodes = {node.name: node for node in nodes}
        self.inputs = inputs
        self.outputs = outputs

    @classmethod
    def of(
        cls,
        model: Any,
        size: tuple[int, int] | None = None,
        *,
        flatten: bool = False,
        with_weights: bool = True,
    ) -> Graph:
        """Take a functional model apart.

        Args:
            model: functional `tf_keras.Model` with image inputs.
            size: height and width that fix the shapes; None leaves them as the model has them.
            flatten: put the layers of functional models inside of it in their place, instead of refusing them.
            with_weights: read the values of the weights; without them `to_keras` gives fresh ones.

        Raises:
            ModelError: a model is nested in it, or a layer gives several tensors.
        """
        outputs = list(model.outputs)
        inputs = list(model.inputs)
        if size is not None and tuple(inputs[0].shape[1:3]) != size:
            new_input = keras.layers.Input((*size, inputs[0].shape[-1]), name="inputs")
            with shapes_as_stated():
                outputs = tf.nest.flatten(keras.Model(inputs, outputs).call(new_input))
            inputs = [new_input]
        traced = keras.Model(inputs, outputs)
        names: dict[int, str] = {}
        nodes: dict[str, Node] = {}
        for keras_node in _in_order(traced, names, model.name, flatten=flatten):
            layer = keras_node.layer
            produced = tf.nest.flatten(keras_node.outputs)
            if len(produced) != 1:
                raise ModelError(
                    "every layer of a graph to rewrite must give one tensor",
                    received=f"{layer.name} gives {len(produced)}",
                    repair="split it into layers of one output each",
                )
            name = _unique(layer.name, nodes)
            names[id(produced[0])] = name
            nodes[name] = Node(
                name=name,
                layer=type(layer),
                config={**layer.get_config(), "name": name},
                weights=layer.get_weights() if with_weights else [],
                arguments=_referring(keras_node.call_args, names),
                keywords=_referring(keras_node.call_kwargs, names),
                shape=tuple(produced[0].shape),
            )
        return cls(
            model.name,
            nodes.values(),
            [names[id(tensor)] for tensor in traced.inputs],
            [names[id(tensor)] for tensor in traced.outputs],
        )

    def to_keras(self) -> Any:
        """Build the functional `tf_keras.Model` that the graph describes, with its weights."""
        inputs = [
            keras.layers.Input(self[name].shape[1:], name=name, dtype=self[name].config["dtype"])
            for name in self.inputs
        ]
        return keras.Model(inputs, self.append_to(inputs), name=self.name)

    @shapes_as_stated()
    def append_to(self, inputs: Sequence[Any]) -> list[Any]:
        """Continue another functional graph by this one's layers, with its weights.

        Args:
            inputs: a `KerasTensor` for each of the graph's inputs.

        Returns:
            A `KerasTensor` for each of the graph's outputs.
        """
        tensors = dict(zip(self.inputs, inputs, strict=True))
        for node in self.sorted():
            if node.name in tensors:
                continue
            layer = node.layer.from_config(dict(node.config))
            arguments, keywords = node.substituted(tensors)
            tensors[node.name] = layer(*arguments, **keywords)
            if node.weights:
                layer.set_weights(node.weights)
        return [tensors[name] for name in self.outputs]

    def __iter__(self) -> Iterator[Node]:
        """Nodes in order, safe against changes while iterating."""
        return iter(self.sorted())

    def __getitem__(self, name: str) -> Node:
        """The node of that name."""
        return self.nodes[name]

    def sorted(self) -> list[Node]:
        """Nodes that the outputs need, each after its inputs."""
        order: dict[str, Node] = {}
        stack = [(name, False) for name in reversed([*self.inputs, *self.outputs])]
        while stack:
            name, ready = stack.pop()
            if name in order:
                continue
            node = self.nodes[name]
            if ready:
                order[name] = node
            else:
                stack.append((name, True))
                stack.extend((source, False) for source in reversed(node.inputs))
        return list(order.values())

    def consumers(self, name: str) -> list[Node]:
        """Nodes that read the tensor of that node."""
        return [node for node in self.sorted() if name in node.inputs]

    def only_consumer(self, name: str) -> Node | None:
        """The one node that reads that tensor, or None if there are several or the tensor is an output."""
        consumers = self.consumers(name)
        return consumers[0] if len(consumers) == 1 and name not in self.outputs else None

    def add(self, node: Node) -> Node:
        """Add a node under its name, made unique."""
        name = _unique(node.name, self.nodes)
        node = replace(node, name=name, config={**node.config, "name": name})
        self.nodes[name] = node
        return node

    def redirect(self, old: str, new: str, *, but: Iterable[str] = ()) -> None:
        """Let everyone who reads `old` read `new`, outputs included; nodes named in `but` go on as before."""
        kept = {new, *but}
        for node in self.nodes.values():
            if node.name not in kept and old in node.inputs:
                node.arguments, node.keywords = tf.nest.map_structure(
                    lambda item: Ref(new) if item == Ref(old) else item, (node.arguments, node.keywords)
                )
        self.outputs = [new if name == old else name for name in self.outputs]

    def remove(self, node: Node) -> None:
        """Take out a node of one input; its readers read that input."""
        (source,) = node.inputs
        self.redirect(node.name, source)
        del self.nodes[node.name]


def _in_order(model: Any, names: dict[int, str], outermost: str, *, flatten: bool) -> Iterator[Any]:
    """The calls of layers, each after those that it reads; `names` is extended by the tensors of inner models."""
    for depth in sorted(model._nodes_by_depth, reverse=True):
        for keras_node in model._nodes_by_depth[depth]:
            inner = keras_node.layer
            if not isinstance(inner, keras.Model):
                yield keras_node
                continue
            if not flatten or not getattr(inner, "_is_graph_network", False):
                raise ModelError(
                    "a graph to rewrite must be flat",
                    received=f"the model {inner.name!r} inside of {outermost!r}",
                    repair="apply the inner model's layers one by one, as registry.build does",
                )
            given = zip(inner.inputs, tf.nest.flatten(keras_node.keras_inputs), strict=True)
            names.update({id(tensor): names[id(outer)] for tensor, outer in given})
            for inner_node in _in_order(inner, names, outermost, flatten=flatten):
                if not isinstance(inner_node.layer, keras.layers.InputLayer):
                    yield inner_node
            made = zip(tf.nest.flatten(keras_node.outputs), inner.outputs, strict=True)
            names.update({id(outer): names[id(tensor)] for outer, tensor in made})


def _referring(structure: Any, names: dict[int, str]) -> Any:
    def refer(item: Any) -> Any:
        return Ref(names[id(item)]) if id(item) in names and hasattr(item, "_keras_history") else item

    return tf.nest.map_structure(refer, structure)


def _unique(name: str, taken: Iterable[str]) -> str:
    taken = set(taken)
    if name not in taken:
        return name
    number = 1
    while f"{name}_{number}" in taken:
        number += 1
    return f"{name}_{number}"
