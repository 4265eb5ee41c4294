"""From a model of tf_keras.applications to the layers of an encoder."""

from __future__ import annotations

import copy
import functools
import re
from typing import Any

from registry.backend import keras
from registry.models.graph import Graph
from registry.models.sampling import Samplings, sample, stage_ends
from registry.models.surgery import dilate
from registry_keras_applications.normal_form import LayerScale, normalize, rename
from registry_keras_applications.variants import Application, application_of

__all__ = ["application_model", "applications_pyramid", "undilated"]

# NASNet looks at the sizes of its maps, and pads odd ones differently. Its stem does not pad, so that this size has
# even ones all the way: 65 → 32 → 16 → 8 → 4 → 2.
_FIXED_SIZE = 65


def applications_pyramid(inputs: Any, variant: str, *, output_stride: int) -> dict[str, Any]:
    """Append a network of tf_keras.applications to a graph.

    Args:
        inputs: `KerasTensor` (batch, height, width, 3), RGB.
        variant: name of the variant.
        output_stride: 8, 16 or 32; later strides become atrous rates.

    Returns:
        `KerasTensor` per level.
    """
    graph, levels = undilated(variant, keras.mixed_precision.global_policy().name)
    graph = copy.deepcopy(graph)
    dilate(graph, output_stride, pixelwise=(LayerScale,))
    return dict(zip(levels, graph.append_to([inputs]), strict=True))


def application_model(variant: str, **arguments: Any) -> Any:
    """Build the model of tf_keras.applications, with fresh weights and without its classifier.

    Args:
        variant: name of the variant.
        **arguments: further ones of its function.
    """
    application = application_of(variant)
    size = _FIXED_SIZE if application.family.needs_size else None
    arguments = {"input_shape": (size, size, 3), **arguments}
    return getattr(keras.applications, application.name)(weights=None, include_top=False, **arguments)


@functools.lru_cache(maxsize=4)
def undilated(variant: str, policy: str = "float32") -> tuple[Graph, tuple[str, ...]]:
    """Take a network apart.

    Args:
        variant: name of the variant.
        policy: of the dtypes that the layers will have, the global one.

    Returns:
        The graph that ends with the levels, not to be changed, and their names.
    """
    del policy  # distinguishes what is remembered
    application = application_of(variant)
    graph = Graph.of(application_model(variant), flatten=True, with_weights=False)
    normalize(graph, variant)
    if application.family.first_layer_bgr:
        # By another name, so that a file whose kernel expects BGR is not mistaken for one that expects RGB.
        first = application.family.first_layer_bgr
        rename(graph, {first: f"{first}_rgb"})
    ends = _level_ends(graph, application, sample(graph, pixelwise=(LayerScale,)))
    graph.outputs = list(ends.values())
    # Only what the levels are computed from.
    return Graph(graph.name, graph.sorted(), graph.inputs, graph.outputs), tuple(ends)


def _level_ends(graph: Graph, application: Application, samplings: Samplings) -> dict[str, str]:
    family = application.family
    if family.ends is None:
        return stage_ends(graph, samplings)
    strides: dict[int, str] = {}
    last = ""
    for node in graph.sorted():
        grid = samplings.grids[node.name]
        if grid is not None:
            last = node.name
            if re.fullmatch(family.ends, node.name):
                strides[grid.stride] = node.name
    if family.ends_with_the_network:
        strides[max(strides)] = last
    return {f"P{stride.bit_length() - 1}": name for stride, name in sorted(strides.items())}
