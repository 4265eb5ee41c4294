"""A file of ours beside the engines of PyTorch's world."""

from __future__ import annotations

from tests.benchmarks.bench import Bench
from tests.benchmarks.child import ChildError
from tests.benchmarks.exports import MODES, exports
from tests.benchmarks.figures import Comparison, Measure
from tests.benchmarks.race import Contestant, race

__all__ = ["engines"]

_TASKS = {"ONNX Runtime": "run_onnxruntime", "OpenVINO": "run_openvino"}


def engines(bench: Bench) -> Comparison:
    """float32 and int8, one and two threads."""
    measures: list[Measure] = []
    problems: dict[str, str] = {}
    size = bench.file_size
    for mode in MODES:
        paths = {}
        for who, contestant in exports(bench, "separable", mode).items():
            try:
                paths[who] = str(bench.made(contestant))
            except ChildError as error:
                problems[f"{who}, {mode}"] = str(error)
        for threads in (1, 2):
            name = f"{mode}, {threads} thread{'s' * (threads > 1)}"
            bench.tell(f"engines, {name}")
            contestants: dict[str, Contestant] = {}
            for who, path in paths.items():
                options = {"path": path, "threads": threads}
                contestants[who] = (
                    bench.peer("smp", _TASKS[who], **options) if who in _TASKS else bench.tflite(**options)
                )
            if mode == "float32":
                contestants["PyTorch"] = bench.peer(
                    "smp", "predict", size=size, batch_size=1, threads=threads
                )
            done = race(contestants, bench.rounds(15, 5), warmup=2)
            measures += [done.wall(name), done.cpu(name)]
            problems.update({f"{who}, {name}": problem for who, problem in done.problems.items()})
    return Comparison(
        "engines",
        "Other engines",
        "DeepLabV3+ with ResNet-50, separable, at output stride 16: ours as a .tflite file in "
        "ai-edge-litert; segmentation_models.pytorch's as a .tflite file of litert-torch in the same "
        "interpreter, as an ONNX file in ONNX Runtime and in OpenVINO (int8 by NNCF), and in PyTorch itself; "
        f"1×{size}×{size}. The two networks are near relatives, not the same: smp has one separable "
        "convolution more at stride 16 and aligns corners.",
        measures,
        {},
        problems,
    )
