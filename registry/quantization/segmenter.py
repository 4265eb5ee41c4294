"""`QuantizedSegmenter`: a segmenter that rounds as its file will, and can be trained."""

from __future__ import annotations

from typing import Any

from registry.backend import keras
from registry.models.base import ImageSegmenter, untracked
from registry.quantization.aware import Placement, quantized_layers, to_keras
from registry.quantization.wrapper import QuantizedLayer
from registry.rewrites import FoldedSegmenter

__all__ = ["QuantizedSegmenter"]


@keras.saving.register_keras_serializable(package="atrous")
class QuantizedSegmenter(FoldedSegmenter):
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
        super().__init__(model, inputs, outputs, {"quantization": placement.config}, **kwargs)
        self._place(placement)

    @untracked
    def _place(self, placement: Placement) -> None:
        self._placement = placement

    @property
    def placement(self) -> Placement:
        """What is rounded where."""
        return self._placement

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
