"""What an export tells about the file it wrote. Nothing here imports TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

__all__ = ["AccuracyReport", "ExportReport", "ParityReport", "TensorReport"]


@dataclass(frozen=True)
class TensorReport:
    """An input or output of the file.

    Args:
        shape: with the batch axis, (1, height, width, channels), or (1, height, width) of a mask.
        dtype: `float32`, `uint8`, …
        meaning: what the values are.
        scale: real value per quantized step; None if not quantized.
        zero_point: quantized value of real 0; None if not quantized.
    """

    shape: tuple[int, ...]
    dtype: str
    meaning: str
    scale: float | None = None
    zero_point: int | None = None


@dataclass(frozen=True)
class ParityReport:
    """How far the file's outputs are from the Keras model's, over the compared images.

    Quantized outputs are compared as the reals that they stand for. In masks, a pixel's difference is 0 or 1.

    Args:
        images: number of images compared.
        max_abs: largest absolute difference, in units of the output.
        mean_abs: mean absolute difference.
        reference_std: standard deviation of the Keras model's outputs; 1 for masks.
        mask_agreement: share of pixels with the same class at the model's output size, 0…1.
        mask_pixels: number of pixels of all compared masks.
        mask_differences: how many of them have another class.
    """

    images: int
    max_abs: float
    mean_abs: float
    reference_std: float
    mask_agreement: float
    mask_pixels: int = 0
    mask_differences: int = 0

    @property
    def relative(self) -> float:
        """Largest difference in standard deviations of the reference."""
        return self.max_abs / self.reference_std if self.reference_std else self.max_abs


@dataclass(frozen=True)
class AccuracyReport:
    """Mean IoU of the file beside that of the Keras model, on the same annotated images.

    Args:
        dataset: name of the data set.
        images: how many of its images were segmented.
        model_mean_iou: of the Keras model, 0…1.
        mean_iou: of the file, 0…1.
    """

    dataset: str
    images: int
    model_mean_iou: float
    mean_iou: float

    @property
    def difference(self) -> float:
        """What the file gains; negative where it loses."""
        return self.mean_iou - self.model_mean_iou


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
        quantization: the mode, `float32`, `int8`, …
        output_kind: `logits`, `probabilities` or `mask`.
        output_stride: pixels of the image per pixel of the mask that was decided on, (rows, columns); (1, 1) where
            the last upsampling comes first.
        calibration_images: number of images that the ranges were measured on; 0 in uncalibrated modes.
        rewrites: exact rewrite → how often it applied on the way to the inference form.
        calibration_method: how the ranges were chosen, `min_max`, `percentile` or `mse`; None in uncalibrated modes and
            for models that brought their ranges along.
        float_layers: layers that stayed in floating point.
        accuracy: mean IoU on annotated images, if there were any.
    """

    path: Path
    size_bytes: int
    input: TensorReport
    output: TensorReport
    operations: Mapping[str, int]
    parity: ParityReport
    quantization: str = "float32"
    output_kind: str = "logits"
    output_stride: tuple[int, int] = (1, 1)
    calibration_images: int = 0
    rewrites: Mapping[str, int] = field(default_factory=dict)
    calibration_method: str | None = None
    float_layers: tuple[str, ...] = ()
    accuracy: AccuracyReport | None = None

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready content."""
        return {
            **asdict(self),
            "path": str(self.path),
            "operations": dict(self.operations),
            "rewrites": dict(self.rewrites),
        }

    def __str__(self) -> str:
        """Several lines for a terminal."""
        shapes = (" × ".join(map(str, tensor.shape)) for tensor in (self.input, self.output))
        input_shape, output_shape = shapes
        operations = ", ".join(f"{name} {count}" for name, count in sorted(self.operations.items()))
        parity = self.parity
        calibrated = f", calibrated on {self.calibration_images} images" if self.calibration_images else ""
        if calibrated and self.calibration_method not in (None, "min_max"):
            calibrated += f" ({self.calibration_method})"
        return "\n".join(
            [
                f"{self.path}  {self.size_bytes / 1e6:.1f} MB, {self.quantization}{calibrated}",
                f"  input       {input_shape} {self.input.dtype}, {self.input.meaning}",
                f"  output      {output_shape} {self.output.dtype}, {self.output.meaning}",
                f"  operations  {operations}",
                f"  parity      max |Δ| {parity.max_abs:.2e} ({parity.relative:.1e} σ), mean |Δ| {parity.mean_abs:.2e}",
                f"  masks       {parity.mask_agreement:.4%} of pixels agree, {parity.mask_differences} differ "
                f"({parity.images} images)",
                *([f"  float       {', '.join(self.float_layers)}"] if self.float_layers else []),
                *([f"  mean IoU    {_told(self.accuracy)}"] if self.accuracy else []),
            ]
        )


def _told(accuracy: AccuracyReport) -> str:
    return (
        f"{accuracy.mean_iou:.4f}, {100 * accuracy.difference:+.2f} points to the Keras model "
        f"({accuracy.images} images of {accuracy.dataset})"
    )
