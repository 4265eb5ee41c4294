"""The folder of a run: one recipe, one process at a time, complete files."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml
from filelock import FileLock, Timeout

from registry.atomic import atomic_path
from registry.catalog import ResolvedRecipe, resolve_recipe
from registry.errors import OutputPathError, RegistryError, TrainingError

__all__ = ["RunFolder", "open_folder"]

# What may change between a run and its continuation: it has no influence on the weights.
_FREE = (
    "description",
    "paper",
    "checkpoints",
    "distribution",
    "validation.pictures",
    "validation.batch_size",
)
_RECIPE = "recipe.yaml"
_PRESET, _SECTION = "preset", "weights"
# Keys of a preset's section `weights` → of a recipe.
_WEIGHTS: Mapping[Literal["segmentation", "encoder"], str] = {
    "segmentation": "weights",
    "encoder": "encoder_weights",
}


@dataclass(frozen=True)
class RunFolder:
    """Where the files of a run are.

    Args:
        path: the folder.
    """

    path: Path

    @property
    def recipe(self) -> Path:
        """The recipe with its preset, complete: `atrous train` takes it as it is."""
        return self.path / _RECIPE

    @property
    def checkpoints(self) -> Path:
        """Latest states of the run."""
        return self.path / "checkpoints"

    @property
    def model(self) -> Path:
        """The result: a preset directory with the best weights, or the last ones where there was no validation."""
        return self.path / "model"

    @property
    def evaluation(self) -> Path:
        """The result's scores on the test data, with pictures."""
        return self.path / "evaluation"

    @property
    def history(self) -> Path:
        """Losses and scores, one JSON object a line."""
        return self.path / "history.jsonl"

    @property
    def events(self) -> Path:
        """The same for TensorBoard."""
        return self.path / "tensorboard"

    @property
    def result(self) -> Path:
        """What the run ended with; written last."""
        return self.path / "run.json"

    def picture(self, step: int) -> Path:
        """Predictions after a step."""
        folder = self.path / "pictures"
        folder.mkdir(exist_ok=True)
        return folder / f"step_{step:06}.png"


@contextmanager
def open_folder(path: Path, recipe: ResolvedRecipe, *, restart: bool) -> Iterator[RunFolder]:
    """Make a run's folder, or take up the one that is there.

    Args:
        path: the folder; it is made where it does not exist.
        recipe: of the run.
        restart: remove what an earlier run left.

    Raises:
        TrainingError: another process is at work there, or the folder belongs to another recipe.
        OutputPathError: it holds files that are no run's, or cannot be written to.
    """
    run = RunFolder(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputPathError(
            "the folder of a run must be writable", received=f"{path}: {error.strerror}"
        ) from error
    try:
        with FileLock(path / ".lock", timeout=0):
            _claim(run, recipe, restart=restart)
            yield run
    except Timeout as error:
        raise TrainingError(
            "a folder belongs to one run at a time",
            received=f"{path}, where another process is training",
            repair="wait for it, or name another folder with --output",
        ) from error


def _claim(run: RunFolder, recipe: ResolvedRecipe, *, restart: bool) -> None:
    others = [entry for entry in run.path.iterdir() if entry.name != ".lock"]
    if others and not run.recipe.is_file():
        raise OutputPathError(
            "the folder of a run must be empty, or that of an earlier run",
            received=f"{run.path} with {', '.join(sorted(entry.name for entry in others)[:5])}",
            repair="name another folder",
        )
    if run.recipe.is_file() and not restart and not _is_bare(others):
        _require_same(run, recipe)
        return
    for entry in others:
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    with atomic_path(run.recipe) as temporary:
        content = yaml.safe_dump(_portable(recipe), sort_keys=False, allow_unicode=True)
        temporary.write_text(content, encoding="utf-8")


def _is_bare(entries: list[Path]) -> bool:
    """Whether a run ended before it began, for want of weights or of images: the recipe may be mended then."""
    return all(entry.name == _RECIPE for entry in entries)


def _portable(recipe: ResolvedRecipe) -> dict[str, Any]:
    """The recipe as plain data that means the same in any folder.

    A preset may name weights beside its own file; here they are named by the recipe, as a path.
    """
    content = recipe.config.model_dump(mode="json")
    for part, key in _WEIGHTS.items():
        file = recipe.preset.weights_file(part)
        if file is not None:
            content[_PRESET][_SECTION][part] = None
            if content[key] == "default":
                content[key] = str(file)
    return content


def _require_same(run: RunFolder, recipe: ResolvedRecipe) -> None:
    try:
        before = _decisive(_portable(resolve_recipe(run.recipe)))
    except RegistryError as error:
        raise TrainingError(
            "the folder of a run holds its recipe",
            received=f"{run.recipe}: {error.rule}",
            repair="start anew with --restart, or name another folder",
        ) from error
    now = _decisive(_portable(recipe))
    different = sorted(key for key in before.keys() | now.keys() if before.get(key) != now.get(key))
    if different:
        told = "; ".join(f"{key}: {_text(before.get(key))} → {_text(now.get(key))}" for key in different[:5])
        raise TrainingError(
            f"a run goes on with the recipe that it was started with, and {run.path} was started with another one",
            received=told,
            repair="name another folder with --output, or start anew with --restart",
        )


def _decisive(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Dotted key → value, without what has no influence on the weights."""
    flat: dict[str, Any] = {}
    for key, value in content.items():
        path = f"{prefix}{key}"
        if path in _FREE:
            continue
        if isinstance(value, Mapping):
            flat.update(_decisive(value, f"{path}."))
        else:
            flat[path] = value
    return flat


def _text(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:60]}…"
