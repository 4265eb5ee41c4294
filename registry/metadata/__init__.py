"""What a `.tflite` file says about itself, in TFLite's metadata schema; needs no TensorFlow."""

from registry.metadata.description import Activation, Color, OutputKind, SegmenterMetadata, segmenter_metadata
from registry.metadata.files import read_metadata, write_metadata

__all__ = [
    "Activation",
    "Color",
    "OutputKind",
    "SegmenterMetadata",
    "read_metadata",
    "segmenter_metadata",
    "write_metadata",
]
