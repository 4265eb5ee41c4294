"""The same job as a transform of Apache Beam, for those who outgrow a machine.

Apache Beam is the extra `beam`, and imported when `beam_segment` is called. A runner pickles what a pipeline consists
of and calls it on other machines, which need atrous and the model's file, too.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath
from typing import Any

from registry.errors import EnvironmentUnsupportedError, RegistryError

__all__ = ["beam_segment"]


def beam_segment(
    model: str | os.PathLike[str],
    output: str | os.PathLike[str] | None = None,
    *,
    size: tuple[int, int] | None = None,
    labels: Sequence[str] | None = None,
    palette: Sequence[tuple[int, int, int]] | None = None,
    overlays: bool = True,
    threads: int = 1,
) -> Any:
    """Segment a collection of images: `paths | registry.beam_segment("model.tflite", "masks")`.

    The transform takes elements of either kind:

    - a path of an image, or any address that Beam's file systems open (`gs://…`); results bear its last
      part's name;
    - a pair of a key, which names the results (`street/0001`), and the bytes of an image file.

    It gives a dictionary for each image: `key`; `height`, `width` and `classes` as `predictions.jsonl` has them; with
    `output`, the addresses `mask` and `overlay`, else the indexed PNG itself under `mask_png`; or `error`, for an image
    that could not be segmented, which does not stop the others. Elements are independent of each other, and one that is
    done again, as runners do, gives the same files: they are written elsewhere first and renamed.

    Args:
        model: path or address of a `.tflite` file; each worker process fetches and opens it once.
        output: folder or address that the results go to; None writes none.
        size: input height and width, where the file leaves them open.
        labels: name of each class; None takes the file's.
        palette: RGB of each class; None takes the file's, else Pascal VOC's.
        overlays: whether to write overlays, too.
        threads: threads of the interpreter of each worker process.

    Returns:
        An `apache_beam.PTransform`.

    Raises:
        EnvironmentUnsupportedError: Apache Beam is not installed.
    """
    try:
        import apache_beam as beam
    except ImportError as error:
        raise EnvironmentUnsupportedError(
            "pipelines need Apache Beam, which could not be imported",
            received=str(error),
            repair="pip install 'atrous[beam]'",
        ) from error
    job = _Job(
        model=os.fspath(model),
        output=None if output is None else os.fspath(output),
        options={"size": size, "labels": labels, "num_threads": threads},
        palette=None if palette is None else [tuple(color) for color in palette],
        overlays=overlays,
    )
    # A callable of ours is all that has to be pickled: Beam is imported here only.
    return "Segment" >> beam.FlatMap(job)


class _Job:
    """What a worker does with an element; opens the model when it has to, and once for a process."""

    def __init__(
        self,
        *,
        model: str,
        output: str | None,
        options: dict[str, Any],
        palette: list[tuple[int, ...]] | None,
        overlays: bool,
    ) -> None:
        self.model, self.output, self.options = model, output, options
        self.palette, self.overlays = palette, overlays

    def __call__(self, element: str | os.PathLike[str] | tuple[str, bytes]) -> Iterable[dict[str, Any]]:
        """Segment one element."""
        key, content = (element[0], element[1]) if isinstance(element, tuple) else (_key_of(element), None)
        try:
            yield {"key": key, **self._segmented(key, content, element)}
        except (RegistryError, OSError, ValueError) as error:
            yield {"key": key, "error": str(error)}

    def _segmented(self, key: str, content: bytes | None, element: Any) -> dict[str, Any]:
        import io

        from PIL import Image

        from registry.batch.results import Look, class_shares
        from registry.drawing import mask_image, overlay
        from registry.images import load_image

        segmenter = _opened(self.model, **self.options)
        look = Look(labels=segmenter.labels, palette=tuple(self.palette or segmenter.palette))  # type: ignore[arg-type]
        pixels = load_image(_read(os.fspath(element)) if content is None else content, name=key)
        mask = segmenter.segment(pixels)
        files: dict[str, Any] = {}
        stream = io.BytesIO()
        mask_image(mask, look.colors).save(stream, "PNG")
        if self.output is None:
            files["mask_png"] = stream.getvalue()
        else:
            if self.overlays:
                picture = io.BytesIO()
                colored = overlay(pixels, mask, look.colors, transparent=look.transparent)
                Image.fromarray(colored).save(picture, "PNG")
                files["overlay"] = _written(self.output, f"{key}_overlay.png", picture.getvalue())
            files["mask"] = _written(self.output, f"{key}_mask.png", stream.getvalue())
        shares = class_shares(mask, look.labels)
        return {"height": mask.shape[0], "width": mask.shape[1], "classes": shares, **files}


def _key_of(address: str | os.PathLike[str]) -> str:
    return PurePosixPath(os.fspath(address).replace(os.sep, "/")).stem


_segmenters: dict[tuple[Any, ...], Any] = {}


def _opened(model: str, **options: Any) -> Any:
    """The file, opened once for a process; threads of it take turns."""
    import tempfile
    import threading

    from registry.runtime import Segmenter

    lock = _segmenters.setdefault(("lock",), threading.Lock())
    identity = (model, *sorted((key, repr(value)) for key, value in options.items()))
    with lock:
        if identity not in _segmenters:
            if "://" not in model:
                _segmenters[identity] = Segmenter(model, **options)
            else:
                with tempfile.NamedTemporaryFile(suffix=".tflite") as file:
                    file.write(_read(model))
                    file.flush()
                    _segmenters[identity] = Segmenter(file.name, **options)
        return _segmenters[identity]


def _read(address: str) -> bytes:
    from apache_beam.io.filesystems import FileSystems

    # As it is stored: `.gz` is not unpacked.
    with FileSystems.open(address, compression_type="uncompressed") as file:
        content: bytes = file.read()
    return content


def _written(folder: str, name: str, content: bytes) -> str:
    """Write a file completely or not at all; two workers that write the same one do not meet."""
    import secrets

    from apache_beam.io.filesystems import FileSystems

    target = FileSystems.join(folder, *name.split("/"))
    place, _ = FileSystems.split(target)
    if not FileSystems.exists(place):
        try:
            FileSystems.mkdirs(place)
        except OSError:  # another worker was faster, or the file system has no folders
            pass
    temporary = FileSystems.join(place, f".{secrets.token_hex(6)}.part")
    with FileSystems.create(temporary, compression_type="uncompressed") as file:
        file.write(content)
    if FileSystems.exists(target):
        FileSystems.delete([target])
    FileSystems.rename([temporary], [target])
    return str(target)
