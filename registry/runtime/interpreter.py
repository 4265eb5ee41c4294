"""A `.tflite` file as a function from pixels to scores: the interpreter and what its tensors mean."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from registry.errors import ModelError, ModelFileError

__all__ = ["InputTensor", "LoadedModel", "OutputTensor", "open_interpreter", "run_on_zeros"]

_REEXPORT = "export a segmenter with `atrous export` or registry.export"


@dataclass(frozen=True, kw_only=True)
class InputTensor:
    """The model's one input.

    Args:
        index: tensor index in the interpreter.
        height: rows in pixels.
        width: columns in pixels.
        dtype: float32, uint8 or int8.
        scale: real value per quantized step; 0 if not quantized.
        zero_point: quantized value of real 0.
        mean: subtracted from pixels in 0…255, one number or one per channel.
        std: what the difference is divided by.
    """

    index: int
    height: int
    width: int
    dtype: np.dtype[Any]
    scale: float
    zero_point: int
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)

    def encode(self, pixels: NDArray[np.uint8]) -> NDArray[Any]:
        """RGB pixels (height, width, 3) as the input tensor (1, height, width, 3)."""
        table = self._table()
        encoded = table[0][pixels] if len(table) == 1 else table[np.arange(len(table)), pixels]
        return encoded[np.newaxis]

    def _table(self) -> NDArray[Any]:
        """The input value of each of the 256 pixel values; one row, or one per channel."""
        mean, std = np.array(self.mean)[:, np.newaxis], np.array(self.std)[:, np.newaxis]
        real = (np.arange(256, dtype=np.float64) - mean) / std
        if self.dtype == np.float32:
            return real.astype(np.float32)
        limits = np.iinfo(self.dtype)
        # An integer input without a scale: its smallest value is black.
        steps = real / self.scale + self.zero_point if self.scale else real + limits.min
        return np.rint(steps).clip(limits.min, limits.max).astype(self.dtype)


@dataclass(frozen=True, kw_only=True)
class OutputTensor:
    """The model's one output.

    Args:
        index: tensor index in the interpreter.
        shape: (1, h, w, classes), or (1, h, w[, 1]) of one plane of scores or of class indices.
        dtype: of the raw tensor.
        scale: real value per quantized step; 0 if not quantized.
        zero_point: quantized value of real 0.
    """

    index: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    scale: float
    zero_point: int

    @property
    def is_mask(self) -> bool:
        """Whether the tensor holds class indices: integers that are no quantized reals."""
        return self.dtype.kind in "iu" and not self.scale

    @property
    def planes(self) -> int:
        """Number of values per pixel."""
        return self.shape[3] if len(self.shape) == 4 else 1

    def decode(self, raw: NDArray[Any]) -> NDArray[Any]:
        """The raw tensor as class indices (h, w), or as float32 scores (h, w, planes)."""
        if self.is_mask:
            return raw.reshape(raw.shape[1:3])
        values = raw.reshape(*raw.shape[1:3], self.planes)
        if self.dtype == np.float32:
            return values
        return (values.astype(np.float32) - np.float32(self.zero_point)) * np.float32(self.scale)


@dataclass(frozen=True)
class LoadedModel:
    """An interpreter with its tensors allocated, and what goes in and out."""

    interpreter: Any
    input: InputTensor
    output: OutputTensor

    def run(self, pixels: NDArray[np.uint8]) -> NDArray[Any]:
        """One inference: uint8 RGB (height, width, 3) in, what `OutputTensor.decode` gives out."""
        self.interpreter.set_tensor(self.input.index, self.input.encode(pixels))
        self.interpreter.invoke()
        return self.output.decode(self.interpreter.get_tensor(self.output.index))


def open_interpreter(path: Path, size: tuple[int, int] | None, num_threads: int) -> LoadedModel:
    """Load a segmenter and allocate its tensors. May crash the process if the file is damaged.

    Args:
        path: the `.tflite` file.
        size: height and width for an input whose size the file leaves open.
        num_threads: threads of the interpreter.

    Returns:
        The model, ready to run.

    Raises:
        ModelError: `size` is missing, or differs from the size that the file fixes.
        ModelFileError: the interpreter refuses the file, or its tensors are not those of a segmenter.
    """
    try:
        interpreter = Interpreter(model_path=str(path), num_threads=num_threads)
        details = _only(interpreter.get_input_details(), "input", path)
        _check_input(details, path)
        if extent := _resolve_size(details, size, path):
            interpreter.resize_tensor_input(details["index"], [1, *extent, 3])
        interpreter.allocate_tensors()
        source = _only(interpreter.get_input_details(), "input", path)
        result = _only(interpreter.get_output_details(), "output", path)
    except (RuntimeError, TypeError, IndexError) as error:
        raise _refused(path, error) from error
    except ValueError as error:
        if isinstance(error, ModelError | ModelFileError):
            raise
        raise _refused(path, error) from error
    return LoadedModel(interpreter, _input_tensor(source), _output_tensor(result, path))


def run_on_zeros(model: LoadedModel, path: Path) -> None:
    """One inference on a black image, to see whether the model runs at all.

    Raises:
        ModelFileError: the interpreter reports an error.
    """
    try:
        model.run(np.zeros((model.input.height, model.input.width, 3), np.uint8))
    except (RuntimeError, ValueError, TypeError, MemoryError) as error:
        raise ModelFileError(
            "a model must run on a black image of its own input size",
            received=f"{path}: {error}",
            repair=_REEXPORT,
        ) from error


def _refused(path: Path, error: Exception) -> ModelFileError:
    return ModelFileError(
        "the TFLite interpreter must accept the model",
        received=f"{path}: {error}",
        repair="the file is damaged or needs operators that this interpreter lacks: " + _REEXPORT,
    )


def _only(details: list[dict[str, Any]], kind: str, path: Path) -> dict[str, Any]:
    if len(details) != 1:
        raise ModelFileError(
            f"a segmenter has exactly one {kind}",
            received=f"{path}: {len(details)} {kind}s {[tensor['name'] for tensor in details]}",
            repair=_REEXPORT,
        )
    return details[0]


def _signature(details: dict[str, Any]) -> tuple[int, ...]:
    """The shape that the file states, -1 where it is open."""
    return tuple(int(extent) for extent in details.get("shape_signature", details["shape"]))


def _check_input(details: dict[str, Any], path: Path) -> None:
    shape, dtype = _signature(details), np.dtype(details["dtype"])
    if len(shape) != 4 or shape[3] != 3 or shape[0] not in (1, -1):
        raise ModelFileError(
            "the input of a segmenter is one RGB image, channels last: (1, height, width, 3)",
            received=f"{path}: {shape}",
            repair=_REEXPORT,
        )
    if dtype not in (np.float32, np.uint8, np.int8):
        raise ModelFileError(
            "the input of a segmenter is float32, uint8 or int8",
            received=f"{path}: {dtype}",
            repair=_REEXPORT,
        )


def _resolve_size(
    details: dict[str, Any], size: tuple[int, int] | None, path: Path
) -> tuple[int, int] | None:
    """The height and width to resize the input to; None if the file fixes everything."""
    signature = _signature(details)
    fixed = signature[1:3]
    if size is None and -1 in fixed:
        raise ModelError(
            "this model leaves its input size open, so `size` must say it",
            received=f"{path}: input {signature}",
            repair="Segmenter(path, size=(512, 512)), or `atrous predict --size 512x512`",
        )
    if size is not None and any(have not in (-1, want) for have, want in zip(fixed, size, strict=True)):
        raise ModelError(
            "`size` must equal the input size that the model fixes",
            received=f"{size} for an input of {signature}",
            repair="leave `size` out, or export the model for that size",
        )
    return size if -1 in signature and size is not None else None


def _quantization(details: dict[str, Any]) -> dict[str, Any]:
    scale, zero_point = details["quantization"]
    return {"dtype": np.dtype(details["dtype"]), "scale": float(scale), "zero_point": int(zero_point)}


def _input_tensor(details: dict[str, Any]) -> InputTensor:
    _, height, width, _ = (int(extent) for extent in details["shape"])
    return InputTensor(index=details["index"], height=height, width=width, **_quantization(details))


def _output_tensor(details: dict[str, Any], path: Path) -> OutputTensor:
    shape = tuple(int(extent) for extent in details["shape"])
    output = OutputTensor(index=details["index"], shape=shape, **_quantization(details))
    if len(shape) not in (3, 4) or shape[0] != 1 or min(shape) < 1 or output.planes > 65536:
        raise ModelFileError(
            "the output of a segmenter is (1, height, width, classes), or a mask (1, height, width)",
            received=f"{path}: {shape}",
            repair=_REEXPORT,
        )
    if output.dtype != np.float32 and output.dtype.kind not in "iu":
        raise ModelFileError(
            "the output of a segmenter is float32 or an integer",
            received=f"{path}: {output.dtype}",
            repair=_REEXPORT,
        )
    if output.is_mask and output.planes != 1:
        raise ModelFileError(
            "an integer output needs a quantization scale, or one channel of class indices",
            received=f"{path}: {output.dtype} {shape} without a scale",
            repair=_REEXPORT,
        )
    return output
