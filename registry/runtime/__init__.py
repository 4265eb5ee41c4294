"""Run a `.tflite` segmenter: image → class mask → overlay, without TensorFlow."""

from registry.drawing import draw_legend, overlay, pascal_voc_colormap, save_mask, save_overlay
from registry.images import MAX_IMAGE_PIXELS, load_image
from registry.runtime.segmenter import Segmenter

__all__ = [
    "MAX_IMAGE_PIXELS",
    "Segmenter",
    "draw_legend",
    "load_image",
    "overlay",
    "pascal_voc_colormap",
    "save_mask",
    "save_overlay",
]
