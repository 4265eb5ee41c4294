"""The files that are compared: who writes them, and how."""

from __future__ import annotations

from tests.benchmarks.bench import Bench
from tests.benchmarks.race import Contestant

__all__ = ["MODES", "NETWORKS", "exports"]

MODES = ("float32", "int8")
NETWORKS = {"keras_hub": "KerasHub's network", "separable": "separable at output stride 16"}


def exports(bench: Bench, network: str, mode: str) -> dict[str, Contestant]:
    """Contestants that write a file.

    Args:
        bench: the benchmark.
        network: a key of `NETWORKS`; KerasHub's has the same weights for both contestants.
        mode: one of `MODES`.
    """
    size, quantization = bench.file_size, None if mode == "float32" else mode
    folder = bench.folder / f"files_{size}"
    folder.mkdir(parents=True, exist_ok=True)

    def path(name: str, suffix: str) -> str:
        return str(folder / f"{network}_{name}_{mode}{suffix}")

    if network == "keras_hub":
        directory = bench.preset()
        return {
            "atrous": bench.ours(
                "export",
                path=path("atrous", ".tflite"),
                size=size,
                quantization=quantization,
                directory=directory,
            ),
            "KerasHub": bench.peer(
                "keras_hub",
                "export",
                path=path("keras_hub", ".tflite"),
                size=size,
                quantization=quantization,
                directory=directory,
            ),
        }
    onnx = str(folder / f"{network}_float32.onnx")
    made = {
        "atrous": bench.ours("export", path=path("atrous", ".tflite"), size=size, quantization=quantization),
        "litert-torch": bench.peer(
            "litert_torch",
            "export",
            path=path("litert_torch", ".tflite"),
            size=size,
            quantization=quantization,
        ),
    }
    if quantization is None:
        # OpenVINO reads ONNX files as they are.
        made["ONNX Runtime"] = made["OpenVINO"] = bench.peer("smp", "export_onnx", path=onnx, size=size)
    else:
        made["ONNX Runtime"] = bench.peer(
            "smp", "quantize_onnx", source=onnx, path=path("onnxruntime", ".onnx"), size=size
        )
        made["OpenVINO"] = bench.peer(
            "smp", "quantize_openvino", source=onnx, path=path("openvino", ".xml"), size=size
        )
    return made
