"""`segment_files`: many images into a folder of masks, which a second run completes."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from registry.atomic import atomic_path, make_folder
from registry.batch.items import Item, find_items
from registry.batch.pipeline import run_pipeline
from registry.batch.report import BatchReport, Outcome
from registry.batch.results import Look, Results
from registry.batch.workers import run_workers
from registry.errors import ImageError, ModelError, OutputPathError
from registry.runtime import Segmenter
from registry.runtime.processors import usable_cpus

__all__ = ["PREDICTIONS", "RUN", "segment_files"]

RUN, PREDICTIONS = "run.json", "predictions.jsonl"
_MOST_WORKERS = 256


def segment_files(
    model: Any,
    sources: Sequence[str | os.PathLike[str]] | str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    size: tuple[int, int] | None = None,
    labels: Sequence[str] | None = None,
    palette: Sequence[tuple[int, int, int]] | None = None,
    overlays: bool = True,
    workers: int = 1,
    threads: int | None = None,
    restart: bool = False,
    progress: Callable[[str, int, int], None] | None = None,
) -> BatchReport:
    """Segment many images; what is finished is not done again.

    `output` gets `<image>_mask.png` and `<image>_overlay.png` in the folders that the images lie in within their
    source, `predictions.jsonl` with a line for each image, and `run.json` with what the run depends on. Each file
    appears whole or not at all, so that a run that was ended at any moment goes on when it is called again. An image
    that changed since is segmented anew, and so is one that failed.

    Args:
        model: path of a `.tflite` file, a `registry.Segmenter`, or a segmenter in Keras.
        sources: image files, folders, globs and TFRecord files; see `registry.batch.items.find_items`.
        output: folder of the results; created if need be.
        size: input height and width, where the model leaves them open.
        labels: name of each class; None takes the model's.
        palette: RGB of each class; None takes the model's, else Pascal VOC's.
        overlays: whether to write overlays, too.
        workers: number of processes; more than one for `.tflite` files only.
        threads: threads of each interpreter; None shares the usable CPUs among the workers.
        restart: do all images again, and forget what the folder's last run depended on.
        progress: called with (what, images done, images in all).

    Returns:
        How many were segmented, were finished before and failed, with the errors.

    Raises:
        ModelError: an argument does not fit the model.
        ModelFileError: the file cannot be run.
        DataError: a source does not exist or holds no image.
        OutputPathError: two images would have results of one name; the folder holds results of another model or of
            other options; it cannot be written, or the disk is full.
    """
    started = time.monotonic()
    given = [sources] if isinstance(sources, str | os.PathLike) else list(sources)
    if type(workers) is not int or not 1 <= workers <= _MOST_WORKERS:
        raise ModelError(
            f"`workers` must be a whole number from 1 to {_MOST_WORKERS}",
            received=workers,
            repair="workers=2",
        )
    folder = make_folder(Path(output))
    items = find_items(given, leaving_out=folder)
    tell = progress or (lambda what, number, total: None)
    tell("opening the model", 0, len(items))
    each = threads if threads is not None or workers == 1 else max(1, usable_cpus() // workers)
    segmenter = _opened(model, size, each, workers)
    look = _look_of(segmenter, labels, palette)
    results = Results(folder, overlays)
    since = _claim(folder, _dependence(segmenter, size, look, overlays), restart=restart)
    known = {} if restart else _known(folder)
    finished = set() if restart else {item.key for item in items if results.finished(item, since)}
    left = [item for item in items if item.key not in finished]
    outcomes: dict[str, Outcome] = {}
    with (folder / PREDICTIONS).open("a", encoding="utf-8") as journal:
        journal.write("\n")  # what was ended in the middle of a line ends here
        for number, one in enumerate(_outcomes(left, segmenter, results, look, size, workers, each), 1):
            outcomes[one.key] = one
            journal.write(json.dumps(one.to_dict(), ensure_ascii=False) + "\n")
            journal.flush()
            tell(one.key, len(finished) + number, len(items))
    lines = [
        outcomes[item.key].to_dict() if item.key in outcomes else _earlier(item, known, results, look)
        for item in items
    ]
    with atomic_path(folder / PREDICTIONS) as temporary:
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        temporary.write_text(text, encoding="utf-8")
    failed = tuple(one for one in outcomes.values() if one.error is not None)
    return BatchReport(
        output=folder,
        images=len(items),
        segmented=len(outcomes) - len(failed),
        skipped=len(finished),
        failed=failed,
        seconds=time.monotonic() - started,
    )


def _outcomes(
    items: Sequence[Item],
    model: Any,
    results: Results,
    look: Look,
    size: tuple[int, int] | None,
    workers: int,
    threads: int | None,
) -> Iterator[Outcome]:
    if workers > 1 and items:
        assert threads is not None
        return run_workers(items, model, results, look, workers=min(workers, len(items)), threads=threads)
    if isinstance(model, Segmenter):
        return run_pipeline(items, model.segment, results, look)
    return run_pipeline(items, lambda pixels: model.segment(pixels, size=size), results, look)


def _opened(model: Any, size: tuple[int, int] | None, threads: int | None, workers: int) -> Any:
    if isinstance(model, str | os.PathLike):
        return Segmenter(model, size=size, num_threads=threads)
    if isinstance(model, Segmenter):
        return model
    if not hasattr(model, "segment"):
        raise ModelError(
            "what segments images is the path of a .tflite file, a registry.Segmenter, or a segmenter in Keras",
            received=f"{type(model).__module__}.{type(model).__qualname__}",
            repair="pass what registry.load returned",
        )
    if workers > 1:
        raise ModelError(
            "several workers are for .tflite files; TensorFlow takes the CPUs that it finds",
            received=f"workers={workers} for a {type(model).__name__}",
            repair="export the model with registry.export, or leave `workers` out",
        )
    return model


def _look_of(
    model: Any, labels: Sequence[str] | None, palette: Sequence[tuple[int, int, int]] | None
) -> Look:
    names = tuple(model.labels if labels is None else labels)
    count = model.num_classes
    if names and count is not None and len(names) != max(2, count):
        raise ModelError(
            f"`labels` must name each of the {max(2, count)} classes of the model",
            received=f"{len(names)} labels",
            repair="give one name per class, background included",
        )
    colors = model.palette if palette is None else palette
    return Look(labels=names, palette=tuple((int(r), int(g), int(b)) for r, g, b in colors))


def _dependence(model: Any, size: tuple[int, int] | None, look: Look, overlays: bool) -> dict[str, Any]:
    """All that decides what the results look like."""
    if isinstance(model, Segmenter):
        with model.path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256")
        size = model.input_size
    else:
        digest = hashlib.sha256()
        for array in model.get_weights():
            digest.update(array.tobytes())
    return {
        "model_sha256": digest.hexdigest(),
        "size": None if size is None else list(size),
        "threshold": getattr(model, "threshold", None),
        "labels": list(look.labels),
        "palette": [list(color) for color in look.palette],
        "overlays": overlays,
    }


def _claim(folder: Path, dependence: dict[str, Any], *, restart: bool) -> int:
    """Write what a new run depends on; refuse to go on with a run that depended on something else.

    Returns:
        When it was written, in nanoseconds: what is older belongs to another run.
    """
    path = folder / RUN
    if path.is_file() and not restart:
        try:
            written = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            written = None
        if written != dependence:
            known = written if isinstance(written, dict) else {}
            differs = [key for key in dependence if known.get(key) != dependence[key]]
            raise OutputPathError(
                "a folder of results belongs to one model and one set of options",
                received=f"{folder}, whose run.json differs in {', '.join(differs) or 'its keys'}",
                repair="choose another folder, or do all images again with restart=True (--restart)",
            )
        return path.stat().st_mtime_ns
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(dependence, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return path.stat().st_mtime_ns


def _known(folder: Path) -> dict[str, dict[str, Any]]:
    """Lines of earlier runs by key; the last one may be cut off where a run was ended."""
    lines: dict[str, dict[str, Any]] = {}
    with suppress(OSError, UnicodeDecodeError):
        for text in (folder / PREDICTIONS).read_text(encoding="utf-8").splitlines():
            with suppress(ValueError, KeyError, TypeError):
                line = json.loads(text)
                lines[line["key"]] = line
    return lines


def _earlier(item: Item, known: dict[str, dict[str, Any]], results: Results, look: Look) -> dict[str, Any]:
    """The line of an image that was finished before, read off its mask where a run ended before it was written."""
    line = known.get(item.key)
    if line is not None and line.get("classes") and line.get("source") == item.source:
        return line
    try:
        return Outcome(item.key, item.source, summary=results.read(item, look)).to_dict()
    except (ImageError, IndexError) as error:
        return Outcome(item.key, item.source, error=str(error)).to_dict()
