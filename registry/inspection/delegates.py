"""Which operations a delegate takes: XNNPACK by trying it, a phone's GPU by the rules of its delegate."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from registry.inspection.gpu import gpu_obstacle
from registry.inspection.model import ModelInspection
from registry.runtime.child import Child
from registry.runtime.modelfile import check_structure

__all__ = ["DelegateReport", "GpuObstacle", "Outside", "inspect_delegates", "partition"]

WORKER = "registry.inspection.worker"
LOAD_SECONDS = 300.0
_DELEGATE = "DELEGATE"
_CONVERSIONS = ("QUANTIZE", "DEQUANTIZE")
"""Of numbers to another type. uint8 pixels become int8 by one: XNNPACK's own keeps the type."""


@dataclass(frozen=True)
class Outside:
    """An operation that XNNPACK leaves to the interpreter's own kernels."""

    index: int
    name: str
    layer: str


@dataclass(frozen=True)
class GpuObstacle:
    """An operation that a GPU delegate refuses, and why."""

    index: int
    name: str
    layer: str
    reason: str


@dataclass(frozen=True)
class DelegateReport:
    """Who runs what.

    Args:
        operations: number of operations of the first subgraph.
        xnnpack_operations: how many of them XNNPACK takes.
        xnnpack_partitions: into how many pieces it takes them; every further piece copies and synchronizes.
        outside: the operations that it leaves.
        gpu_obstacles: the operations that TFLite's GPU delegate refuses; none means that it takes the file whole.
    """

    operations: int
    xnnpack_operations: int
    xnnpack_partitions: int
    outside: tuple[Outside, ...]
    gpu_obstacles: tuple[GpuObstacle, ...]

    @property
    def is_whole(self) -> bool:
        """Whether XNNPACK computes all of it in one piece; converting what goes in and comes out cuts nothing."""
        return self.xnnpack_partitions == 1 and all(entry.name in _CONVERSIONS for entry in self.outside)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready content."""
        return asdict(self)

    def __str__(self) -> str:
        """Several lines for a terminal."""
        outside = ", ".join(
            f"{name} ×{count}" for name, count in Counter(entry.name for entry in self.outside).items()
        )
        lines = [
            f"  XNNPACK       {self.xnnpack_operations} of {self.operations} operations in "
            f"{self.xnnpack_partitions} partition{'' if self.xnnpack_partitions == 1 else 's'}"
            + (f"; outside: {outside}" if outside else "")
        ]
        reasons = Counter((entry.name, entry.reason) for entry in self.gpu_obstacles)
        lines.append(f"  GPU delegate  {f'refuses {len(self.gpu_obstacles)}' if reasons else 'takes all'}")
        lines += [f"                {name} ×{count}: {reason}" for (name, reason), count in reasons.items()]
        return "\n".join(lines)


def inspect_delegates(
    path: Path | str, inspection: ModelInspection, *, size: tuple[int, int] | None = None
) -> DelegateReport:
    """Load a file in a child process, as a device would, and see what XNNPACK takes of it.

    Args:
        path: the `.tflite` file, trusted or not.
        inspection: what `inspect_model` said about it.
        size: height and width, for a file that leaves them open.

    Returns:
        Who runs what.

    Raises:
        ModelFileError: the interpreter refuses the file, crashes on it, or takes too long.
        ModelError: the file leaves its size open and none was given.
    """
    file = Path(path)
    check_structure(file)
    with Child(WORKER, file) as child:
        child.ask(
            "load", seconds=LOAD_SECONDS, path=str(file.absolute()), size=size and list(size), threads=1
        )
        nodes = child.ask("delegates", seconds=LOAD_SECONDS)
    entry = [operation for operation in inspection.operations if operation.subgraph == 0]
    pieces = partition(nodes)
    taken = {index for piece in pieces for index in piece}
    return DelegateReport(
        operations=len(entry),
        xnnpack_operations=len(taken),
        xnnpack_partitions=len(pieces),
        outside=tuple(
            Outside(operation.index, operation.name, operation.layer)
            for operation in entry
            if operation.index not in taken
        ),
        gpu_obstacles=tuple(
            GpuObstacle(operation.index, operation.name, operation.layer, reason)
            for operation in entry
            if (reason := gpu_obstacle(operation))
        ),
    )


def partition(nodes: Sequence[Mapping[str, Any]]) -> list[set[int]]:
    """The operations inside of each delegate's node.

    The interpreter keeps the replaced nodes in its list and appends one per partition, of which it tells inputs and
    outputs only. What lies between them is found by walking back from the outputs.

    Args:
        nodes: name, inputs and outputs of each, as the interpreter lists them.
    """
    producer = {
        tensor: index
        for index, node in enumerate(nodes)
        if node["name"] != _DELEGATE
        for tensor in node["outputs"]
    }
    pieces = [_between(nodes, node, producer) for node in nodes if node["name"] == _DELEGATE]
    return [piece for piece in pieces if piece]


def _between(
    nodes: Sequence[Mapping[str, Any]], delegate: Mapping[str, Any], producer: Mapping[int, int]
) -> set[int]:
    given, found = set(delegate["inputs"]), set()
    waiting = [tensor for tensor in delegate["outputs"] if tensor not in given]
    while waiting:
        index = producer.get(waiting.pop())
        if index is None or index in found:
            continue
        found.add(index)
        waiting += [tensor for tensor in nodes[index]["inputs"] if tensor not in given]
    return found
