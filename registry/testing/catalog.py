"""Every check by name. Nothing here imports TensorFlow: a check's module is imported when it runs."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from registry.testing.outcomes import Finding, Note

__all__ = ["CHECKS", "Check"]


@dataclass(frozen=True)
class Check:
    """One promise of an encoder variant.

    Args:
        name: what `checks=…`, `--check` and `EncoderSpec.exclusions` call it.
        home: module of this package with the function `check_<name>`.
        promise: what must hold, as one sentence.
        light: whether it looks at descriptions and graphs only; the others run the network.
    """

    name: str
    home: str
    promise: str
    light: bool = False

    def function(self) -> Callable[[Any], Iterator[Finding | Note]]:
        """The check itself: a `Subject` in, findings and notes out."""
        return getattr(importlib.import_module(f"registry.testing.{self.home}"), f"check_{self.name}")


CHECKS: dict[str, Check] = {
    check.name: check
    for check in (
        Check("imports", "description", "the plugin describes its encoders without TensorFlow", light=True),
        Check("spec", "description", "the EncoderSpec is complete and says what is built", light=True),
        Check("pyramid", "contract", "every level has its channels and strides at every size"),
        Check("flat", "contract", "the graph is flat and its layer names are its own", light=True),
        Check("deterministic", "contract", "every build has the same layers and weights"),
        Check("sizes", "contract", "the network runs at every size, open and fixed"),
        Check("atrous", "mathematics", "atrous rates replace strides exactly"),
        Check("gradients", "mathematics", "every trainable weight receives a gradient"),
        Check("save", "persistence", "a saved encoder loads again, bit by bit"),
        Check("weights", "persistence", "arrays named after layers load, and conversion knows its sources"),
        Check("float32", "deployment", "it converts to float32 TFLite with native operations"),
        Check("int8", "deployment", "it converts to int8 TFLite, integer throughout"),
        Check("quantization_aware", "deployment", "its inference form can be annotated for quantization"),
    )
}
