"""Models that compute in integers: calibrated, trained with the rounding, and written as they are.

::

    rules         what each layer does to the range of its values
    quantizers    what rounds a tensor
    wrapper       a layer with rounded kernels and results
    aware         a model's inference form → what is rounded where → a graph that rounds
    segmenter     `QuantizedSegmenter`, that graph as a segmenter
    calibration   ranges measured on images
    quantizing    `quantize`, all of it
    baking        a quantized segmenter → a plain graph with fixed ranges, for the converter
"""

from registry.quantization.quantizing import (
    calibrated,
    calibration_steps,
    quantize,
    quantized,
)
from registry.quantization.rules import Fixed, Own, Same, Steps
from registry.quantization.segmenter import QuantizedSegmenter

__all__ = [
    "Fixed",
    "Own",
    "QuantizedSegmenter",
    "Same",
    "Steps",
    "calibrated",
    "calibration_steps",
    "quantize",
    "quantized",
]
