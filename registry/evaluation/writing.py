"""An evaluation as files: JSON for machines, pictures and a page for people."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from registry.atomic import atomic_path, make_folder
from registry.evaluation.matrix_picture import draw_confusion_matrix
from registry.evaluation.page import render
from registry.evaluation.result import Evaluation

__all__ = ["write_evaluation"]


def write_evaluation(evaluation: Evaluation, folder: Path) -> tuple[Path, ...]:
    """Write all files; what `Evaluation.write` does."""
    make_folder(folder)
    document = json.dumps(evaluation.to_dict(), indent=2, ensure_ascii=False)
    pictures = {"confusion_matrix.png": draw_confusion_matrix(evaluation.confusion, evaluation.labels)}
    for number, image in enumerate(evaluation.worst, start=1):
        pictures[f"worst_{number:02}.png"] = image.picture(evaluation.palette, evaluation.labels)
    return (
        _write_text(folder / "evaluation.json", document + "\n"),
        *(_write_picture(folder / name, pixels) for name, pixels in pictures.items()),
        _write_text(folder / "evaluation.html", render(evaluation)),
    )


def _write_text(path: Path, text: str) -> Path:
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def _write_picture(path: Path, pixels: NDArray[np.uint8]) -> Path:
    with atomic_path(path) as temporary:
        Image.fromarray(pixels).save(temporary, format="PNG", optimize=True)
    return path
