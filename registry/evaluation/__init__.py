"""How well masks agree with annotations. Nothing here imports TensorFlow.

::

    subject        a Keras segmenter or a `.tflite` file → pixels in, scores out
    protocol       how images of any size meet it
    views          what it sees of one image
    prediction     image → mask
    confusion      masks → counts → scores      (scoring: of one class, of one image; boundary: near the edges)
    evaluating     `evaluate`, over a data set  (comparing: several models alike)
    result         what it returns              (worst, matrix_picture, page, writing: for people)
"""

from registry.evaluation.boundary import BoundaryIoU
from registry.evaluation.comparing import evaluate_alike
from registry.evaluation.confusion import ConfusionMatrix, Scores, mean_iou_of_masks
from registry.evaluation.evaluating import evaluate
from registry.evaluation.protocol import EvaluationProtocol
from registry.evaluation.result import Evaluation
from registry.evaluation.scoring import ClassScore, ImageScore

__all__ = [
    "BoundaryIoU",
    "ClassScore",
    "ConfusionMatrix",
    "Evaluation",
    "EvaluationProtocol",
    "ImageScore",
    "Scores",
    "evaluate",
    "evaluate_alike",
    "mean_iou_of_masks",
]
