"""A benchmark as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tests.benchmarks.figures import Comparison, Measure

__all__ = ["markdown", "number", "table"]


def number(value: float) -> str:
    """Three digits that matter, never an exponent: 0.012, 1.23, 45.6, 1,234."""
    if value == 0:
        return "0"
    if abs(value) >= 99.95:
        return f"{value:,.0f}"
    if abs(value) >= 9.995:
        return f"{value:.1f}"
    if abs(value) >= 0.9995:
        return f"{value:.2f}"
    text = f"{value:.3g}"
    return text if "e" not in text else f"{value:.6f}"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; the first column is text, the others are numbers."""
    lines = [header, ["---", *(["---:"] * (len(header) - 1))], *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def markdown(
    machine: Mapping[str, Any], comparisons: Sequence[Comparison], plots: Mapping[str, Sequence[str]]
) -> str:
    """The whole report.

    Args:
        machine: what `tests.benchmarks.machine.describe` gave.
        comparisons: what was found.
        plots: name of a comparison → paths of its plots, as links.
    """
    parts = [
        "# Benchmarks",
        _conditions(machine, comparisons),
        "## Where another is ahead",
        _ahead(comparisons),
    ]
    for comparison in comparisons:
        parts += [f"## {comparison.title}", comparison.text, _measures(comparison.measures)]
        if comparison.facts:
            parts.append(_facts(comparison.facts))
        if comparison.problems:
            parts.append(
                "Not measured:\n\n"
                + "\n".join(f"- {who}: {problem}" for who, problem in comparison.problems.items())
            )
        before, after = (number(load) for load in comparison.load)
        parts.append(f"Measured {comparison.conditions}; load average {before} before, {after} after.")
        parts += [f"![{comparison.title}]({path})" for path in plots.get(comparison.name, ())]
    return "\n\n".join(parts) + "\n"


def _conditions(machine: Mapping[str, Any], comparisons: Sequence[Comparison]) -> str:
    loads = [load for comparison in comparisons for load in comparison.load]
    rows = [
        (
            "processor",
            f"{machine['processor']}, {machine['cpus']} CPUs; {', '.join(machine['instructions'])}",
        ),
        ("memory", f"{machine['memory_gib']} GiB"),
        ("system", f"{machine['system']}, Python {machine['python']}"),
        ("oneDNN in TensorFlow", machine["onednn"]),
        ("load average", f"{number(min(loads))} to {number(max(loads))}" if loads else "not taken"),
        *(
            (name, ", ".join(f"{package} {version}" for package, version in packages.items()))
            for name, packages in machine["versions"].items()
        ),
    ]
    return (
        "Contestants run in turns, each in a process of its own; whoever begins changes from turn to turn. "
        "The tables give the median, the middle half of the runs, the median divided by that of atrous "
        "(above 1: atrous is ahead), and the smallest and largest such ratio within a turn. Where the load "
        "average exceeds the number of CPUs others were at work: elapsed times are then longer for all, and "
        "processor time, of all threads, says more.\n\n"
        + "\n".join(f"- {name}: {value}" for name, value in rows)
    )


def _ahead(comparisons: Sequence[Comparison]) -> str:
    rows = [
        (
            measure.name,
            who,
            f"{number(measure.median(who))} {measure.unit}",
            f"{number(measure.median(measure.reference))} {measure.unit}",
            f"{number(1 / (measure.ratio(who) or 1))} ×",
        )
        for comparison in comparisons
        for measure in comparison.measures
        for who in measure.ahead()
    ]
    if not rows:
        return "Nowhere in what was measured."
    return table(["", "who", "theirs", "atrous", "ahead by"], rows)


def _measures(measures: Sequence[Measure]) -> str:
    rows = []
    for measure in measures:
        for who in measure.series:
            low, high = measure.quartiles(who)
            ratio, paired = measure.ratio(who), measure.paired(who)
            is_reference = who == measure.reference
            rows.append(
                (
                    measure.name,
                    who,
                    f"{number(measure.median(who))} {measure.unit}",
                    f"{number(low)}–{number(high)}" if len(measure.series[who]) > 1 else "one run",
                    "1" if is_reference else "–" if ratio is None else f"**{number(ratio)}**",
                    "" if is_reference or paired is None else f"{number(paired[0])}–{number(paired[1])}",
                )
            )
    return table(["", "who", "median", "middle half", "÷ atrous", "within turns"], rows)


def _facts(facts: Mapping[str, Mapping[str, Any]]) -> str:
    names = list(dict.fromkeys(name for known in facts.values() for name in known))
    return table(
        ["", *names], [(who, *(_fact(known.get(name)) for name in names)) for who, known in facts.items()]
    )


def _fact(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.5f}"
    return f"{value:,}" if isinstance(value, int) else "" if value is None else str(value)
