"""Go through annotated images and tell what is wrong with them, all of it at once."""

from __future__ import annotations

import hashlib
import os
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from registry.data.dataset import AnnotatedImages, Stored, stored_example
from registry.data.report import ClassShare, DataReport, Finding, SizeRange, median_frequency_weights
from registry.errors import DataError, ImageError
from registry.images import load_image

__all__ = ["check_data", "shared_images"]

_SMALLEST_SIDE = 32
"""Pixels; one cell of the deepest level at output stride 32."""
_LONGEST_RATIO = 5.0
_MOST_PIXELS = 4096 * 4096

_PICKS = (12, 48)
"""Number of examples on a picture sheet: as many as show all classes, but not fewer and not more than these."""

Progress = Callable[[int, int], None]


def check_data(
    data: AnnotatedImages,
    *,
    labels: Sequence[str] = (),
    limit: int | None = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> DataReport:
    """Read every annotated image and report on all of them; nothing stops at the first problem.

    Errors are images and masks that cannot be read, sizes that differ, and mask values that are no class. Notes are
    masks without a counted pixel or with background alone, images of extreme size, files that occur twice, and classes
    that never occur. That no mask has a counted pixel is an error.

    Args:
        data: annotated images.
        labels: names of the classes; empty takes the data set's own.
        limit: check so many, spread over the whole; None: all.
        threads: that read at the same time; None: one for each CPU.
        progress: called with the number of images that are done, and of all.

    Raises:
        DataError: `limit` is not positive.
        EnvironmentUnsupportedError: the annotations need a package that is not installed.
    """
    if limit is not None and limit < 1:
        raise DataError("a check reads at least one image", received=f"limit {limit}")
    total = len(data)
    count = total if limit is None else min(limit, total)
    chosen = [number * total // count for number in range(count)]
    tally = _Tally(data.num_classes, data.ignore_label)
    with ThreadPoolExecutor(threads or os.cpu_count() or 1) as executor:
        for done, examined in enumerate(_in_order(executor, lambda index: _examine(data, index), chosen), 1):
            tally.add(examined)
            if progress is not None:
                progress(done, count)
    return tally.report(data, count, labels or data.labels)


def shared_images(reports: Mapping[str, DataReport]) -> list[Finding]:
    """Images that occur in more than one part of the data: a score on them is no score on unseen images.

    Args:
        reports: by part: `train`, `validation`, `test`.

    Returns:
        Errors for images of `train` that are in another part, too; notes for those of two others, which may be meant.
    """
    names = list(reports)
    findings = []
    for position, first in enumerate(names):
        for second in names[position + 1 :]:
            severity: Literal["error", "note"] = "error" if "train" in (first, second) else "note"
            ours, theirs = reports[first].digests, reports[second].digests
            findings += [
                Finding(
                    f"image of {first} in {second}",
                    severity,
                    ours[digest],
                    f"is {theirs[digest]} of {second}",
                )
                for digest in ours
                if digest in theirs
            ]
    return findings


@dataclass
class _Examined:
    """What one example has to say; statistics only where it has no error."""

    index: int
    name: str = ""
    findings: list[Finding] = field(default_factory=list)
    digest: bytes | None = None
    size: tuple[int, int] | None = None
    counts: NDArray[np.int64] | None = None
    ignored: int = 0
    unknown: dict[int, int] = field(default_factory=dict)
    levels: NDArray[np.int64] | None = None

    def tell(self, kind: str, severity: Literal["error", "note"], detail: str) -> None:
        self.findings.append(Finding(kind, severity, self.name, detail))

    @property
    def is_sound(self) -> bool:
        return not any(finding.severity == "error" for finding in self.findings)


def _examine(data: AnnotatedImages, index: int) -> _Examined:
    result = _Examined(index, f"example {index}")
    try:
        stored = stored_example(data, index)
    except (ImageError, DataError) as error:
        result.tell("unreadable example", "error", _told(error))
        return result
    result.name = stored.name
    image, mask = _read_image(stored, result), _read_mask(stored, result)
    if mask is not None:
        _count_classes(mask, data, stored, result)
    if image is not None and mask is not None and image.shape[:2] != mask.shape:
        result.tell("size mismatch", "error", f"{stored.place}: image {_size(image)}, mask {_size(mask)}")
    if image is not None and result.is_sound:
        _note_extremes(image, result)
        result.size = (image.shape[0], image.shape[1])
        # How many pixels have each value, per channel (3, 256); ten times as fast as sums and squares of an array.
        result.levels = np.array(Image.fromarray(image).histogram(), np.int64).reshape(3, 256)
    return result


def _read_image(stored: Stored, result: _Examined) -> NDArray[np.uint8] | None:
    try:
        encoded = stored.encoded_image()
        if encoded is None:
            image = stored.read_image()
        else:
            image = load_image(
                encoded, name=stored.place if isinstance(stored.image, bytes) else str(stored.image)
            )
    except ImageError as error:
        result.tell("unreadable image", "error", _told(error))
        return None
    content = image.tobytes() if encoded is None else encoded
    result.digest = hashlib.blake2b(content, digest_size=16).digest()
    return image


def _read_mask(stored: Stored, result: _Examined) -> NDArray[Any] | None:
    try:
        return stored.read_mask()
    except (ImageError, DataError) as error:
        result.tell("unreadable mask", "error", _told(error))
        return None


def _count_classes(mask: NDArray[Any], data: AnnotatedImages, stored: Stored, result: _Examined) -> None:
    counts = np.bincount(mask.ravel(), minlength=max(data.num_classes, data.ignore_label + 1))
    result.ignored = int(counts[data.ignore_label])
    counts[data.ignore_label] = 0
    strange = np.flatnonzero(counts[data.num_classes :]) + data.num_classes
    result.unknown = {int(value): int(counts[value]) for value in strange}
    result.counts = counts[: data.num_classes].astype(np.int64)
    if result.unknown:
        values = ", ".join(
            f"{value} ({pixels:,} pixels)" for value, pixels in list(result.unknown.items())[:8]
        )
        more = f" and {len(result.unknown) - 8} more" if len(result.unknown) > 8 else ""
        result.tell("unknown values", "error", f"{stored.place}: {values}{more}")
    elif not result.counts.any():
        result.tell("empty mask", "note", f"{stored.place}: nothing but the ignore label {data.ignore_label}")
    elif data.num_classes > 1 and not result.counts[1:].any() and data.ignore_label != 0:
        result.tell("background alone", "note", f"{stored.place}: nothing but class 0")


def _note_extremes(image: NDArray[np.uint8], result: _Examined) -> None:
    height, width = image.shape[:2]
    if min(height, width) < _SMALLEST_SIDE:
        result.tell("extreme size", "note", f"{_size(image)}: a side of fewer than {_SMALLEST_SIDE} pixels")
    elif max(height, width) > _LONGEST_RATIO * min(height, width):
        result.tell(
            "extreme size",
            "note",
            f"{_size(image)}: one side is more than {_LONGEST_RATIO:g} times the other",
        )
    elif height * width > _MOST_PIXELS:
        result.tell(
            "extreme size", "note", f"{_size(image)}: more than {_MOST_PIXELS:,} pixels, slow to decode"
        )


class _Tally:
    """Adds up what examples have to say, one after the other."""

    def __init__(self, num_classes: int, ignore_label: int) -> None:
        self._ignore_label = ignore_label
        self._findings: list[Finding] = []
        self._digests: dict[bytes, str] = {}
        self._sizes: Counter[tuple[int, int]] = Counter()
        self._unknown: Counter[int] = Counter()
        # Per class: its pixels, the masks that show it, and the counted pixels of these.
        self._pixels, self._images, self._around = (np.zeros(num_classes, np.int64) for _ in range(3))
        self._ignored = 0
        self._levels = np.zeros((3, 256), np.int64)
        # Example → which classes it shows, as bits.
        self._shown: dict[int, int] = {}

    def add(self, examined: _Examined) -> None:
        self._findings += examined.findings
        self._unknown.update(examined.unknown)
        if examined.digest is not None:
            first = self._digests.get(examined.digest)
            if first is None:
                self._digests[examined.digest] = examined.name
            else:
                self._findings.append(
                    Finding("duplicate", "note", examined.name, f"the same image file as {first}")
                )
        if examined.counts is None or examined.size is None or examined.levels is None:
            return  # it has an error
        present = examined.counts > 0
        self._pixels += examined.counts
        self._images += present
        self._around += present * int(examined.counts.sum())
        self._ignored += examined.ignored
        self._sizes[examined.size] += 1
        self._levels += examined.levels
        self._shown[examined.index] = _bits(present)

    def report(self, data: AnnotatedImages, checked: int, labels: Sequence[str]) -> DataReport:
        counted = int(self._pixels.sum())
        weights = median_frequency_weights(self._pixels.tolist(), self._around.tolist())
        classes = tuple(
            ClassShare(
                index,
                labels[index] if index < len(labels) else "",
                int(self._pixels[index]),
                int(self._images[index]),
                int(self._pixels[index]) / counted if counted else 0.0,
                weights[index],
            )
            for index in range(data.num_classes)
        )
        mean, deviation = self._color_statistics()
        return DataReport(
            name=data.name,
            total=len(data),
            checked=checked,
            num_classes=data.num_classes,
            ignore_label=data.ignore_label,
            findings=(*self._findings, *self._about_all(classes)),
            classes=classes,
            ignored=self._ignored / max(counted + self._ignored, 1),
            unknown=dict(sorted(self._unknown.items())),
            sizes=_size_range(self._sizes),
            mean=mean,
            deviation=deviation,
            picks=_picked(self._shown, self._pixels),
            digests=self._digests,
        )

    def _about_all(self, classes: Iterable[ClassShare]) -> Iterator[Finding]:
        absent = [entry for entry in classes if not entry.images and entry.index != self._ignore_label]
        if self._shown and not self._pixels.any():
            detail = "no mask has a pixel that counts: check the palette, the values or the ignore label"
            yield Finding("no class at all", "error", "", detail)
        elif self._shown and absent:
            names = ", ".join(f"{entry.index} {entry.name}".strip() for entry in absent)
            yield Finding("absent classes", "note", "", names)

    def _color_statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        pixels = int(self._levels[0].sum())
        if not pixels:
            return (), ()
        values = np.arange(256)
        mean = self._levels @ values / pixels
        variance = (self._levels * (values - mean[:, None]) ** 2).sum(1) / pixels
        return tuple(mean.tolist()), tuple(np.sqrt(variance).tolist())


def _size_range(sizes: Counter[tuple[int, int]]) -> SizeRange | None:
    if not sizes:
        return None
    (most_frequent, _), *_ = sizes.most_common(1)
    heights, widths = (sorted(size[axis] for size in sizes.elements()) for axis in (0, 1))
    middle = len(heights) // 2
    return SizeRange(
        (heights[0], heights[middle], heights[-1]),
        (widths[0], widths[middle], widths[-1]),
        len(sizes),
        most_frequent,
    )


def _picked(shown: Mapping[int, int], pixels: NDArray[np.int64]) -> tuple[int, ...]:
    """Few examples that show all classes: the one with the most that are still missing, again and again."""
    fewest, most = _PICKS
    missing = _bits(pixels > 0)
    picks: list[int] = []
    while missing and len(picks) < most:
        best = max(shown, key=lambda index: ((shown[index] & missing).bit_count(), -index))
        picks.append(best)
        missing &= ~shown[best]
    others = [index for index in shown if index not in picks]
    wanted = min(max(fewest - len(picks), 0), len(others))
    picks += [others[number * len(others) // wanted] for number in range(wanted)]
    return tuple(sorted(picks))


def _bits(flags: NDArray[np.bool_]) -> int:
    return int.from_bytes(np.packbits(flags, bitorder="little").tobytes(), "little")


def _in_order(
    executor: ThreadPoolExecutor, function: Callable[[int], _Examined], indices: Sequence[int]
) -> Iterator[_Examined]:
    """Results in order, a bounded number of them ahead."""
    ahead = 8 * (os.cpu_count() or 1)
    waiting: deque[Future[_Examined]] = deque()
    try:
        for index in indices:
            waiting.append(executor.submit(function, index))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


def _told(error: ImageError | DataError) -> str:
    return f"{error.received} ({error.rule})"


def _size(array: NDArray[Any]) -> str:
    return f"{array.shape[1]}×{array.shape[0]}"
