"""What every architecture asks of an encoder: a flat functional graph, its pyramid and its strides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from registry.backend import keras, require_keras_model
from registry.errors import ModelError, PyramidContractError
from registry.models.symbolic import shapes_as_stated
from registry.pyramid import level_stage

__all__ = ["attach_pyramid", "level_strides", "pyramid_of", "pyramid_shapes", "retrace"]


def pyramid_of(image_encoder: Any) -> dict[str, Any]:
    """Read the pyramid of an encoder.

    Args:
        image_encoder: any functional `tf_keras.Model` with a `pyramid_outputs` mapping from level to
            `KerasTensor`, as KerasHub's backbones have.

    Returns:
        Level → `KerasTensor`, sorted by level.

    Raises:
        ModelError: not a tf-keras model, not functional, or without usable `pyramid_outputs`.
    """
    require_keras_model(image_encoder, "image_encoder")
    if not getattr(image_encoder, "_is_graph_network", False):
        raise ModelError(
            "`image_encoder` must be a functional model: its graph is continued, not called",
            received=f"{type(image_encoder).__name__} {image_encoder.name!r} without a functional graph",
            repair="build it with tf_keras.Model(inputs, outputs)",
        )
    pyramid = getattr(image_encoder, "pyramid_outputs", None)
    if not isinstance(pyramid, Mapping) or not pyramid:
        raise ModelError(
            "`image_encoder` must have `pyramid_outputs`, a mapping from level to tensor",
            received=f"{image_encoder.name!r} with pyramid_outputs={pyramid!r}",
            repair="set model.pyramid_outputs = {'P2': …, 'P5': …} or build the encoder with registry.build_encoder",
        )
    for level, tensor in pyramid.items():
        level_stage(level)
        if not hasattr(tensor, "_keras_history"):
            raise ModelError(
                "every value of `pyramid_outputs` must be a KerasTensor of the encoder's graph",
                received=f"{level}: {type(tensor).__name__}",
                repair="take it from a layer's output while building the functional graph",
            )
    return {level: pyramid[level] for level in sorted(pyramid, key=level_stage)}


def attach_pyramid(model: Any, pyramid: Mapping[str, Any]) -> None:
    """Give a model its `pyramid_outputs`; Keras must not track the mapping as a part to save."""
    object.__setattr__(model, "pyramid_outputs", dict(pyramid))


def retrace(inputs: Any, pyramid: Mapping[str, Any], image_shape: tuple[int | None, int | None, int]) -> Any:
    """Rebuild the same layers on another input shape, weights shared and the graph still flat.

    Args:
        inputs: input `KerasTensor` of the existing graph.
        pyramid: level → `KerasTensor` of the existing graph.
        image_shape: height, width and channels of the new input.

    Returns:
        New input `KerasTensor` and new pyramid.
    """
    new_inputs = keras.layers.Input(image_shape, name="inputs")
    # `call` replays each layer of the graph on the new tensor, where calling the model would nest it.
    with shapes_as_stated():
        new_pyramid = keras.Model(inputs, dict(pyramid)).call(new_inputs)
    return new_inputs, new_pyramid


def pyramid_shapes(
    inputs: Any, pyramid: Mapping[str, Any], sizes: tuple[tuple[int, int], ...]
) -> dict[tuple[int, int], dict[str, tuple[int | None, ...]]]:
    """Shapes of each level at given input sizes, without running the network.

    Args:
        inputs: input `KerasTensor`.
        pyramid: level → `KerasTensor`.
        sizes: heights and widths in pixels; a side that the graph fixes overrides them.

    Returns:
        Input size → level → (1, height, width, channels).
    """
    model = keras.Model(inputs, dict(pyramid))
    fixed_height, fixed_width, channels = inputs.shape[1:]
    shapes = {}
    for height, width in sizes:
        size = (fixed_height or height, fixed_width or width)
        computed = model.compute_output_shape((1, *size, channels))
        shapes[size] = {level: tuple(shape) for level, shape in computed.items()}
    return shapes


def level_strides(inputs: Any, pyramid: Mapping[str, Any]) -> dict[str, tuple[int, int]]:
    """Measure the stride of each level along height and width.

    Args:
        inputs: input `KerasTensor`.
        pyramid: level → `KerasTensor`.

    Returns:
        Level → (stride of rows, stride of columns).

    Raises:
        PyramidContractError: a level's size does not divide the input's.
    """
    probe = 8 * 2 ** max(level_stage(level) for level in pyramid)
    ((size, shapes),) = pyramid_shapes(inputs, pyramid, ((probe, probe),)).items()
    strides = {}
    for level, shape in shapes.items():
        if len(shape) != 4 or not shape[1] or not shape[2] or size[0] % shape[1] or size[1] % shape[2]:
            raise PyramidContractError(
                "a pyramid level must be (batch, height, width, channels) at an integer stride of the input",
                received=f"{level} of shape {shape} at input {size[0]}×{size[1]}",
                repair="check the encoder, or give it an input size that its stride divides",
            )
        strides[level] = (size[0] // shape[1], size[1] // shape[2])
    return strides
