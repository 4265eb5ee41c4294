"""Look at the machine and the environment that atrous is to work in, and say what is wrong with them.

Nothing here imports TensorFlow: what might end a process, its import among it, is tried in a child process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from registry.diagnosis.caches import examine_caches
from registry.diagnosis.finding import Diagnosis, Finding
from registry.diagnosis.frameworks import examine_frameworks, examine_import
from registry.diagnosis.hardware import examine_hardware
from registry.diagnosis.interpreter import examine_interpreter
from registry.diagnosis.packages import examine_packages, installed_versions
from registry.diagnosis.plugins import examine_plugins

__all__ = ["Diagnosis", "Finding", "diagnose"]


def diagnose(*, run: bool = True, progress: Callable[[str, int, int], None] | None = None) -> Diagnosis:
    """Examine this environment.

    Args:
        run: whether to import TensorFlow and to run a small `.tflite` file, each in a child process.
        progress: called with (what, number, of how many) before each step.

    Returns:
        What was found. It is healthy if nothing keeps atrous from working.
    """
    running: dict[str, Callable[[], Iterable[Finding]]] = {
        "importing TensorFlow": examine_import,
        "running a .tflite file": examine_interpreter,
    }
    steps: dict[str, Callable[[], Iterable[Finding]]] = {
        "packages": examine_packages,
        "frameworks": examine_frameworks,
        **(running if run else {}),
        "plugins and presets": examine_plugins,
        "caches": examine_caches,
        "hardware": examine_hardware,
    }
    findings: list[Finding] = []
    for number, (what, examine) in enumerate(steps.items(), 1):
        if progress is not None:
            progress(what, number, len(steps))
        findings += examine()
    return Diagnosis(findings=tuple(findings), versions=installed_versions())
