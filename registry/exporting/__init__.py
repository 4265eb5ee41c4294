"""From a Keras model to a verified `.tflite` file.

The room is called `exporting` because a submodule `registry.export` would replace the function of that name.
"""

from registry.exporting.report import ExportReport, ParityReport
from registry.exporting.tflite import export

__all__ = ["ExportReport", "ParityReport", "export"]
