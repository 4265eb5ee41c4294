"""The comparisons, in the order of the report; each is a function of the benchmark that gives a `Comparison`."""

from __future__ import annotations

from collections.abc import Callable

from tests.benchmarks.bench import Bench
from tests.benchmarks.comparisons.engines import engines
from tests.benchmarks.comparisons.export import export
from tests.benchmarks.comparisons.files import files
from tests.benchmarks.comparisons.prediction import prediction
from tests.benchmarks.comparisons.scaling import scaling
from tests.benchmarks.comparisons.start import start
from tests.benchmarks.comparisons.training import training
from tests.benchmarks.figures import Comparison

__all__ = ["COMPARISONS"]

COMPARISONS: dict[str, Callable[[Bench], Comparison]] = {
    comparison.__name__: comparison
    for comparison in (start, prediction, training, export, files, engines, scaling)
}
