"""What a training run ended with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from registry.evaluation import Scores
from registry.training.folder import RunFolder
from registry.training.history import read_history

__all__ = ["TrainingRun"]


@dataclass(frozen=True)
class TrainingRun:
    """What a run ended with.

    Args:
        folder: of the run.
        steps: number of finished steps.
        stopped_early: whether that is fewer than the recipe allowed.
        best_step: after which the kept weights were found; the last step where there was no validation.
        mean_iou: of the kept weights on the validation data; None where there was none.
        test: scores on the test data, at the images' own sizes; None where there is none.
    """

    folder: Path
    steps: int
    stopped_early: bool
    best_step: int
    mean_iou: float | None
    test: Scores | None

    @property
    def preset(self) -> Path:
        """The result: a preset directory with the kept weights, which `registry.load` and `registry.build` take."""
        return RunFolder(self.folder).model

    @property
    def history(self) -> list[dict[str, Any]]:
        """Records, oldest first: `step` with `loss` and `learning_rate`, or with `mean_iou` and other scores."""
        return read_history(RunFolder(self.folder).history)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values."""
        return {
            "steps": self.steps,
            "stopped_early": self.stopped_early,
            "best_step": self.best_step,
            "mean_iou": self.mean_iou,
            "test": None if self.test is None else self.test.to_dict(),
        }

    @classmethod
    def from_dict(cls, folder: Path, content: Mapping[str, Any]) -> TrainingRun:
        """The run of a folder, from what `to_dict` gave."""
        test = content["test"]
        scores = None if test is None else Scores(**{**test, "iou": tuple(test["iou"])})
        return cls(folder=folder, **{**content, "test": scores})

    def __str__(self) -> str:
        lines = [
            f"steps       {self.steps}{' (stopped early)' if self.stopped_early else ''}",
            f"preset      {self.preset}",
        ]
        if self.mean_iou is not None:
            lines.append(f"validation  mean IoU {self.mean_iou:.4f} after step {self.best_step}")
        if self.test is not None:
            lines.append(f"test        mean IoU {self.test.mean_iou:.4f}")
        return "\n".join(lines)
