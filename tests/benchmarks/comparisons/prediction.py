"""`model.predict` in the training framework."""

from __future__ import annotations

from tests.benchmarks.bench import Bench
from tests.benchmarks.figures import Comparison, Measure
from tests.benchmarks.race import race

__all__ = ["prediction"]


def prediction(bench: Bench) -> Comparison:
    """The same weights and images in both libraries."""
    measures: list[Measure] = []
    facts, problems = {}, {}
    directory = bench.preset()
    for size in bench.choose((256, 512), (128,)):
        name = f"predict, 1×{size}×{size}"
        bench.tell(name)
        options = {"directory": directory, "size": size, "batch_size": 1}
        contestants = {
            "atrous": bench.ours("predict", **options),
            "KerasHub": bench.peer("keras_hub", "predict", **options),
        }
        done = race(contestants, bench.rounds(10, 3))
        measures += [done.wall(name), done.cpu(name), done.peak(name)]
        facts.update(
            {
                f"{who}, {size}×{size}": {"mean score": known["first_result"]}
                for who, known in done.facts.items()
            }
        )
        problems.update(done.problems)
    return Comparison(
        "prediction",
        "Prediction in Keras",
        "`model.predict` of DeepLabV3+ with ResNet-50 as in KerasHub's Pascal VOC preset: one preset "
        "directory, loaded by both libraries, and one image.",
        measures,
        facts,
        problems,
    )
