"""How a graph samples the image: the stride of every tensor, and what would hold it back.

Nothing here changes a graph. `registry.models.surgery` turns what is found here into a dilated one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from registry.backend import keras
from registry.errors import ModelError
from registry.models.activations import GELU, HardSigmoid, HardSwish, Swish
from registry.models.graph import Graph, Node
from registry.models.layers import AtrousConv2D, AtrousDepthwiseConv2D
from registry.models.padded import AtrousSeparableConv2D, PaddedAtrousConv2D, PaddedAtrousDepthwiseConv2D
from registry.models.pooling import AtrousAveragePooling2D, AtrousMaxPooling2D

__all__ = [
    "PIXELWISE_FUNCTIONS",
    "POOLING",
    "Grid",
    "Samplings",
    "Window",
    "refusal",
    "sample",
    "stage_ends",
    "window_of",
]

layers = keras.layers
Pair = tuple[int, int]

_CONVOLUTIONS = (
    layers.Conv2D,
    layers.DepthwiseConv2D,
    layers.SeparableConv2D,
    AtrousConv2D,
    AtrousDepthwiseConv2D,
    AtrousSeparableConv2D,
    PaddedAtrousConv2D,
    PaddedAtrousDepthwiseConv2D,
)
_ATROUS_POOLING = (AtrousMaxPooling2D, AtrousAveragePooling2D)
POOLING = (layers.MaxPooling2D, layers.AveragePooling2D, *_ATROUS_POOLING)
_GLOBAL = (layers.GlobalAveragePooling2D, layers.GlobalMaxPooling2D)

# Layers that treat every pixel alike, by the argument that would let them mix rows or columns.
_PIXELWISE: dict[Any, str | None] = {
    **dict.fromkeys(
        (
            layers.Activation,
            layers.ReLU,
            layers.LeakyReLU,
            layers.ELU,
            layers.ThresholdedReLU,
            layers.Dropout,
            layers.SpatialDropout2D,
            layers.GaussianNoise,
            layers.GaussianDropout,
            layers.AlphaDropout,
            layers.ActivityRegularization,
            layers.GroupNormalization,
            layers.Rescaling,
            layers.Dense,
            layers.Add,
            layers.Subtract,
            layers.Multiply,
            layers.Average,
            layers.Maximum,
            layers.Minimum,
            GELU,
            HardSigmoid,
            HardSwish,
            Swish,
        )
    ),
    layers.BatchNormalization: "axis",
    layers.LayerNormalization: "axis",
    layers.UnitNormalization: "axis",
    layers.Normalization: "axis",
    layers.Softmax: "axis",
    layers.Concatenate: "axis",
    layers.PReLU: "shared_axes",
}
# Layers of tf_keras.applications that have no public name.
_PIXELWISE_APPLICATIONS = ("CustomScaleLayer", "LayerScale", "StochasticDepth")
# TensorFlow functions that Keras wraps when they are called on its tensors.
PIXELWISE_FUNCTIONS = frozenset(
    [f"__operators__.{name}" for name in ("add", "sub", "mul", "truediv", "neg", "pow")]
    + [f"math.{name}" for name in ("add", "subtract", "multiply", "divide", "maximum", "minimum", "negative")]
    + [
        f"math.{name}"
        for name in ("sigmoid", "tanh", "exp", "sqrt", "rsqrt", "square", "abs", "softplus", "erf")
    ]
    + [
        f"nn.{name}"
        for name in ("relu", "relu6", "leaky_relu", "silu", "swish", "gelu", "elu", "selu", "softmax")
    ]
    + ["identity", "cast", "clip_by_value", "stop_gradient"]
)


@dataclass(frozen=True)
class Window:
    """The pixels that one output pixel of a convolution or pooling sees; pairs are (rows, columns).

    Args:
        taps: of the kernel.
        stride: between neighbouring windows.
        dilation: pixels between neighbouring taps.
        before: pixels of padding before the map, at sizes that the stride divides.
        after: pixels of padding after the map.
        pools: whether it pools, so that a window must hold its own pixel.
    """

    taps: Pair
    stride: int
    dilation: Pair
    before: Pair
    after: Pair
    pools: bool

    @property
    def reach(self) -> Pair:
        """Pixels from the first tap to the last one."""
        rows, columns = ((taps - 1) * step for taps, step in zip(self.taps, self.dilation, strict=True))
        return (rows, columns)


@dataclass(frozen=True)
class Grid:
    """Where the pixels of a tensor lie: `stride` image pixels apart, `rate` of them to one of the strided network."""

    stride: int
    rate: int


@dataclass(frozen=True)
class Samplings:
    """What `sample` finds.

    Args:
        grids: by name of the node; None for a tensor without rows and columns.
        held: names of the nodes whose stride becomes a rate.
        refused: names of the nodes that could not be dilated, with the reason.
    """

    grids: Mapping[str, Grid | None]
    held: frozenset[str]
    refused: Mapping[str, str]


def window_of(node: Node) -> Window | None:
    """The window of a convolution or pooling; None for any other layer, and for strides that differ by axis."""
    if node.layer not in (*_CONVOLUTIONS, *POOLING) or node.config.get("data_format") == "channels_first":
        return None
    config = node.config
    pools = node.layer in POOLING
    taps = _pair(config["pool_size" if pools else "kernel_size"])
    strides = (1, 1) if node.layer in _ATROUS_POOLING else _pair(config["strides"])
    if strides[0] != strides[1]:
        return None
    dilation = _pair(config["rate"] if node.layer in _ATROUS_POOLING else config.get("dilation_rate", 1))
    reach = [(count - 1) * step for count, step in zip(taps, dilation, strict=True)]
    if "edges" in config and any(map(sum, config["edges"])):
        edges = config["edges"]
    elif config["padding"] == "valid":
        edges = ((0, 0), (0, 0))
    elif node.layer in _ATROUS_POOLING:
        before = [count * config["rate"] for count in config["taps_before"]]
        edges = tuple((first, total - first) for first, total in zip(before, reach, strict=True))
    else:
        totals = [max(total + 1 - strides[0], 0) for total in reach]
        edges = tuple((total // 2, total - total // 2) for total in totals)
    (top, bottom), (left, right) = edges
    return Window(taps, strides[0], (dilation[0], dilation[1]), (top, left), (bottom, right), pools)


def sample(graph: Graph, output_stride: int | None = None, *, pixelwise: Collection[Any] = ()) -> Samplings:
    """Follow the strides through a graph.

    Args:
        graph: of one image input.
        output_stride: where strides become rates; None leaves every stride.
        pixelwise: further classes of layers that treat every pixel alike.

    Raises:
        ModelError: branches of different strides meet, or a stride steps over the output stride.
    """
    grids: dict[str, Grid | None] = {}
    held: set[str] = set()
    refused: dict[str, str] = {}
    for node in graph.sorted():
        sources = {source: grids[source] for source in node.inputs if grids[source] is not None}
        found = set(sources.values())
        if node.is_a(layers.InputLayer):
            grids[node.name] = Grid(1, 1) if len(node.shape) == 4 else None
            continue
        if not found or node.is_a(*_GLOBAL):
            grids[node.name] = None
            continue
        if len(found) > 1:
            if refused:
                raise refusal(graph, refused)
            raise ModelError(
                "branches that meet must have one stride and one atrous rate",
                received=f"{node.name} reads "
                + ", ".join(f"{name} (stride {g.stride}, rate {g.rate})" for name, g in sources.items() if g),
                repair="give the part before the branches meet again, for instance the encoder alone",
            )
        (grid,) = found
        assert grid is not None
        window = window_of(node)
        if window is not None:
            grid, is_held = _strided(node, grid, window.stride, output_stride)
            if is_held:
                held.add(node.name)
        elif node.is_a(layers.UpSampling2D) and grid.rate == 1:
            factors = set(_pair(node.config["size"]))
            if len(factors) > 1 or grid.stride % max(factors):
                refused[node.name] = "it upsamples by a factor that does not divide the stride"
            grid = Grid(max(grid.stride // max(factors), 1), 1)
        elif not _treats_pixels_alike(node, pixelwise):
            refused[node.name] = _reason(node)
        grids[node.name] = grid if len(node.shape) == 4 else None
    return Samplings(grids, frozenset(held), refused)


def refusal(graph: Graph, refused: Mapping[str, str]) -> ModelError:
    """The error that names every layer that cannot be dilated."""
    return ModelError(
        "a network can be dilated if that is known of every layer between its maps",
        received="; ".join(
            f"{name} ({graph[name].layer.__name__}): {reason}" for name, reason in refused.items()
        ),
        repair="leave them out (include_top=False, or a model that ends before), or name the class in `pixelwise` "
        "if it treats every pixel alike",
    )


def stage_ends(graph: Graph, samplings: Samplings) -> dict[str, str]:
    """Find the layer at which each stage of a network ends.

    A level is the last tensor of its stride that everything after it is computed from: no branch leads past it. So
    what classifies, after the last map, and what pads for the next stride do not count.

    Args:
        graph: undilated.
        samplings: of that graph, at its own strides.

    Returns:
        Level → name of the node, for those of P1 … P5 that exist.

    Raises:
        ModelError: at some stride, every tensor has a branch that leads past it.
    """
    order = graph.sorted()
    last_reader = {source: index for index, node in enumerate(order) for source in node.inputs}
    furthest, ends, strides = 0, {}, set()
    for index, node in enumerate(order):
        alone = furthest <= index  # nobody from here on reads what came before
        furthest = max(furthest, last_reader.get(node.name, 0))
        grid = samplings.grids[node.name]
        if grid is None:
            continue
        strides.add(grid.stride)
        if alone and not node.is_a(layers.ZeroPadding2D, layers.Cropping2D, layers.InputLayer):
            ends[grid.stride] = node.name
    levels = {f"P{stage}": 2**stage for stage in range(1, 6)}
    missing = [level for level, stride in levels.items() if stride in strides and stride not in ends]
    if missing:
        raise ModelError(
            "a pyramid level is found where every later layer depends on one tensor of that stride",
            received=f"{graph.name}, where branches lead past every tensor of {', '.join(missing)}",
            repair="name the layers in `levels`, for instance {'P2': 'layer', …}",
        )
    return {level: ends[stride] for level, stride in levels.items() if stride in ends}


def _strided(node: Node, grid: Grid, stride: int, output_stride: int | None) -> tuple[Grid, bool]:
    if stride == 1 or output_stride is None or grid.stride * stride <= output_stride:
        return Grid(grid.stride * stride, grid.rate), False
    if grid.stride != output_stride:
        raise ModelError(
            f"strides must lead to the output stride {output_stride} and not past it",
            received=f"{node.name} of stride {stride} on a map of stride {grid.stride}",
            repair="choose an output stride that the network passes through",
        )
    return Grid(grid.stride, grid.rate * stride), True


def _treats_pixels_alike(node: Node, pixelwise: Collection[Any]) -> bool:
    if node.layer in pixelwise or node.is_a(layers.ZeroPadding2D, layers.Cropping2D):
        return True
    if node.layer in _PIXELWISE:
        argument = _PIXELWISE[node.layer]
        if argument is None:
            return True
        axes = node.config[argument]
        axes = list(axes) if isinstance(axes, (list, tuple)) else [axes]
        if argument == "shared_axes":
            return {1, 2} <= set(axes)
        return all(axis in (-1, len(node.shape) - 1) for axis in axes)
    if node.layer.__name__ in _PIXELWISE_APPLICATIONS:
        return bool(node.layer.__module__.startswith("tf_keras.src.applications."))
    return node.layer.__name__ == "TFOpLambda" and node.config["function"] in PIXELWISE_FUNCTIONS


def _reason(node: Node) -> str:
    if node.is_a(layers.Flatten, layers.Reshape, layers.Permute):
        return "it ties the network to one size of map, as a dense classifier does"
    if node.is_a(layers.UpSampling2D):
        return "it upsamples a map that would be dilated"
    if node.layer in (*_CONVOLUTIONS, *POOLING):
        return "it strides rows and columns differently or has its channels first"
    return "its class is not known to be dilatable"


def _pair(value: Any) -> Pair:
    rows, columns = (value, value) if isinstance(value, int) else value
    return (rows, columns)
