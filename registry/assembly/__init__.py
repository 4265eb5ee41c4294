"""From a preset to one flat functional model: catalog → encoder plugin → pyramid check → architecture → weights."""

from registry.assembly.building import build, build_encoder, load_trained, model_from_preset
from registry.assembly.converting import Conversion, convert
from registry.assembly.encoder import PyramidEncoder
from registry.assembly.keras_hub_export import save_keras_hub
from registry.assembly.saved_models import load_model
from registry.assembly.saving import save_preset
from registry.assembly.segmenter import restore
from registry.models.base import Backbone, ImageSegmenter
from registry.models.deeplab_v3 import DeepLabV3Backbone, DeepLabV3ImageSegmenter
from registry.models.preprocessing import SegmentationPreprocessor
from registry.models.segmenter import PyramidSegmenter

__all__ = [
    "Backbone",
    "Conversion",
    "DeepLabV3Backbone",
    "DeepLabV3ImageSegmenter",
    "ImageSegmenter",
    "PyramidEncoder",
    "PyramidSegmenter",
    "SegmentationPreprocessor",
    "build",
    "build_encoder",
    "convert",
    "load_model",
    "load_trained",
    "model_from_preset",
    "restore",
    "save_keras_hub",
    "save_preset",
]
