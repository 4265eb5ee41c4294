"""From a model to a file."""

from __future__ import annotations

from collections.abc import Mapping

from tests.benchmarks.bench import Bench
from tests.benchmarks.exports import MODES, NETWORKS, exports
from tests.benchmarks.figures import Comparison, Measure
from tests.benchmarks.race import Contestant, race

__all__ = ["export"]


def merged(contestants: Mapping[str, Contestant]) -> dict[str, Contestant]:
    """Contestants that share a file as one, named after all of them."""
    names: dict[str, list[str]] = {}
    for who, contestant in contestants.items():
        names.setdefault(contestant.options["path"], []).append(who)
    return {", ".join(sharing): contestants[sharing[0]] for sharing in names.values()}


def export(bench: Bench) -> Comparison:
    """Time to write each file, and its size."""
    measures: list[Measure] = []
    problems = {}
    for network, title in NETWORKS.items():
        for mode in MODES:
            name = f"{mode}, {title}"
            bench.tell(f"export {name}")
            contestants = merged(exports(bench, network, mode))
            done = race(contestants, bench.rounds(2, 1), warmup=0, afresh=True)
            sizes = {who: [run.result for run in runs] for who, runs in done.runs.items()}
            measures += [
                done.wall(f"export {name}", "s"),
                done.cpu(f"export {name}", "s"),
                done.peak(f"export {name}"),
                Measure(f"file {name}", "MB", sizes),
            ]
            problems.update({f"{who}, {name}": problem for who, problem in done.problems.items()})
    return Comparison(
        "export",
        "Export",
        f"The model is in memory; the file's input is 1×{bench.file_size}×{bench.file_size}. int8 files are "
        "calibrated with the same four images of noise. Part of atrous's time is that it runs each file and "
        "compares it with the model before the file appears, which the others leave to their users. ONNX "
        "files are written once for both engines that run them; their int8 times begin at the ONNX file.",
        measures,
        {},
        problems,
    )
