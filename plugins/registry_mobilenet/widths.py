"""How many channels a MobileNet has where. Nothing here imports TensorFlow."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["divisible", "levels"]


def divisible(width: float, divisor: int = 8) -> int:
    """Multiple of `divisor` nearest to `width`, at least one of them, and never less than nine tenths of it."""
    nearest = max(divisor, int(width + divisor / 2) // divisor * divisor)
    return nearest + divisor if nearest < 0.9 * width else nearest


def levels(stem: int, blocks: Iterable[tuple[int, int]], *, last: int | None = None) -> dict[str, int]:
    """Channels per level: those of the last block at each stride.

    Args:
        stem: filters of the stem, which is at stride 2.
        blocks: (stride, filters) of each block after it.
        last: filters of a 1×1 convolution after the blocks.
    """
    stage, channels = 1, {"P1": stem}
    for stride, filters in blocks:
        stage += stride == 2
        channels[f"P{stage}"] = filters
    return channels if last is None else {**channels, f"P{stage}": last}
