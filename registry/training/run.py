"""A training run: recipe in, folder with a saved preset out; killed at any moment, it goes on where it was."""

from __future__ import annotations

import json
import os
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from registry.atomic import atomic_path
from registry.backend import tf
from registry.catalog import RecipeLike, ResolvedRecipe, resolve_recipe
from registry.data import AnnotatedImages, open_data
from registry.errors import PeerLostError, TrainingError
from registry.training.distribution import open_devices
from registry.training.folder import RunFolder, open_folder
from registry.training.progress import Progress
from registry.training.result import TrainingRun
from registry.training.session import Session

__all__ = ["train"]


def train(
    recipe: RecipeLike,
    folder: str | os.PathLike[str] | None = None,
    *,
    data_root: str | os.PathLike[str] | None = None,
    restart: bool = False,
    progress: Progress = None,
    **overrides: Any,
) -> TrainingRun:
    """Train what a recipe says.

    The folder holds everything: the complete recipe, checkpoints, a history, TensorBoard's events, pictures of
    predictions, and the result as a preset directory. Called again with the same recipe and folder, a run that was
    killed goes on from its last checkpoint, and ends with the same weights as one that never was (with
    `deterministic`, on the same kind of machine). A finished run is returned as it is.

    Args:
        recipe: name of a recipe, path of a YAML file, or mapping.
        folder: of the run; by default `runs/` and the recipe's name.
        data_root: what relative paths of the recipe's data lie under; None is the working directory.
        restart: remove what an earlier run left in the folder.
        progress: None shows a bar in a terminal and lines elsewhere; True and False: always a bar, nothing; or a
            function of (finished steps, of how many, values).
        **overrides: values that replace the recipe's, as in `registry.catalog.resolve_recipe`.

    Returns:
        What the run ended with.

    Raises:
        CatalogError: the recipe or its preset is wrong.
        DataError, ImageError: the data cannot be read.
        TrainingError: the run cannot start, go on or be resumed; PeerLostError: another worker is gone.
        ModelError, PluginError, WeightsError: the model cannot be built.
        OutputPathError: the folder cannot be written to.
    """
    resolved = resolve_recipe(recipe, overrides=overrides)
    config = resolved.config
    devices = open_devices(config.distribution)
    path = Path(folder) if folder is not None else Path("runs") / resolved.name
    with (
        open_folder(path, resolved, restart=restart)
        if devices.is_chief
        else nullcontext(RunFolder(path)) as run
    ):
        if run.result.is_file():
            return _read_result(run)
        if config.deterministic:
            tf.config.experimental.enable_op_determinism()
        data = _open_parts(resolved, None if data_root is None else Path(data_root))
        try:
            with Session(resolved, devices, run, data) as session:
                session.train(progress)
                result = session.finish()
        except (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError) as error:
            if devices.workers == 1:
                raise
            raise PeerLostError(
                "all workers of a run must stay reachable",
                received=str(error).splitlines()[0],
                repair="start the same command on all workers again: the run goes on from its last checkpoint",
            ) from error
        if devices.is_chief:
            with atomic_path(run.result) as temporary:
                temporary.write_text(json.dumps(result.to_dict(), indent=2) + "\n", encoding="utf-8")
    return result


def _open_parts(recipe: ResolvedRecipe, data_root: Path | None) -> dict[str, AnnotatedImages]:
    classes = recipe.preset.config.num_classes
    return {
        part: open_data(source, num_classes=classes, data_root=data_root)
        for part in ("train", "validation", "test")
        if (source := getattr(recipe.config.data, part)) is not None
    }


def _read_result(run: RunFolder) -> TrainingRun:
    try:
        content = json.loads(run.result.read_text(encoding="utf-8"))
        return TrainingRun.from_dict(run.path, content)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TrainingError(
            "the folder of a finished run holds its result",
            received=f"{run.result}: {type(error).__name__}: {error}",
            repair="remove this file: the run is then finished again from its last checkpoint",
        ) from error
