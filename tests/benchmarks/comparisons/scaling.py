"""How prediction grows with the image and with the batch."""

from __future__ import annotations

from tests.benchmarks.bench import Bench
from tests.benchmarks.figures import Comparison, Curve, Measure
from tests.benchmarks.race import race

__all__ = ["scaling"]


def scaling(bench: Bench) -> Comparison:
    """Sizes at batch 1, and batches at one size."""
    directory = bench.preset()
    sizes = bench.choose((128, 256, 384, 512, 768), (64, 128, 192))
    batches, side = bench.choose((1, 2, 4, 8), (1, 2, 4)), bench.choose(256, 64)
    curves = [
        ("Prediction over the image's size", "side in pixels, batch 1", [(1, size) for size in sizes], sizes),
        (
            "Prediction over the batch",
            f"images of {side}×{side} pixels",
            [(count, side) for count in batches],
            batches,
        ),
    ]
    measures: dict[str, Measure] = {}
    drawn: list[Curve] = []
    problems: dict[str, str] = {}
    for title, axis, points, positions in curves:
        names = [f"predict, {count}×{size}×{size}" for count, size in points]
        for name, (count, size) in zip(names, points, strict=True):
            if name in measures:
                continue
            bench.tell(f"scaling, {name}")
            options = {"directory": directory, "size": size, "batch_size": count}
            contestants = {
                "atrous": bench.ours("predict", **options),
                "KerasHub": bench.peer("keras_hub", "predict", **options),
            }
            done = race(contestants, bench.rounds(5, 2))
            measures[name] = done.wall(name)
            measures[f"{name}, peak"] = done.peak(name)
            problems.update({f"{who}, {name}": problem for who, problem in done.problems.items()})
        drawn += [
            Curve(f"{title}: time", axis, positions, names),
            Curve(f"{title}: memory", axis, positions, [measures[f"{name}, peak"].name for name in names]),
        ]
    return Comparison(
        "scaling",
        "Scaling",
        "`model.predict` as above, over sizes and batches.",
        list(measures.values()),
        {},
        problems,
        curves=drawn,
    )
