"""Plots of a benchmark, as SVG by matplotlib (the extra `benchmarks`)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.benchmarks.figures import Comparison, Curve, Measure
from tests.benchmarks.report import number

__all__ = ["draw"]

# Distinguishable for the colour-blind (Okabe and Ito), ours first.
_COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00")


def draw(comparison: Comparison, folder: Path) -> list[Path]:
    """Draw a comparison: points by unit, or its curves.

    Returns:
        The files, named after the comparison.
    """
    import matplotlib as mpl

    mpl.use("svg")
    # The same figures give the same file: no date, no random identifiers; and text that can be searched.
    mpl.rcParams.update({"svg.hashsalt": "atrous", "svg.fonttype": "none", "font.size": 9})
    contestants = list(dict.fromkeys(who for measure in comparison.measures for who in measure.series))
    colours = {who: _COLOURS[number % len(_COLOURS)] for number, who in enumerate(contestants)}
    paths = []
    if comparison.curves:
        by_name = {measure.name: measure for measure in comparison.measures}
        for number, curve in enumerate(comparison.curves, 1):
            path = folder / f"{comparison.name}_{number}.svg"
            _save(_lines(curve, [by_name[name] for name in curve.measures], colours), path)
            paths.append(path)
        return paths
    for unit in dict.fromkeys(measure.unit for measure in comparison.measures):
        measures = [measure for measure in comparison.measures if measure.unit == unit and measure.series]
        if not measures:
            continue
        path = folder / f"{comparison.name}_{unit.lower()}.svg"
        _save(_points(comparison.title, unit, measures, colours), path)
        paths.append(path)
    return paths


def _points(title: str, unit: str, measures: Sequence[Measure], colours: dict[str, str]) -> Any:
    """A row per contestant: the median as a point, the middle half as a whisker.

    On a logarithmic axis equal ratios are equal distances; bars would have no honest beginning there.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    rows = sum(len(measure.series) for measure in measures) + 0.6 * len(measures)
    figure = Figure(figsize=(8, 1.2 + 0.22 * rows), layout="constrained")
    axes = figure.add_subplot()
    place, ticks = 0.0, []
    for measure in measures:
        start = place
        for who in measure.series:
            median, (low, high) = measure.median(who), measure.quartiles(who)
            axes.errorbar(
                median, place, xerr=[[median - low], [high - median]], fmt="o", color=colours[who], capsize=3
            )
            axes.annotate(number(median), (high, place), (6, 0), textcoords="offset points", va="center")
            place += 1
        ticks.append(((start + place - 1) / 2, measure.name))
        place += 0.6
    axes.set_yticks([tick for tick, _ in ticks], [name for _, name in ticks])
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.margins(x=0.15)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.grid(axis="x", alpha=0.4)
    axes.set(title=f"{title}, less is better", xlabel=unit)
    _legend(axes, colours, measures)
    return figure


def _lines(curve: Curve, measures: Sequence[Measure], colours: dict[str, str]) -> Any:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.add_subplot()
    for who, colour in colours.items():
        points = [
            (position, measure.median(who), *measure.quartiles(who))
            for position, measure in zip(curve.positions, measures, strict=True)
            if who in measure.series
        ]
        if points:
            places, medians, lows, highs = zip(*points, strict=True)
            axes.plot(places, medians, "o-", color=colour, label=who)
            axes.fill_between(places, lows, highs, color=colour, alpha=0.2)
    axes.set(title=curve.title, xlabel=curve.axis, ylabel=measures[0].unit, ylim=(0, None))
    axes.set_xticks(list(curve.positions), [str(position) for position in curve.positions])
    axes.legend()
    return figure


def _legend(axes: Any, colours: dict[str, str], measures: Sequence[Measure]) -> None:
    from matplotlib.patches import Patch

    shown = [who for who in colours if any(who in measure.series for measure in measures)]
    axes.legend(handles=[Patch(color=colours[who], label=who) for who in shown], loc="best")


def _save(figure: Any, path: Path) -> None:
    figure.savefig(path, format="svg", metadata={"Date": None})
