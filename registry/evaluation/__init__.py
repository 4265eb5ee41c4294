"""How well masks agree with annotations. Nothing here imports TensorFlow."""

from registry.evaluation.confusion import ConfusionMatrix, Scores

__all__ = ["ConfusionMatrix", "Scores"]
