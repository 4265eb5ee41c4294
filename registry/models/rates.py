"""Atrous rates of the papers (arXiv:1706.05587, section 3.3; arXiv:1802.02611). Nothing here imports TensorFlow."""

from __future__ import annotations

__all__ = ["PAPER_RATES"]

PAPER_RATES = {32: (3, 6, 9), 16: (6, 12, 18), 8: (12, 24, 36), 4: (24, 48, 72)}
"""Output stride → rates of ASPP's 3×3 branches: the field of view in pixels of the input stays the same."""
