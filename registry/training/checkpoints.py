"""Checkpoints: what a killed run goes on from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from registry.backend import tf
from registry.errors import TrainingError

__all__ = ["Checkpoints"]

_NAME = "step"


class Checkpoints:
    """The latest states of a run, in a folder.

    TensorFlow writes a checkpoint beside the older ones and then renames its index, so that a process killed at any
    moment leaves the last complete one. Every worker must save, since some variables live on all of them; only what
    the chief writes is kept.

    Args:
        folder: where they are.
        held: name → trackable object: all that they hold.
        keep: number of checkpoints that are kept.
        scratch: where a worker that is not the chief writes; None for the chief.
    """

    def __init__(self, folder: Path, held: dict[str, Any], *, keep: int, scratch: Path | None = None) -> None:
        self._folder = folder
        self._checkpoint = tf.train.Checkpoint(**held)
        self._manager = tf.train.CheckpointManager(
            self._checkpoint, str(scratch or folder), max_to_keep=keep, checkpoint_name=_NAME
        )

    @staticmethod
    def latest(folder: Path) -> str | None:
        """Name of the latest complete checkpoint in a folder; None if there is none."""
        name: str | None = tf.train.latest_checkpoint(str(folder))
        return name

    def save(self, step: int) -> None:
        """Write a checkpoint of this step.

        Raises:
            TrainingError: the folder cannot be written to.
        """
        try:
            self._manager.save(checkpoint_number=step)
        except (tf.errors.OpError, OSError) as error:
            raise TrainingError(
                "checkpoints must be writable",
                received=f"{self._folder}: {str(error).splitlines()[0]}",
                repair="free some space and run the same command again: it goes on from the last checkpoint",
            ) from error

    def restore(self, name: str) -> None:
        """Take everything from a checkpoint.

        Raises:
            TrainingError: it is damaged, or of another model.
        """
        try:
            self._checkpoint.restore(name).assert_existing_objects_matched()
        except (tf.errors.OpError, ValueError, AssertionError) as error:
            raise TrainingError(
                "a checkpoint must be intact and of this run",
                received=f"{name}: {str(error).splitlines()[0]}",
                repair="remove the folder of the run to start anew, or name another one",
            ) from error
