"""Numbers, shapes and names as people read them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

__all__ = ["count_text", "layer_text", "percentages", "printable", "shape_text"]


def count_text(number: int) -> str:
    """A count with three digits and a unit: `26.8 G`."""
    for unit, factor in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= factor:
            return f"{number / factor:.3g} {unit}"
    return str(number)


def shape_text(shape: Sequence[int]) -> str:
    """`1 × 512 × 512 × 3`, with a question mark for what is open."""
    return " × ".join("?" if extent < 0 else str(extent) for extent in shape) or "scalar"


def layer_text(name: str) -> str:
    """A layer as people call it: `stem_conv/BiasAdd` of `my_model/stem_conv/BiasAdd;my_model/stem_conv/Conv2D;…`.

    The converter joins the names of what it fused, each with the model's in front.
    """
    first = name.partition(";")[0]
    steps = first.split("/")
    return "/".join(steps[1:]) if len(steps) > 2 else first


def percentages(shares: Mapping[str, float]) -> str:
    """`int8 97.0%, float 3.0%`."""
    return ", ".join(f"{name} {share:.1%}" for name, share in shares.items()) or "none"


def printable(text: str) -> str:
    """A text of a file, for a terminal: a file must not be able to send one control sequences."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)
