"""Write what is known about a file beside it: JSON for machines, a page for people."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from registry.atomic import atomic_path, check_output_path
from registry.inspection.page import Report, render

__all__ = ["Report", "report_document", "write_html", "write_report"]


def write_report(base: str | os.PathLike[str], report: Report) -> tuple[Path, Path]:
    """Write `<base>.json` and `<base>.html`, each completely or not at all.

    Args:
        base: path without suffix, for instance `out/model.report`.
        report: what to write.

    Returns:
        The paths of the JSON file and of the page.

    Raises:
        OutputPathError: a path cannot be written.
    """
    stem = Path(base)
    targets = stem.with_name(f"{stem.name}.json"), stem.with_name(f"{stem.name}.html")
    for target in targets:
        check_output_path(target)
    with atomic_path(targets[0]) as temporary:
        text = json.dumps(report_document(report), indent=2, ensure_ascii=False, default=str)
        temporary.write_text(text + "\n", encoding="utf-8")
    write_html(targets[1], report)
    return targets


def write_html(path: str | os.PathLike[str], report: Report) -> None:
    """Write the page alone.

    Args:
        path: the file to write, ending in `.html`.
        report: what to write.

    Raises:
        OutputPathError: the path cannot be written.
    """
    check_output_path(path, suffixes=(".html",))
    with atomic_path(path) as temporary:
        temporary.write_text(render(report), encoding="utf-8")


def report_document(report: Report) -> dict[str, Any]:
    """What the JSON file holds; pictures are on the page only."""
    return {
        "export": None if report.export is None else dict(report.export),
        "inspection": report.inspection.to_dict(),
        "delegates": None if report.delegates is None else report.delegates.to_dict(),
        "latency": None if report.latency is None else report.latency.to_dict(),
        "pictures": [
            {"name": picture.name, "mask_agreement": picture.agreement} for picture in report.pictures
        ],
        "layers": [layer.to_dict() for layer in report.layers],
    }
