"""Time per operation, from the profiler that LiteRT has in its C interface only.

ai-edge-litert's Python classes cannot switch it on; its shared library can, through functions with a version of
their own. Where those are missing there is no profile. Call this in a child process: the arguments are not checked.
"""

from __future__ import annotations

import ctypes
import re
from pathlib import Path
from typing import Any

import ai_edge_litert
import numpy as np
from ai_edge_litert.interpreter import Interpreter

__all__ = ["profile_operations"]

_LIBRARIES = ("libLiteRt.so", "libLiteRt.dylib")
_ON_CPU = 1
_WARMUP = 2
# `LiteRtElementType`, whose values are those of `TfLiteType`.
_ELEMENT_TYPES = {"float32": 1, "int32": 2, "uint8": 3, "int64": 4, "bool": 6, "int16": 7, "int8": 9}
_ROW = re.compile(
    r"^\s*(?P<kind>\S.*?)\s+[\d.]+\s+[\d.]+\s+(?P<ms>[\d.]+)\s+[\d.]+%\s+[\d.]+%\s+[\d.]+\s+\d+\s+\[?(?P<name>.*)$"
)
_Handle = ctypes.c_void_p


class _Layout(ctypes.Structure):
    _fields_ = (("rank", ctypes.c_uint32), ("sides", ctypes.c_int32 * 8), ("strides", ctypes.c_uint32 * 8))


class _TensorType(ctypes.Structure):
    _fields_ = (("element_type", ctypes.c_int), ("layout", _Layout))


class _UnavailableError(Exception):
    """This LiteRT has no such function, or refuses."""


def profile_operations(path: Path, *, threads: int, runs: int) -> list[dict[str, Any]] | None:
    """Run a file with the profiler on.

    Args:
        path: a `.tflite` file of fixed size; runs on zeros.
        threads: threads of XNNPACK.
        runs: number of profiled runs.

    Returns:
        Kernel and mean milliseconds of each step, in the order of execution; None where there is no profiler.
    """
    try:
        runtime = _Runtime()
        return _steps(runtime.summary(path, threads, runs))
    except (_UnavailableError, KeyError):
        return None


def _steps(summary: str) -> list[dict[str, Any]]:
    """The first table of the summary, which is in the order of execution."""
    _, _, table = summary.partition("Run Order")
    table, _, _ = table.partition("Top by Computation Time")
    rows = filter(None, map(_ROW.match, table.splitlines()))
    return [{"kernel": row["kind"].removeprefix("Delegate/"), "ms": float(row["ms"])} for row in rows]


class _Runtime:
    """The functions of LiteRT's C interface that profiling takes."""

    def __init__(self) -> None:
        folder = Path(ai_edge_litert.__file__).parent
        found = [folder / name for name in _LIBRARIES if (folder / name).is_file()]
        if not found:
            raise _UnavailableError
        self._library = ctypes.CDLL(str(found[0]))
        self._system = ctypes.CDLL(None)
        self._system.strdup.restype = ctypes.c_void_p
        self._system.strdup.argtypes = (ctypes.c_char_p,)

    def summary(self, path: Path, threads: int, runs: int) -> str:
        environment = self._make("LiteRtCreateEnvironment", 0, None)
        model = self._make("LiteRtCreateModelFromFile", environment, str(path).encode())
        compiled = self._make("LiteRtCreateCompiledModel", environment, model, self._options(threads))
        profiler = self._make("LiteRtCompiledModelGetProfiler", compiled)
        interpreter = Interpreter(model_path=str(path))
        inputs = self._buffers(environment, compiled, "Input", interpreter.get_input_details())
        outputs = self._buffers(environment, compiled, "Output", interpreter.get_output_details())
        arguments = (compiled, _size(0), _size(len(inputs)), inputs, _size(len(outputs)), outputs)
        for _ in range(_WARMUP):
            self._call("LiteRtRunCompiledModel", *arguments)
        self._call("LiteRtStartProfiler", profiler)
        for _ in range(runs):
            self._call("LiteRtRunCompiledModel", *arguments)
        self._call("LiteRtStopProfiler", profiler)
        text = ctypes.c_char_p()
        self._call("LiteRtGetProfileSummary", profiler, compiled, ctypes.byref(text))
        return (text.value or b"").decode(errors="replace")

    def _options(self, threads: int) -> _Handle:
        options = self._make("LiteRtCreateOptions")
        self._call("LiteRtSetOptionsHardwareAccelerators", options, ctypes.c_int(_ON_CPU))
        for kind, text in (
            (b"runtime_options_string", b"enable_profiling = true\n"),
            (b"cpu_options_string", b"num_threads = %d\n" % threads),
        ):
            # The library frees the text with `free`, so that it has to come from the same allocator.
            payload, release = _Handle(self._system.strdup(text)), ctypes.cast(self._system.free, _Handle)
            opaque = self._make("LiteRtCreateOpaqueOptions", ctypes.c_char_p(kind), payload, release)
            self._call("LiteRtAddOpaqueOptions", options, opaque)
        return options

    def _buffers(self, environment: _Handle, compiled: _Handle, kind: str, tensors: list[Any]) -> Any:
        buffers = (_Handle * len(tensors))()
        for index, details in enumerate(tensors):
            needs = self._make(
                f"LiteRtGetCompiledModel{kind}BufferRequirements", compiled, _size(0), _size(index)
            )
            described = _TensorType(element_type=_ELEMENT_TYPES[np.dtype(details["dtype"]).name])
            described.layout.rank = len(details["shape"])
            for axis, side in enumerate(details["shape"]):
                described.layout.sides[axis] = int(side)
            handle = self._make(
                "LiteRtCreateManagedTensorBufferFromRequirements",
                environment,
                ctypes.byref(described),
                needs,
            )
            buffers[index] = handle.value
        return buffers

    def _make(self, name: str, *arguments: Any) -> Any:
        handle = _Handle()
        self._call(name, *arguments, ctypes.byref(handle))
        return handle

    def _call(self, name: str, *arguments: Any) -> None:
        function = getattr(self._library, name, None)
        if function is None or function(*arguments) != 0:
            raise _UnavailableError(name)


def _size(number: int) -> ctypes.c_size_t:
    return ctypes.c_size_t(number)
