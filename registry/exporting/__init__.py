"""From a Keras model to a verified `.tflite` file.

The room is called `exporting` because a submodule `registry.export` would replace the function of that name.
"""

from registry.exporting.report import AccuracyReport, ExportReport, ParityReport
from registry.exporting.tflite import export

__all__ = ["AccuracyReport", "ExportReport", "ParityReport", "export"]
