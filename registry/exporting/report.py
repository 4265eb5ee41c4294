"""What an export tells about the file it wrote. Nothing here imports TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

__all__ = ["ExportReport", "ParityReport", "TensorReport"]


@dataclass(frozen=True)
class TensorReport:
    """An input or output of the file.

    Args:
        shape: with the batch axis, (1, height, width, channels).
        dtype: `float32`.
        meaning: what the values are.
    """

    shape: tuple[int, ...]
    dtype: str
    meaning: str


@dataclass(frozen=True)
class ParityReport:
    """How far the file's outputs are from the Keras model's, over the compared images.

    Args:
        images: number of images compared.
        max_abs: largest absolute difference, in units of the output.
        mean_abs: mean absolute difference.
        reference_std: standard deviation of the Keras model's outputs.
        mask_agreement: share of pixels with the same argmax, 0…1.
    """

    images: int
    max_abs: float
    mean_abs: float
    reference_std: float
    mask_agreement: float

    @property
    def relative(self) -> float:
        """Largest difference in standard deviations of the reference."""
        return self.max_abs / self.reference_std if self.reference_std else self.max_abs


@dataclass(frozen=True)
class ExportReport:
    """A `.tflite` file, described and compared.

    Args:
        path: the file.
        size_bytes: its length.
        input: its input tensor.
        output: its output tensor.
        operations: builtin operation → how often it occurs.
        parity: difference to the Keras model.
    """

    path: Path
    size_bytes: int
    input: TensorReport
    output: TensorReport
    operations: Mapping[str, int]
    parity: ParityReport

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready content."""
        return {**asdict(self), "path": str(self.path), "operations": dict(self.operations)}

    def __str__(self) -> str:
        """Several lines for a terminal."""
        shapes = (" × ".join(map(str, tensor.shape)) for tensor in (self.input, self.output))
        input_shape, output_shape = shapes
        operations = ", ".join(f"{name} {count}" for name, count in sorted(self.operations.items()))
        parity = self.parity
        return "\n".join(
            (
                f"{self.path}  {self.size_bytes / 1e6:.1f} MB",
                f"  input       {input_shape} {self.input.dtype}, {self.input.meaning}",
                f"  output      {output_shape} {self.output.dtype}, {self.output.meaning}",
                f"  operations  {operations}",
                f"  parity      max |Δ| {parity.max_abs:.2e} ({parity.relative:.1e} σ), mean |Δ| {parity.mean_abs:.2e}",
                f"  masks       {parity.mask_agreement:.4%} of pixels agree ({parity.images} images)",
            )
        )
