"""The same images, masks and settings for every library."""

from __future__ import annotations

from typing import Any

import numpy as np

CLASSES = 21
LEARNING_RATE = 1e-4
MOMENTUM = 0.9


def batch(count: int, size: int) -> tuple[Any, Any]:
    """Noise as images, uint8 (count, size, size, 3), and as masks, uint8 (count, size, size)."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (count, size, size, 3), np.uint8)
    return images, generator.integers(0, CLASSES, (count, size, size), np.uint8)


def calibration(size: int) -> Any:
    """Noise to calibrate with, float32 (4, size, size, 3) in 0…255: what is compared is speed."""
    return np.random.default_rng(1).uniform(0, 255, (4, size, size, 3)).astype(np.float32)
