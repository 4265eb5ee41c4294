"""atrous: the model registry for semantic segmentation in TensorFlow.

    import registry

    registry.list_presets()
    model = registry.build("deeplab_v3_plus_resnet50_pascalvoc")
    registry.export(model, "deeplab.tflite", size=(512, 512))
    mask = registry.Segmenter("deeplab.tflite").segment("photo.jpg")

Importing this package, listing and describing import no TensorFlow; building and exporting do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from registry.exports import first_use, names

__version__ = "0.1.0"

# Public name → module that defines it, imported on first use.
_HOMES = {
    "ArchitectureConfig": "registry.architecture",
    "ArchitectureSpec": "registry.architecture",
    "Backbone": "registry.assembly",
    "DeepLabV3Backbone": "registry.assembly",
    "DeepLabV3ImageSegmenter": "registry.assembly",
    "EncoderSpec": "registry.pyramid",
    "Evaluation": "registry.evaluation",
    "ImageSegmenter": "registry.assembly",
    "Normalization": "registry.pyramid",
    "PyramidEncoder": "registry.assembly",
    "PyramidSegmenter": "registry.assembly",
    "RegistryError": "registry.errors",
    "RegistryWarning": "registry.errors",
    "SegmentationPreprocessor": "registry.assembly",
    "Segmenter": "registry.runtime",
    "beam_segment": "registry.batch",
    "build": "registry.assembly",
    "build_encoder": "registry.assembly",
    "check_lock": "registry.locking",
    "cluster": "registry.compression",
    "convert": "registry.assembly",
    "describe": "registry.catalog",
    "evaluate": "registry.evaluation",
    "export": "registry.exporting",
    "fetch": "registry.weights.fetching",
    "hookimpl": "registry.hookspecs",
    "list_architectures": "registry.discovery",
    "list_encoders": "registry.discovery",
    "list_plugins": "registry.discovery",
    "list_presets": "registry.catalog",
    "list_recipes": "registry.catalog",
    "load": "registry.loading",
    "load_model": "registry.assembly",
    "lock": "registry.locking",
    "preset_schema": "registry.catalog",
    "prune": "registry.compression",
    "quantize": "registry.quantization",
    "recipe_schema": "registry.catalog",
    "save_keras_hub": "registry.assembly",
    "save_preset": "registry.assembly",
    "segment_files": "registry.batch",
    "train": "registry.training",
    "verify_plugins": "registry.discovery",
}

__all__ = [*sorted(_HOMES), "__version__"]  # noqa: PLE0604 - the keys are strings

# The redundant aliases tell type checkers that these names are exported.
if TYPE_CHECKING:
    from registry.architecture import ArchitectureConfig as ArchitectureConfig
    from registry.architecture import ArchitectureSpec as ArchitectureSpec
    from registry.assembly import Backbone as Backbone
    from registry.assembly import DeepLabV3Backbone as DeepLabV3Backbone
    from registry.assembly import DeepLabV3ImageSegmenter as DeepLabV3ImageSegmenter
    from registry.assembly import ImageSegmenter as ImageSegmenter
    from registry.assembly import PyramidEncoder as PyramidEncoder
    from registry.assembly import PyramidSegmenter as PyramidSegmenter
    from registry.assembly import SegmentationPreprocessor as SegmentationPreprocessor
    from registry.assembly import build as build
    from registry.assembly import build_encoder as build_encoder
    from registry.assembly import convert as convert
    from registry.assembly import load_model as load_model
    from registry.assembly import save_keras_hub as save_keras_hub
    from registry.assembly import save_preset as save_preset
    from registry.batch import beam_segment as beam_segment
    from registry.batch import segment_files as segment_files
    from registry.catalog import describe as describe
    from registry.catalog import list_presets as list_presets
    from registry.catalog import list_recipes as list_recipes
    from registry.catalog import preset_schema as preset_schema
    from registry.catalog import recipe_schema as recipe_schema
    from registry.compression import cluster as cluster
    from registry.compression import prune as prune
    from registry.discovery import list_architectures as list_architectures
    from registry.discovery import list_encoders as list_encoders
    from registry.discovery import list_plugins as list_plugins
    from registry.discovery import verify_plugins as verify_plugins
    from registry.errors import RegistryError as RegistryError
    from registry.errors import RegistryWarning as RegistryWarning
    from registry.evaluation import Evaluation as Evaluation
    from registry.evaluation import evaluate as evaluate
    from registry.exporting import export as export
    from registry.hookspecs import hookimpl as hookimpl
    from registry.loading import load as load
    from registry.locking import check_lock as check_lock
    from registry.locking import lock as lock
    from registry.pyramid import EncoderSpec as EncoderSpec
    from registry.pyramid import Normalization as Normalization
    from registry.quantization import quantize as quantize
    from registry.runtime import Segmenter as Segmenter
    from registry.training import train as train
    from registry.weights.fetching import fetch as fetch


def __getattr__(name: str) -> Any:
    return first_use(globals(), _HOMES, name)


def __dir__() -> list[str]:
    return names(globals(), _HOMES)
