"""Train a segmenter: a recipe becomes a run, a run a saved preset.

::

    run           `train`: recipe and folder in, `TrainingRun` out        (result)
    session       one process's part: the loop, validation, what is kept  (best, history, pictures, progress)
    folder        one recipe, one process at a time, complete files       (checkpoints)
    learner       model, optimizer, average and step                      (step, schedules, losses, averaging)
    pipeline      annotated images as batches that can be taken up at any step  (augmentation)
    distribution  devices that share a batch
    randomness    dropout that follows from the step alone
"""

from registry.training.result import TrainingRun
from registry.training.run import train

__all__ = ["TrainingRun", "train"]
