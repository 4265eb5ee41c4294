"""What it costs to begin: import, list, build."""

from __future__ import annotations

from tests.benchmarks.bench import Bench
from tests.benchmarks.figures import Comparison, Measure
from tests.benchmarks.race import race

__all__ = ["start"]

_TASKS = {
    "import_library": "import",
    "list_presets": "import and list what there is",
    "build": "build DeepLabV3+ with ResNet-50, first time",
}


def start(bench: Bench) -> Comparison:
    """Import, list and build, each in a process that did nothing before."""
    measures: list[Measure] = []
    facts, problems = {}, {}
    for task, name in _TASKS.items():
        bench.tell(name)
        contestants = {
            "atrous": bench.ours(task),
            "KerasHub": bench.peer("keras_hub", task),
            "smp": bench.peer("smp", task),
        }
        done = race(contestants, bench.rounds(5, 2), afresh=True)
        measures += [done.wall(name), done.cpu(name)]
        if task == "build":
            facts = {who: {"parameters": known["first_result"]} for who, known in done.facts.items()}
        problems.update(done.problems)
    return Comparison(
        "start",
        "Import, list, build",
        "Each run in a process of its own, after one that was not counted. What is listed: atrous's presets, "
        "those of KerasHub's segmenters, the encoders of segmentation_models.pytorch (smp). What the "
        "libraries must import to build (TensorFlow, PyTorch) is imported before the build is timed; `import "
        "registry` leaves it until then.",
        measures,
        facts,
        problems,
    )
