"""The conformance kit: what an encoder plugin promises, checked one promise at a time.

In a plugin's own tests, one line (needs pytest, `pip install 'atrous[testing]'`)::

    from registry.testing import conformance

    TestTinyNet = conformance("tinynet")

Without pytest: `check_encoder("tinynet", "tinynet")`, or `atrous check-plugin tinynet` in a shell.

Importing this package imports neither TensorFlow nor pytest.
"""

from __future__ import annotations

from registry.testing.catalog import CHECKS, Check
from registry.testing.outcomes import Finding, Outcome
from registry.testing.pytest_class import conformance
from registry.testing.running import check_encoder, run_check, select_variants

__all__ = [
    "CHECKS",
    "Check",
    "Finding",
    "Outcome",
    "check_encoder",
    "conformance",
    "run_check",
    "select_variants",
]
