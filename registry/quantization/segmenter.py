"""`QuantizedSegmenter`: a segmenter that rounds as its file will, and can be trained."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from registry.backend import keras
from registry.models.base import ImageSegmenter, untracked
from registry.quantization.aware import Placement, quantized_layers, to_keras
from registry.quantization.wrapper import QuantizedLayer

__all__ = ["QuantizedSegmenter"]


@keras.saving.register_keras_serializable(package="atrous")
class QuantizedSegmenter(ImageSegmenter):
    """The inference form of a segmenter with rounded kernels and results (arXiv:1712.05877).

    It has no batch normalization: that is folded into the convolutions. `registry.export(model, path,
    quantization="int8")` writes it with the ranges that it has.

    Args:
        model: the segmenter in floating point, whose weights it starts with.
        placement: what is rounded where.

    Input and output are those of the model, without its final softmax or sigmoid.
    """

    def __init__(self, model: ImageSegmenter, placement: Placement, **kwargs: Any) -> None:
        inputs, outputs = to_keras(placement)
        super().__init__(inputs=inputs, outputs=outputs, name=model.name, **kwargs)
        self._remember(model, placement)
        self.preprocessor = model.preprocessor
        self.set_preset_config(
            None
            if model.preset_config is None
            else model.preset_config.model_copy(update={"quantization": placement.config})
        )

    @untracked
    def _remember(self, model: ImageSegmenter, placement: Placement) -> None:
        self._placement = placement
        self._size_multiple = model.size_multiple
        self._encoder_names = {layer.name for layer in model.encoder.layers}
        self.num_classes = model.num_classes
        self.activation = None

    @property
    def placement(self) -> Placement:
        """What is rounded where."""
        return self._placement

    @property
    def size_multiple(self) -> tuple[int, int]:
        """Input heights and widths must be multiples of these, in pixels."""
        return self._size_multiple

    @property
    def encoder(self) -> Any:
        """The layers that come from the encoder, under `layers`."""
        return SimpleNamespace(layers=[layer for layer in self.layers if layer.name in self._encoder_names])

    @property
    def rounding_layers(self) -> dict[str, QuantizedLayer]:
        """The layers that round, by name."""
        return quantized_layers(self)

    @property
    def float_layers(self) -> tuple[str, ...]:
        """Names of the layers that stay in floating point."""
        return tuple(node.name for node in self.placement.graph if node.name in self.placement.excluded)

    def freeze_observers(self) -> None:
        """Let ranges stay as they are from now on; a training function that was traced before goes on observing."""
        for layer in self.rounding_layers.values():
            for observer in layer.observers.values():
                observer.frozen = True

    def get_config(self) -> dict[str, Any]:
        """What it is rebuilt from: its preset, which says how it is quantized."""
        return {
            "preset_config": self.preset_config.model_dump(mode="json"),
            "preprocessor": self.preprocessor and keras.saving.serialize_keras_object(self.preprocessor),
            "name": self.name,
            "trainable": self.trainable,
        }
