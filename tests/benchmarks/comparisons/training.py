"""A training step."""

from __future__ import annotations

from tests.benchmarks.bench import Bench
from tests.benchmarks.figures import Comparison, Measure
from tests.benchmarks.race import race

__all__ = ["training"]


def training(bench: Bench) -> Comparison:
    """SGD with momentum on the same weights, images and masks; and on PyTorch's own network."""
    size, batch_size = bench.choose(256, 128), 2
    options = {"size": size, "batch_size": batch_size}
    directory = bench.preset()
    networks = {
        "training step, KerasHub's network": {
            "atrous": bench.ours("training_step", directory=directory, **options),
            "KerasHub": bench.peer("keras_hub", "training_step", directory=directory, **options),
        },
        "training step, separable at output stride 16": {
            "atrous": bench.ours("training_step", directory=None, **options),
            "smp": bench.peer("smp", "training_step", **options),
        },
    }
    measures: list[Measure] = []
    facts, problems = {}, {}
    for network, contestants in networks.items():
        name = f"{network}, {batch_size}×{size}×{size}"
        bench.tell(name)
        done = race(contestants, bench.rounds(7, 3), warmup=2)
        measures += [done.wall(name), done.cpu(name), done.peak(name)]
        for who, known in done.facts.items():
            facts[f"{who}, {network}"] = {
                "trainable parameters": known["trainable_parameters"],
                "first loss": known["first_result"],
            }
        problems.update(done.problems)
    return Comparison(
        "training",
        "Training step",
        "One step of SGD with momentum on the cross-entropy of a batch in memory, after two that were not "
        "counted: `registry.train`'s step beside Keras's `train_on_batch`, on the same weights, images and "
        "masks, so that their first losses must agree; and, with weights of their own, the separable network "
        "at output stride 16 beside PyTorch's, channels last.",
        measures,
        facts,
        problems,
    )
