"""Is the plugin light to list, and does it say what it builds?"""

from __future__ import annotations

import math
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from registry.discovery import RESERVED_SCHEMES, store_schemes
from registry.models.arithmetic import count_macs
from registry.testing.catalog import CHECKS
from registry.testing.outcomes import Finding
from registry.testing.subject import Subject

__all__ = ["check_imports", "check_spec"]

_MACS_SIZE = (512, 512)
_HEAVY = ("tensorflow", "tf_keras", "keras")

_PROGRAM = """
import sys
from registry.discovery import load_plugin
load_plugin({plugin!r})
print("imported:", *[name for name in {heavy!r} if name in sys.modules])
"""

# Scheme → what follows it, and how that is written. Others are served by stores of plugins.
_HANDLES = {
    "kaggle": (
        r"[^/\s]+/[^/\s]+/[^/\s]+/[^/\s]+/\d+(/[^\s]+)?",
        "kaggle://owner/model/framework/variation/version; without a version the network is asked every time",
    ),
    "hf": (r"[^/\s@]+/[^/\s@]+(@[^/\s]+)?(/[^\s]+)?", "hf://user/model[@revision][/file]"),
    "https": (r"[^/\s]+/[^\s#]+(#(md5=[0-9a-f]{32}|sha256=[0-9a-f]{64}))?", "https://host/file[#md5=…]"),
}
_SPDX = re.compile(r"[A-Za-z0-9.+-]+( (AND|OR|WITH) [A-Za-z0-9.+-]+)*")


def check_imports(subject: Subject) -> Iterator[Finding]:
    """Load the plugin in a new interpreter and look at what came with it."""
    program = _PROGRAM.format(plugin=subject.plugin, heavy=_HEAVY)
    # This process's path, in its order: a plugin may be importable for reasons that a fresh one does not know.
    program = f"import sys\nsys.path[:] = {sys.path!r}\n{program}"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, check=False
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        yield Finding(
            "a plugin must load in a new interpreter", lines[-1], "import its module in a new Python and see"
        )
        return
    heavy = done.stdout.rpartition("imported:")[2].split()
    if heavy:
        yield Finding(
            "listing encoders must not import TensorFlow: it takes seconds, for every user of the plugin",
            f"loading plugin {subject.plugin!r} imports {', '.join(heavy)}",
            "import registry.backend, registry.models and the graph's module inside registry_build_encoder",
        )


def check_spec(subject: Subject) -> Iterator[Finding]:
    """Hold each field of the description against what it says, and numbers against the built network."""
    yield from _texts(subject)
    yield from _handles(subject)
    spec = subject.spec
    factors = (spec.normalization.scale, spec.normalization.offset)
    if not all(
        math.isfinite(number) for pair in factors for number in (pair if isinstance(pair, tuple) else (pair,))
    ):
        yield Finding(
            "normalization must be finite", str(spec.normalization), "correct scale and offset of the spec"
        )
    for name in spec.exclusions:
        if name not in CHECKS:
            yield Finding(
                "an exclusion must name a check", f"{name!r}", f"the checks are {', '.join(CHECKS)}"
            )
    if subject.has_default_options:
        yield from _numbers(subject)
    elif not spec.options.model_json_schema().get("examples"):
        yield Finding(
            "options without defaults must come with an example, or nobody can check the encoder",
            f"{spec.options.__name__} has required fields and no example",
            'add json_schema_extra={"examples": [{…}]} to its ConfigDict: the options of a small encoder',
        )


def _texts(subject: Subject) -> Iterator[Finding]:
    spec = subject.spec
    if not spec.description.strip():
        yield Finding(
            "a variant must be described in one sentence", "no description", "set EncoderSpec.description"
        )
    if spec.weights and not spec.license:
        yield Finding(
            "published weights must state their license",
            f"weights {', '.join(spec.weights)} and no license",
            "set EncoderSpec.license to the SPDX identifier, for instance 'Apache-2.0'",
        )
    if spec.license and not _SPDX.fullmatch(spec.license):
        yield Finding(
            "license must be an SPDX identifier", repr(spec.license), "see https://spdx.org/licenses"
        )
    if spec.paper and not re.fullmatch(r"https?://\S+", spec.paper):
        yield Finding(
            "paper must be an address", repr(spec.paper), "for instance https://arxiv.org/abs/1512.03385"
        )


def _handles(subject: Subject) -> Iterator[Finding]:
    for name, handle in subject.spec.weights.items():
        scheme, separator, rest = handle.partition("://")
        if not separator:
            if not Path(handle).is_absolute() or not Path(handle).exists():
                yield Finding(
                    "a weight source must be a handle, or an absolute path that exists",
                    f"{name!r}: {handle!r}",
                    "; ".join(form for _, form in _HANDLES.values()),
                )
        elif scheme not in _HANDLES and scheme in store_schemes()[len(RESERVED_SCHEMES) :]:
            continue
        elif scheme not in _HANDLES:
            yield Finding(
                f"the scheme of a handle is one of {', '.join(_HANDLES)}, or one that an installed plugin serves",
                f"{name!r}: {handle!r}",
                "use one",
            )
        elif not re.fullmatch(_HANDLES[scheme][0], rest):
            yield Finding("a handle must be well formed", f"{name!r}: {handle!r}", _HANDLES[scheme][1])


def _numbers(subject: Subject) -> Iterator[Finding]:
    encoder = subject.encoder()
    counted = {
        "parameters": encoder.count_params(),
        # The size of the field's tables; a network that has a smallest size above it states nothing else.
        "macs": count_macs(encoder, _MACS_SIZE) if subject.spec.min_size <= min(_MACS_SIZE) else None,
    }
    for name, number in counted.items():
        stated = getattr(subject.spec, name)
        if number is not None and stated != number:
            yield Finding(
                f"`{name}` of the description must be what is built with default options",
                f"stated {stated if stated is None else f'{stated:_}'}, built {number:_}",
                f"write {name}={number:_} into the EncoderSpec, or correct the graph",
            )
