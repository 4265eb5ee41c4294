"""An evaluation as one HTML page that needs nothing beside it."""

from __future__ import annotations

from collections.abc import Iterator

from registry.evaluation.matrix_picture import draw_confusion_matrix
from registry.evaluation.result import Evaluation, count_of_images
from registry.evaluation.scoring import largest_confusions
from registry.evaluation.worst import WorstImage
from registry.inspection.markup import Markup, bar, document, element, figure, section, table, tile
from registry.inspection.pictures import data_url

__all__ = ["render"]

_WIDEST_MATRIX = 3840
_SHOWN_CONFUSIONS = 15


def render(evaluation: Evaluation) -> str:
    """The whole page."""
    title = element(
        "div",
        element("h1", evaluation.model),
        element("span", f"{evaluation.description} · {evaluation.dataset}", class_="label"),
    )
    footer = element("footer", f"atrous · {evaluation.protocol}")
    return document(evaluation.model, title, _tiles(evaluation), *_sections(evaluation), footer)


def _sections(evaluation: Evaluation) -> Iterator[Markup]:
    yield _classes(evaluation)
    yield _matrix(evaluation)
    if evaluation.worst:
        yield _worst(evaluation)
    yield _facts(evaluation)


def _tiles(evaluation: Evaluation) -> Markup:
    scores = evaluation.scores
    tiles = [
        tile(f"{scores.mean_iou:.2%}", "mean IoU"),
        tile(f"{scores.pixel_accuracy:.2%}", "of the pixels right"),
        tile(f"{scores.mean_accuracy:.2%}", "mean accuracy of the classes"),
    ]
    if evaluation.boundary is not None:
        tiles.append(tile(f"{evaluation.boundary.mean():.2%}", "mean boundary IoU"))
    else:
        tiles.append(tile(f"{scores.frequency_weighted_iou:.2%}", "frequency-weighted IoU"))
    return element("div", *tiles, class_="tiles")


def _classes(evaluation: Evaluation) -> Markup:
    classes = evaluation.classes
    total = max(1, evaluation.scores.pixels)
    measured = evaluation.boundary is not None
    columns = ["class", "IoU", "", "accuracy", "precision", *(["boundary IoU"] if measured else []), "pixels"]
    rows = [
        (
            _named(evaluation, score.index),
            _percent(score.iou),
            "" if score.iou is None else bar(score.iou),
            _percent(score.accuracy),
            _percent(score.precision),
            *([_percent(score.boundary_iou)] if measured else []),
            f"{score.pixels / total:.2%}",
        )
        for score in classes
    ]
    return section(
        "Classes",
        table(columns, rows, numbers=(1, *range(3, len(columns)))),
        note="Accuracy: share of the annotated pixels that were found. Precision: share of the pixels predicted as the "
        "class that are it. Pixels: share of all that count.",
    )


def _matrix(evaluation: Evaluation) -> Markup:
    picture = draw_confusion_matrix(evaluation.confusion, evaluation.labels)
    shown = element(
        "div",
        Markup(f'<img alt="" src="{data_url(picture, widest=_WIDEST_MATRIX)}" class="matrix">'),
        class_="scroll",
    )
    parts = [shown]
    confusions = largest_confusions(evaluation.confusion, _SHOWN_CONFUSIONS)
    if confusions:
        rows = [
            (
                _named(evaluation, entry.annotated),
                _named(evaluation, entry.predicted),
                f"{entry.share:.2%}",
                bar(entry.share, "float"),
                f"{entry.pixels:,}",
            )
            for entry in confusions
        ]
        parts += [
            element("h3", "Taken for another class"),
            table(("is", "was taken for", "share", "", "pixels"), rows, numbers=(2, 4)),
        ]
    return section(
        "Confusion matrix", *parts, note="Percent of each annotated class, by what it was predicted as."
    )


def _worst(evaluation: Evaluation) -> Markup:
    parts: list[Markup] = []
    for image in evaluation.worst:
        parts += [element("h3", str(image.score)), _pictures(evaluation, image)]
    return section(
        "Worst images", *parts, note="Red is where the prediction is wrong; what does not count is left out."
    )


def _pictures(evaluation: Evaluation, image: WorstImage) -> Markup:
    figures = (
        figure(
            data_url(pixels, smooth=caption == "image"), caption, "photo" if caption == "image" else "mask"
        )
        for caption, pixels in image.figures(evaluation.palette).items()
    )
    return element("div", *figures, class_="pictures")


def _facts(evaluation: Evaluation) -> Markup:
    scores = evaluation.scores
    rows = [
        ("model", f"{evaluation.model}: {evaluation.description}"),
        ("data", f"{evaluation.dataset}, {count_of_images(evaluation)}"),
        ("pixels that count", f"{scores.pixels:,}"),
        ("protocol", str(evaluation.protocol)),
        ("frequency-weighted IoU", f"{scores.frequency_weighted_iou:.2%}"),
        (
            "time",
            f"{1000 * evaluation.seconds_per_image:.1f} ms per image (median), on the machine that made this page",
        ),
    ]
    return section("What was measured", table(("", ""), rows))


def _named(evaluation: Evaluation, index: int) -> Markup:
    """A class with its colour."""
    color = "#" + "".join(f"{value:02x}" for value in evaluation.palette[index])
    dot = element("i", class_="dot", style=f"background:{color}")
    return element("span", dot, evaluation.labels[index], class_="whole")


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.2%}"
