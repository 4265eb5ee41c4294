"""Which layers lose most by quantization: two files, layer by layer, on the same inputs.

For files that were just exported: both run in this process, so that nothing here is for untrusted ones.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from numpy.typing import NDArray

from registry.errors import ModelError

__all__ = ["LayerError", "layer_errors"]

_CONVERSIONS = ("QUANTIZE", "DEQUANTIZE")
# Beyond this, in decibel, float rounding itself is what is measured.
_EXACT = 140.0


@dataclass(frozen=True)
class LayerError:
    """How far a layer's output in the quantized file is from the same one in the float file.

    Args:
        index: of the operation in the quantized file.
        operation: its name.
        layer: name of its output tensor, the same in both files.
        sqnr_db: signal to quantization noise in decibel, everything before the layer included; higher is better.
        added_noise: noise power that this layer adds to that of its worst input, as a share of its signal's power.
        max_abs: largest absolute difference.
    """

    index: int
    operation: str
    layer: str
    sqnr_db: float
    added_noise: float
    max_abs: float

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready content."""
        return asdict(self)


def layer_errors(
    reference: bytes, quantized: bytes, images: Iterable[NDArray[Any]], *, threads: int = 2
) -> tuple[LayerError, ...]:
    """Compare every tensor that both files have, by name.

    Args:
        reference: the float file.
        quantized: the quantized one of the same graph.
        images: inputs of the float file, float32 (1, height, width, 3).
        threads: threads of each interpreter.

    Returns:
        One entry per layer found in both, the one that loses most first.

    Raises:
        ModelError: there is no image, or the two files have no layer in common.
    """
    exact, coarse = _Tensors(reference, threads), _Tensors(quantized, threads)
    shared = _matches(exact, coarse)
    signal, noise = dict.fromkeys(shared, 0.0), dict.fromkeys(shared, 0.0)
    furthest = dict.fromkeys(shared, 0.0)
    count = 0
    for image in images:
        count += 1
        exact.run(image)
        coarse.run(image)
        for index, match in shared.items():
            wanted, got = exact.value(match), coarse.value(index)
            if wanted.shape != got.shape:
                continue
            difference = got - wanted
            signal[index] += float(np.square(wanted).sum())
            noise[index] += float(np.square(difference).sum())
            furthest[index] = max(furthest[index], float(np.abs(difference).max(initial=0.0)))
    if not count or not any(signal.values()):
        raise ModelError(
            "comparing layers takes an image and two files of one graph",
            received=f"{count} images, {len(shared)} layers in common",
            repair="give the float32 export and the quantized export of the same model",
        )
    shares = {index: noise[index] / signal[index] for index in shared if signal[index]}
    errors = [
        LayerError(
            index=number,
            operation=node["name"],
            layer=coarse.names[output],
            sqnr_db=_decibel(shares[output]),
            added_noise=max(
                0.0, shares[output] - max((shares.get(i, 0.0) for i in node["inputs"]), default=0.0)
            ),
            max_abs=furthest[output],
        )
        for number, node in enumerate(coarse.nodes)
        for output in node["outputs"][:1]
        if output in shares and node["name"] not in _CONVERSIONS
    ]
    return tuple(sorted(errors, key=lambda error: -error.added_noise))


def _decibel(share: float) -> float:
    return min(_EXACT, -10 * math.log10(share)) if share else _EXACT


def _matches(exact: _Tensors, coarse: _Tensors) -> dict[int, int]:
    """Tensor of the quantized file → the tensor of the float file with the same meaning."""
    shared = {index: exact.by_name[name] for name, index in coarse.by_name.items() if name in exact.by_name}
    # At its ends the quantized file has a tensor before and one after the conversion; only one kept its name.
    for node in coarse.nodes:
        if node["name"] in _CONVERSIONS:
            before, after = node["inputs"][0], node["outputs"][0]
            for known, other in ((before, after), (after, before)):
                if known in shared:
                    shared.setdefault(other, shared[known])
    return shared


class _Tensors:
    """An interpreter that keeps every tensor, and their real values."""

    def __init__(self, content: bytes, threads: int) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that keeping tensors takes memory is known
            self._interpreter = Interpreter(
                model_content=content,
                num_threads=threads,
                # XNNPACK would compute several layers at once and keep none of what is between.
                experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
                experimental_preserve_all_tensors=True,
            )
        self._interpreter.allocate_tensors()
        (self._input,) = self._interpreter.get_input_details()
        details = self._interpreter.get_tensor_details()
        self._scales = {tensor["index"]: tensor["quantization_parameters"] for tensor in details}
        self.names = {tensor["index"]: tensor["name"] for tensor in details}
        self.nodes = [
            {
                "name": node["op_name"],
                "inputs": [int(i) for i in node["inputs"]],
                "outputs": [int(i) for i in node["outputs"]],
            }
            for node in self._interpreter._get_ops_details()
        ]
        self.by_name = {
            self.names[index]: index
            for node in self.nodes
            for index in node["outputs"]
            if index in self.names
        }

    def run(self, image: NDArray[Any]) -> None:
        dtype, (scale, zero_point) = np.dtype(self._input["dtype"]), self._input["quantization"]
        value = np.asarray(image, np.float64)
        if dtype.kind in "iu":
            limits = np.iinfo(dtype)
            value = np.rint(value / scale + zero_point) if scale else value
            value = value.clip(limits.min, limits.max)
        self._interpreter.set_tensor(self._input["index"], value.astype(dtype))
        self._interpreter.invoke()

    def value(self, index: int) -> NDArray[np.float64]:
        raw = self._interpreter.get_tensor(index).astype(np.float64)
        scales = self._scales[index]["scales"]
        if len(scales) != 1:
            return raw
        return (raw - float(self._scales[index]["zero_points"][0])) * float(scales[0])
