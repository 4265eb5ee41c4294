"""What it costs to begin: import, list, build, load."""

from __future__ import annotations

from tests.benchmarks.bench import Bench
from tests.benchmarks.figures import Comparison, Measure
from tests.benchmarks.race import Contestant, race

__all__ = ["start"]

_BUILD, _LOAD = "build DeepLabV3+ with ResNet-50, first time", "the same, with the weights of a directory"


def start(bench: Bench) -> Comparison:
    """Import, list, build and load, each in a process that did nothing before."""
    directory = {"directory": bench.preset()}
    races = {
        "import": _everyone(bench, "import_library"),
        "import and list what there is": _everyone(bench, "list_presets"),
        _BUILD: {
            **_everyone(bench, "build"),
            "tf-keras, ResNet-50 alone": bench.ours("build", of="tf_keras"),
        },
        _LOAD: {
            "atrous": bench.ours("load_preset", **directory),
            "KerasHub": bench.peer("keras_hub", "load_preset", **directory),
        },
    }
    measures: list[Measure] = []
    facts, problems = {}, {}
    for name, contestants in races.items():
        bench.tell(name)
        done = race(contestants, bench.rounds(5, 2), afresh=True)
        measures += [done.wall(name), done.cpu(name)]
        if name == _BUILD:
            facts = {who: {"parameters": known["first_result"]} for who, known in done.facts.items()}
        if name == _LOAD:
            measures.append(done.peak(name))
        problems.update(done.problems)
    return Comparison(
        "start",
        "Import, list, build, load",
        "Each run in a process of its own, after one that was not counted. What is listed: atrous's presets, "
        "those of KerasHub's segmenters, the encoders of segmentation_models.pytorch (smp). What the "
        "libraries must import to build (TensorFlow, PyTorch) is imported before the build is timed; `import "
        "registry` leaves it until then. tf-keras's own ResNet-50, an encoder without a head, shows what the layers "
        "of that Keras cost to make.",
        measures,
        facts,
        problems,
    )


def _everyone(bench: Bench, task: str) -> dict[str, Contestant]:
    return {
        "atrous": bench.ours(task),
        "KerasHub": bench.peer("keras_hub", task),
        "smp": bench.peer("smp", task),
    }
