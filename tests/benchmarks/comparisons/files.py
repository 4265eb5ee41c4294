"""Files of the same weights by the two exporters, in one interpreter."""

from __future__ import annotations

from tests.benchmarks.bench import Bench
from tests.benchmarks.child import ChildError
from tests.benchmarks.exports import MODES, exports
from tests.benchmarks.figures import Comparison, Measure
from tests.benchmarks.race import Contestant, race

__all__ = ["files"]


def files(bench: Bench) -> Comparison:
    """float32 and int8, one and two threads."""
    measures: list[Measure] = []
    problems: dict[str, str] = {}
    for mode in MODES:
        paths = {}
        for who, contestant in exports(bench, "keras_hub", mode).items():
            try:
                paths[who] = str(bench.made(contestant))
            except ChildError as error:
                problems[f"{who}, {mode}"] = str(error)
        for threads in (1, 2):
            name = f"{mode} .tflite, {threads} thread{'s' * (threads > 1)}"
            bench.tell(name)
            contestants: dict[str, Contestant] = {
                who: bench.tflite(path=path, threads=threads) for who, path in paths.items()
            }
            done = race(contestants, bench.rounds(15, 5), warmup=2)
            measures += [done.wall(name), done.cpu(name), done.peak(name)]
            problems.update({f"{who}, {name}": problem for who, problem in done.problems.items()})
    return Comparison(
        "files",
        "Files of the same weights",
        "KerasHub's preset directory, exported by KerasHub and by atrous, run by ai-edge-litert with XNNPACK "
        f"on 1×{bench.file_size}×{bench.file_size}.",
        measures,
        {},
        problems,
    )
