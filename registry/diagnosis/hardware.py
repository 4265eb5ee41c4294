"""Cores, memory and instruction sets."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path

from registry.diagnosis.finding import Finding
from registry.runtime.processors import usable_cpus

__all__ = ["examine_hardware"]

_AREA = "hardware"
_CPUS, _MEMORY = Path("/proc/cpuinfo"), Path("/proc/meminfo")
# As Linux spells them; what decides how fast, and whether at all, TensorFlow and XNNPACK run.
_SETS = (
    *("sse4_2", "avx", "avx2", "fma", "f16c", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16"),
    *("amx_tile", "amx_int8", "amx_bf16", "neon", "asimd", "asimdhp", "asimddp", "i8mm", "bf16", "sve"),
)
_X86 = ("x86_64", "AMD64", "i386", "i686")


def examine_hardware() -> Iterator[Finding]:
    """The processor, what of it this process may use, and memory."""
    described = _described_cpu()
    yield Finding(
        area=_AREA,
        subject="CPU",
        status="ok",
        detail=f"{described.get('model name') or platform.processor() or platform.machine()}, "
        f"{usable_cpus()} of {os.cpu_count()} cores usable",
    )
    known = _instruction_sets(described)
    if known is None:
        yield Finding(
            area=_AREA, subject="instruction sets", status="note", detail="this system does not tell them"
        )
    elif platform.machine() in _X86 and "avx" not in known:
        yield Finding(
            area=_AREA,
            subject="instruction sets",
            status="problem",
            detail=f"{', '.join(known) or 'none of those that matter'}: TensorFlow's packages need AVX, and their "
            "import ends the process without it",
            repair="use another machine; running .tflite files with ai-edge-litert may work here",
        )
    else:
        yield Finding(area=_AREA, subject="instruction sets", status="ok", detail=", ".join(known))
    memory = _memory()
    if memory is not None:
        total, available = memory
        yield Finding(
            area=_AREA,
            subject="memory",
            status="ok",
            detail=f"{total / 1e9:.1f} GB, {available / 1e9:.1f} GB of it available",
        )


def _described_cpu() -> dict[str, str]:
    """The first processor of Linux's list, word by word."""
    fields: dict[str, str] = {}
    with suppress(OSError):
        for line in _CPUS.read_text(encoding="utf-8", errors="replace").splitlines():
            key, colon, value = line.partition(":")
            if not colon:
                break
            fields[key.strip()] = value.strip()
    return fields


def _instruction_sets(described: dict[str, str]) -> tuple[str, ...] | None:
    words = described.get("flags") or described.get("Features")
    if words is not None:
        present = set(words.split())
        return tuple(name for name in _SETS if name in present)
    with suppress(ImportError, AttributeError):  # NumPy knows them on every system, but not by a public name
        features = import_module("numpy._core._multiarray_umath").__cpu_features__
        return tuple(sorted(name.lower() for name, there in features.items() if there))
    return None


def _memory() -> tuple[int, int] | None:
    """Bytes of memory, and of it what is available; None where the system does not say."""
    with suppress(OSError, KeyError):
        text = _MEMORY.read_text(encoding="ascii", errors="replace")
        kilobytes = {key: int(value) for key, value in re.findall(r"^(\w+):\s+(\d+) kB$", text, re.MULTILINE)}
        return kilobytes["MemTotal"] * 1024, kilobytes["MemAvailable"] * 1024
    return None
