"""Models that compute in integers: calibrated, trained with the rounding, and written as they are.

::

    rules         what each layer does to the range of its values
    quantizers    what rounds a tensor
    wrapper       a layer with rounded kernels and results
    aware         a model's inference form → what is rounded where → a graph that rounds
    calibration   ranges measured on images
    segmenter     `QuantizedSegmenter`
    baking        a quantized segmenter → a plain graph with fixed ranges, for the converter
"""
