"""What a server offers, and how much it accepts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["Settings"]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a server offers, and how much it accepts.

    Args:
        models: `.tflite` files that are offered from the start.
        images: folder whose images may be segmented as a batch, with its subfolders; None offers none.
        output: folder that results of batches go to; None offers none.
        threads: threads of each interpreter.
        hosts: names that the server may be called by; others are refused, so that no foreign page can reach it under
            a name of its own.
        image_bytes: largest image file that is accepted.
        model_bytes: largest model file that is accepted.
        kept_models: uploaded and exported files that are kept; the oldest one leaves for the next.
        open_models: interpreters that stand ready, each in a process of its own.
        waiting: requests that may wait for their turn; further ones are told to come back.
        at_once: images that are worked on at once, which is what bounds memory.
    """

    models: tuple[Path, ...] = ()
    images: Path | None = None
    output: Path | None = None
    threads: int = 2
    hosts: tuple[str, ...] = ("127.0.0.1", "localhost", "::1", "[::1]")
    image_bytes: int = 32 << 20
    model_bytes: int = 512 << 20
    kept_models: int = 16
    open_models: int = 4
    waiting: int = 128
    at_once: int = 2
