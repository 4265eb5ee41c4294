"""What a check of annotated images found."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import groupby
from typing import Any, Literal

__all__ = ["ClassShare", "DataReport", "Finding", "SizeRange", "listed", "median_frequency_weights"]

_LISTED = 10
_LONGEST_NAME = 28


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or worth knowing, about one example or about all.

    Args:
        kind: what it is, such as `unreadable image`; equal ones are listed together.
        severity: `error` for what training or evaluation would stop at, or be wrong by; else `note`.
        name: of the example; empty for a finding about all of them.
        detail: the file and the values.
    """

    kind: str
    severity: Literal["error", "note"]
    name: str
    detail: str


@dataclass(frozen=True)
class ClassShare:
    """How often a class occurs, in the examples without errors.

    Args:
        index: of the class.
        name: empty where it is unknown.
        pixels: number of its pixels.
        images: number of masks that show it.
        share: of all pixels that count, 0…1.
        weight: by which a loss would balance the classes, see `median_frequency_weights`.
    """

    index: int
    name: str
    pixels: int
    images: int
    share: float
    weight: float


@dataclass(frozen=True)
class SizeRange:
    """Heights and widths of the images in pixels: smallest, median, largest.

    Args:
        heights: of all images.
        widths: of all images.
        distinct: number of different sizes.
        most_frequent: height and width of the size that most images have.
    """

    heights: tuple[int, int, int]
    widths: tuple[int, int, int]
    distinct: int
    most_frequent: tuple[int, int]


@dataclass(frozen=True, eq=False)
class DataReport:
    """What `check_data` found. Statistics are those of the examples without errors.

    Args:
        name: of the data set.
        total: number of its examples.
        checked: how many of them were read.
        num_classes: mask values are 0 … num_classes - 1, and the ignore label.
        ignore_label: mask value that is not counted.
        findings: errors and notes.
        classes: one entry per class.
        ignored: share of all pixels that have the ignore label, 0…1.
        unknown: mask value that is no class → number of its pixels, in all masks.
        sizes: None if no image could be read.
        mean: of the pixels, per channel, 0…255.
        deviation: standard deviation of the pixels, per channel.
        picks: numbers of examples that together show as many classes as possible, for a picture sheet.
        digests: hash of an image's file → name of its first example; what two parts have in common is a leak.
    """

    name: str
    total: int
    checked: int
    num_classes: int
    ignore_label: int
    findings: tuple[Finding, ...]
    classes: tuple[ClassShare, ...]
    ignored: float
    unknown: Mapping[int, int]
    sizes: SizeRange | None
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    picks: tuple[int, ...] = ()
    digests: Mapping[bytes, str] = field(default_factory=dict, repr=False)

    @property
    def errors(self) -> tuple[Finding, ...]:
        """Findings that training or evaluation would stop at, or be wrong by."""
        return tuple(finding for finding in self.findings if finding.severity == "error")

    @property
    def notes(self) -> tuple[Finding, ...]:
        """Findings that need not be wrong."""
        return tuple(finding for finding in self.findings if finding.severity == "note")

    @property
    def class_weights(self) -> tuple[float, ...]:
        """One weight per class, for `class_weights` of a recipe's cross-entropy."""
        return tuple(entry.weight for entry in self.classes)

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON holds it."""
        return {
            "name": self.name,
            "total": self.total,
            "checked": self.checked,
            "num_classes": self.num_classes,
            "ignore_label": self.ignore_label,
            "errors": [_described(finding) for finding in self.errors],
            "notes": [_described(finding) for finding in self.notes],
            "classes": [asdict(entry) for entry in self.classes],
            "class_weights": list(self.class_weights),
            "ignored": self.ignored,
            "unknown": {str(value): pixels for value, pixels in self.unknown.items()},
            "sizes": None if self.sizes is None else asdict(self.sizes),
            "mean": list(self.mean),
            "deviation": list(self.deviation),
        }

    def __str__(self) -> str:
        """The report for people: at most ten findings of a kind."""
        some = "" if self.checked == self.total else f" of {self.total:,}"
        lines = [f"data      {self.name}, {self.checked:,}{some} images, {self.num_classes} classes"]
        if self.sizes is not None:
            lines += [
                f"heights   {_range(self.sizes.heights)}",
                f"widths    {_range(self.sizes.widths)}",
                f"sizes     {self.sizes.distinct:,}, most often "
                f"{self.sizes.most_frequent[1]}×{self.sizes.most_frequent[0]}",
                f"pixels    mean {_numbers(self.mean)}; standard deviation {_numbers(self.deviation)}",
                f"ignored   {self.ignored:.2%}",
            ]
        if self.unknown:
            lines.append(
                "unknown   "
                + ", ".join(
                    f"{value} ({pixels:,} pixels)" for value, pixels in list(self.unknown.items())[:_LISTED]
                )
            )
        lines += ["", *_class_table(self.classes)]
        for title, findings in (("errors", self.errors), ("notes", self.notes)):
            lines += ["", *listed(title, findings)] if findings else []
        lines += ["", f"{len(self.errors)} errors, {len(self.notes)} notes"]
        return "\n".join(lines)


def median_frequency_weights(pixels: Sequence[int], pixels_of_images: Sequence[int]) -> list[float]:
    """Weights that balance classes by their frequencies (Eigen and Fergus, arXiv:1411.4734, section 6.3).

    The frequency of a class is its share of the pixels of those images that show it; its weight is the median of all
    classes' frequencies, divided by its own. A class that never occurs is neither weighted nor counted in the median.

    Args:
        pixels: number of pixels of each class.
        pixels_of_images: number of counted pixels of the images that show each class.

    Returns:
        One weight per class; 1 for a class that never occurs.
    """
    frequencies = [
        part / whole if part else 0.0 for part, whole in zip(pixels, pixels_of_images, strict=True)
    ]
    present = sorted(frequency for frequency in frequencies if frequency)
    if not present:
        return [1.0] * len(frequencies)
    middle = len(present) // 2
    median = present[middle] if len(present) % 2 else (present[middle - 1] + present[middle]) / 2
    return [median / frequency if frequency else 1.0 for frequency in frequencies]


def listed(title: str, findings: Sequence[Finding]) -> list[str]:
    """Lines that name findings by kind, the first ten of each."""
    lines = [title]
    for kind, group in groupby(
        sorted(findings, key=lambda finding: finding.kind), lambda finding: finding.kind
    ):
        found = list(group)
        lines.append(f"  {kind} ({len(found):,})")
        lines += [
            f"    {one.name}: {one.detail}" if one.name else f"    {one.detail}" for one in found[:_LISTED]
        ]
        if len(found) > _LISTED:
            lines.append(f"    … and {len(found) - _LISTED:,} more")
    return lines


def _described(finding: Finding) -> dict[str, str]:
    return {"kind": finding.kind, "name": finding.name, "detail": finding.detail}


def _range(values: tuple[int, int, int]) -> str:
    return f"{values[0]} … {values[2]}, median {values[1]}"


def _numbers(values: Iterable[float]) -> str:
    return " ".join("–" if math.isnan(value) else f"{value:.2f}" for value in values)


def _class_table(classes: Sequence[ClassShare]) -> list[str]:
    width = min(max((len(entry.name) for entry in classes), default=0), _LONGEST_NAME)
    lines = [f"{'class':<{width + 6}}{'images':>9}{'pixels':>16}{'share':>9}{'weight':>9}"]
    lines += [
        f"{entry.index:>5} {entry.name[:_LONGEST_NAME]:<{width}}"
        f"{entry.images:>9,}{entry.pixels:>16,}{entry.share:>9.3%}"
        f"{entry.weight:>9.3g}"
        for entry in classes
    ]
    return lines
