"""A segmenter on an encoder's pyramid, of any architecture: its author brings the logits, the rest is here."""

from __future__ import annotations

from typing import Any

from registry.architecture import SegmenterArguments
from registry.backend import keras
from registry.errors import ModelError, SegmenterContractError
from registry.models.arguments import require_positive_integer
from registry.models.base import CLASSIFIER, ImageSegmenter, untracked
from registry.models.encoder import level_strides, pyramid_of, pyramid_shapes
from registry.models.layers import bilinear_upsampling

__all__ = ["CLASSIFIER", "PyramidSegmenter"]


@keras.saving.register_keras_serializable(package="atrous")
class PyramidSegmenter(ImageSegmenter):
    """Logits of a head, upsampled to the input's size (bilinear, half-pixel centres), and what a segmenter can do.

    The layers that make the classes should be named `segmentation_output`, or start with it: weights for another
    number of classes leave those fresh.

    Args:
        encoder: functional `tf_keras.Model` with `pyramid_outputs`.
        logits: `KerasTensor` (batch, height ÷ stride, width ÷ stride, num_classes) of the encoder's own graph,
            continued; its stride is any integer.
        arguments: classes, activation, preprocessor and name.
        **kwargs: `trainable` of `tf_keras.Model`.

    Input: (batch, height, width, 3), where height and width are multiples of the coarsest level that the logits
    depend on; output: (batch, height, width, num_classes).

    Raises:
        ModelError: `num_classes` is no positive integer, or the encoder has no pyramid.
        SegmenterContractError: the logits have another number of channels, or no integer stride.
    """

    def __init__(self, encoder: Any, logits: Any, arguments: SegmenterArguments, **kwargs: Any) -> None:
        require_positive_integer(arguments.num_classes, "num_classes")
        pyramid = pyramid_of(encoder)
        inputs = encoder.inputs[0]
        _check_logits(logits, arguments.num_classes)
        multiple = _coarsest_stride(inputs, logits, pyramid)
        stride = _logits_stride(inputs, logits, multiple, encoder)
        x = bilinear_upsampling(logits, stride, name=f"{CLASSIFIER}_upsampling")
        if arguments.activation is not None:
            x = keras.layers.Activation(arguments.activation, name=f"{CLASSIFIER}_activation")(x)
        super().__init__(inputs=inputs, outputs=x, name=arguments.name, **kwargs)
        self._remember(encoder, arguments, multiple)
        self.preprocessor = arguments.preprocessor

    @untracked
    def _remember(self, encoder: Any, arguments: SegmenterArguments, multiple: tuple[int, int]) -> None:
        self._encoder = encoder
        self._size_multiple = multiple
        self.num_classes = arguments.num_classes
        self.activation = arguments.activation

    @property
    def encoder(self) -> Any:
        """The encoder whose graph this model continues: a view of the same layers."""
        return self._encoder

    @property
    def size_multiple(self) -> tuple[int, int]:
        """Stride of the coarsest level that is read: input heights and widths must be multiples of it."""
        return self._size_multiple

    def get_config(self) -> dict[str, Any]:
        """The resolved preset, from which assembly rebuilds the model, and what may have changed since.

        Raises:
            ModelError: the model was not assembled from a preset.
        """
        if self.preset_config is None:
            raise ModelError(
                f"a {type(self).__name__} is saved with the preset that it was assembled from",
                received=f"{self.name!r}, built by hand",
                repair="build it with registry.build, or save its weights alone with save_weights",
            )
        return {
            "name": self.name,
            "trainable": self.trainable,
            "preprocessor": self.preprocessor and keras.saving.serialize_keras_object(self.preprocessor),
            "preset_config": self.preset_config.model_dump(mode="json"),
        }


def _check_logits(logits: Any, num_classes: int) -> None:
    shape = tuple(getattr(logits, "shape", ()))
    if not hasattr(logits, "_keras_history") or len(shape) != 4 or shape[-1] != num_classes:
        raise SegmenterContractError(
            f"logits must be a KerasTensor (batch, height, width, {num_classes} classes)",
            received=f"shape {shape}" if hasattr(logits, "_keras_history") else type(logits).__name__,
            repair="end the head with a convolution of `num_classes` filters",
        )


def _coarsest_stride(inputs: Any, logits: Any, pyramid: dict[str, Any]) -> tuple[int, int]:
    """The largest stride among the levels that the logits depend on."""
    layers = {id(layer) for layer in keras.Model(inputs, logits).layers}
    read = {level: tensor for level, tensor in pyramid.items() if id(tensor.node.layer) in layers}
    if not read:
        return 1, 1
    rows, columns = zip(*level_strides(inputs, read).values(), strict=True)
    return max(rows), max(columns)


def _logits_stride(inputs: Any, logits: Any, multiple: tuple[int, int], encoder: Any) -> tuple[int, int]:
    """Stride of the logits, measured at two sizes: one alone could hide a fixed size behind a stride."""
    least = max(getattr(getattr(encoder, "spec", None), "min_size", 1), 32)
    unit = tuple(least + -least % step for step in multiple)
    sizes = ((2 * unit[0], 3 * unit[1]), (3 * unit[0], 4 * unit[1]))
    strides: set[tuple[int, int] | None] = set()
    for size, shapes in pyramid_shapes(inputs, {"logits": logits}, sizes).items():
        height, width = shapes["logits"][1:3]
        fits = height and width and not size[0] % height and not size[1] % width
        strides.add((size[0] // height, size[1] // width) if height and width and fits else None)
    stride = strides.pop() if len(strides) == 1 else None
    if stride is None:
        raise SegmenterContractError(
            "logits must have an integer stride that is the same at every input size",
            received=f"logits of shape {tuple(logits.shape)}",
            repair="resize within the head by factors of the levels' strides, encoder.level_strides",
        )
    return stride
