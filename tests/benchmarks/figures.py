"""What was measured: series of numbers, and what is said of them.

A machine's speed drifts while it is measured. Contestants are therefore run in turns; what is compared is the median
of each, and the ratios within each turn say how far the comparison can be trusted.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["OURS", "Comparison", "Curve", "Measure", "quartiles"]

OURS = "atrous"


@dataclass(frozen=True)
class Measure:
    """One quantity of several contestants; less is better.

    Args:
        name: what was measured, with its conditions.
        unit: `ms`, `MiB`, `MB` or `s`.
        series: contestant → values, in the order of the turns.
        reference: the contestant that the others are divided by.
    """

    name: str
    unit: str
    series: Mapping[str, Sequence[float]]
    reference: str = OURS

    def median(self, who: str) -> float:
        """Half of the values are smaller."""
        return statistics.median(self.series[who])

    def quartiles(self, who: str) -> tuple[float, float]:
        """The middle half of the values lies between these."""
        return quartiles(self.series[who])

    def ratio(self, who: str) -> float | None:
        """Median of a contestant divided by the reference's: above 1 the reference is ahead.

        None if the reference has no values.
        """
        if not self.series.get(self.reference):
            return None
        return self.median(who) / self.median(self.reference)

    def paired(self, who: str) -> tuple[float, float] | None:
        """Smallest and largest ratio within a turn; None unless both ran in every turn."""
        theirs, ours = self.series[who], self.series.get(self.reference, ())
        if len(theirs) != len(ours) or len(theirs) < 2:
            return None
        ratios = [a / b for a, b in zip(theirs, ours, strict=True)]
        return min(ratios), max(ratios)

    def ahead(self) -> list[str]:
        """The contestants whose median is below the reference's."""
        return [who for who in self.series if (ratio := self.ratio(who)) is not None and ratio < 1]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready content, ratios included."""
        summaries = {
            who: {
                "values": list(values),
                "median": self.median(who),
                "quartiles": self.quartiles(who),
                "ratio": self.ratio(who),
                "paired_ratios": self.paired(who),
            }
            for who, values in self.series.items()
        }
        return {"name": self.name, "unit": self.unit, "reference": self.reference, "contestants": summaries}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Measure:
        """The measure that `to_dict` was asked of."""
        series = {who: summary["values"] for who, summary in content["contestants"].items()}
        return cls(content["name"], content["unit"], series, content["reference"])


@dataclass(frozen=True)
class Comparison:
    """What one comparison found.

    Args:
        name: of the module that made it.
        title: heading.
        text: what was compared, under which conditions.
        measures: the quantities.
        facts: contestant → what it said about its model: parameters, first loss.
        problems: contestant → why it is missing.
        load: load average of the machine when it began and ended; above the number of cores others were at work.
        conditions: when and how thoroughly it was measured.
        curves: measures that form lines.
    """

    name: str
    title: str
    text: str
    measures: Sequence[Measure]
    facts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)
    load: tuple[float, float] = (0.0, 0.0)
    conditions: str = ""
    curves: Sequence[Curve] = ()

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready content."""
        return {
            "name": self.name,
            "title": self.title,
            "text": self.text,
            "measures": [measure.to_dict() for measure in self.measures],
            "facts": {who: dict(facts) for who, facts in self.facts.items()},
            "problems": dict(self.problems),
            "load": list(self.load),
            "conditions": self.conditions,
            "curves": [curve.to_dict() for curve in self.curves],
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Comparison:
        """The comparison that `to_dict` was asked of."""
        return cls(
            content["name"],
            content["title"],
            content["text"],
            [Measure.from_dict(measure) for measure in content["measures"]],
            content["facts"],
            content["problems"],
            tuple(content["load"]),
            content["conditions"],
            [Curve(**curve) for curve in content["curves"]],
        )


@dataclass(frozen=True)
class Curve:
    """Measures of one comparison that form a line over a quantity.

    Args:
        title: of the plot.
        axis: the quantity, with its unit.
        positions: its values.
        measures: name of the measure at each of them.
    """

    title: str
    axis: str
    positions: Sequence[float]
    measures: Sequence[str]

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready content."""
        return {
            "title": self.title,
            "axis": self.axis,
            "positions": list(self.positions),
            "measures": list(self.measures),
        }


def quartiles(values: Sequence[float]) -> tuple[float, float]:
    """First and third quartile, interpolated between values; of a single value, itself twice."""
    if len(values) == 1:
        return values[0], values[0]
    first, _, third = statistics.quantiles(values, n=4, method="inclusive")
    return first, third
