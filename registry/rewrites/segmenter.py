"""The inference form of a segmenter, as a segmenter of its own: with classes, encoder and preset."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from registry.backend import keras
from registry.models.base import ImageSegmenter, untracked
from registry.rewrites.graph import Graph

__all__ = ["FoldedSegmenter", "drop_final_activation"]


class FoldedSegmenter(ImageSegmenter):
    """A graph without batch normalization in the place of the segmenter that it was made of.

    It is rebuilt from its preset, which says what was made of the segmenter that a preset without that would give.

    Args:
        model: the segmenter, whose preprocessor and encoder's names it has.
        inputs: of the graph.
        outputs: logits.
        preset: sections of the model's preset that are other here.
        **kwargs: of `tf_keras.Model`.
    """

    def __init__(
        self, model: ImageSegmenter, inputs: Any, outputs: Any, preset: dict[str, Any], **kwargs: Any
    ) -> None:
        super().__init__(inputs=inputs, outputs=outputs, name=model.name, **kwargs)
        self._remember(model)
        self.preprocessor = model.preprocessor
        self.set_preset_config(
            None if model.preset_config is None else model.preset_config.model_copy(update=preset)
        )

    @untracked
    def _remember(self, model: ImageSegmenter) -> None:
        self._size_multiple = model.size_multiple
        self._encoder_names = {layer.name for layer in model.encoder.layers}
        self.num_classes = model.num_classes
        self.activation = None

    @property
    def size_multiple(self) -> tuple[int, int]:
        """Input heights and widths must be multiples of these, in pixels."""
        return self._size_multiple

    @property
    def encoder(self) -> Any:
        """The layers that come from the encoder, under `layers`."""
        return SimpleNamespace(layers=[layer for layer in self.layers if layer.name in self._encoder_names])

    def get_config(self) -> dict[str, Any]:
        """What it is rebuilt from: its preset."""
        return {
            "preset_config": self.preset_config.model_dump(mode="json"),
            "preprocessor": self.preprocessor and keras.saving.serialize_keras_object(self.preprocessor),
            "name": self.name,
            "trainable": self.trainable,
        }


def drop_final_activation(graph: Graph) -> None:
    """Scores are what is trained and compared; whoever wants probabilities squashes them."""
    node = graph[graph.outputs[0]]
    if node.is_a(keras.layers.Activation) and node.config["activation"] in ("softmax", "sigmoid"):
        graph.remove(node)
