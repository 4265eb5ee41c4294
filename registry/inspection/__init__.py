"""Look at `.tflite` files without TensorFlow: what they consist of, who runs them, how fast, how exactly."""

from registry.inspection.benchmark import BenchmarkReport, Measurement, benchmark
from registry.inspection.delegates import DelegateReport, inspect_delegates
from registry.inspection.layers import LayerError, layer_errors
from registry.inspection.model import ModelInspection, inspect_model
from registry.inspection.pictures import Comparison
from registry.inspection.report import Report, write_html, write_report

__all__ = [
    "BenchmarkReport",
    "Comparison",
    "DelegateReport",
    "LayerError",
    "Measurement",
    "ModelInspection",
    "Report",
    "benchmark",
    "inspect_delegates",
    "inspect_model",
    "layer_errors",
    "write_html",
    "write_report",
]
