"""What is measured of segmentation_models.pytorch, and of the engines that its ONNX files run on."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from tests.benchmarks.task import Task


def import_library() -> None:
    """What a user's first line costs."""
    import segmentation_models_pytorch  # noqa: F401


load = import_library


def list_presets() -> int:
    """Import and list its encoders, the nearest to a catalog that it has."""
    import segmentation_models_pytorch as smp

    return len(smp.encoders.get_encoder_names())


def build() -> Task:
    """Build DeepLabV3+ with ResNet-50 and fresh weights."""
    return Task(lambda: _count(_model()))


def _model() -> Any:
    import segmentation_models_pytorch as smp

    # In training a dropout of 0.5 would be work that the others do not do.
    return smp.DeepLabV3Plus("resnet50", encoder_weights=None, classes=21, decoder_aspp_dropout=0.0)


def _count(model: Any) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def _threads(count: int) -> None:
    import torch

    torch.set_num_threads(count)


def predict(size: int, batch_size: int, threads: int) -> Task:
    """PyTorch as it is, channels last, which is its faster layout on CPUs."""
    import torch

    from tests.benchmarks.inputs import batch

    _threads(threads)
    model = _model().eval().to(memory_format=torch.channels_last)
    images = torch.from_numpy(batch(batch_size, size)[0]).permute(0, 3, 1, 2).float()
    images = images.to(memory_format=torch.channels_last)

    def run() -> float:
        with torch.inference_mode():
            return float(model(images).mean())

    return Task(run, {"parameters": _count(model)})


def training_step(size: int, batch_size: int) -> Task:
    """A step of SGD, channels last."""
    import torch

    from tests.benchmarks.inputs import LEARNING_RATE, MOMENTUM, batch

    _threads(os.cpu_count() or 1)
    model = _model().train().to(memory_format=torch.channels_last)
    images, masks = batch(batch_size, size)
    x = torch.from_numpy(images).permute(0, 3, 1, 2).float().to(memory_format=torch.channels_last)
    y = torch.from_numpy(masks).long()
    optimizer = torch.optim.SGD(model.parameters(), LEARNING_RATE, momentum=MOMENTUM)

    def run() -> float:
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return float(loss.detach())

    return Task(run, {"parameters": _count(model), "trainable_parameters": _count(model)})


def export_onnx(path: str, size: int) -> Task:
    """Write an ONNX file."""
    import torch

    model = _model().eval()
    sample = torch.zeros(1, 3, size, size)

    def run() -> float:
        torch.onnx.export(model, (sample,), path, dynamo=True, external_data=False, verbose=False)
        return Path(path).stat().st_size / 1e6

    return Task(run, {"parameters": _count(model)})


def quantize_onnx(source: str, path: str, size: int) -> Task:
    """Quantize an ONNX file to int8 by ONNX Runtime's own tool, channel by channel."""
    import onnxruntime
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    name = onnxruntime.InferenceSession(source).get_inputs()[0].name

    class Images(CalibrationDataReader):
        def __init__(self) -> None:
            self._images = iter(_planes(size))

        def get_next(self) -> dict[str, Any] | None:
            image = next(self._images, None)
            return None if image is None else {name: image[None]}

    def run() -> float:
        prepared = f"{path}.prepared"
        quant_pre_process(source, prepared, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            path,
            Images(),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            weight_type=QuantType.QInt8,
            activation_type=QuantType.QUInt8,
        )
        Path(prepared).unlink()
        return Path(path).stat().st_size / 1e6

    return Task(run)


def quantize_openvino(source: str, path: str, size: int) -> Task:
    """Quantize an ONNX file to int8 by NNCF, for OpenVINO."""
    import nncf
    import openvino

    model = openvino.Core().read_model(source)

    def run() -> float:
        images = nncf.Dataset(list(_planes(size)), lambda image: image[None])
        openvino.save_model(nncf.quantize(model, images, subset_size=4), path)
        return sum(Path(path).with_suffix(suffix).stat().st_size for suffix in (".xml", ".bin")) / 1e6

    return Task(run)


def run_onnxruntime(path: str, threads: int) -> Task:
    """Run an ONNX file in ONNX Runtime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    (source,) = session.get_inputs()
    images = _planes(source.shape[2])[:1]
    return Task(
        lambda: float(session.run(None, {source.name: images})[0].mean()),
        {"megabytes": Path(path).stat().st_size / 1e6},
    )


def run_openvino(path: str, threads: int) -> Task:
    """Run a file in OpenVINO, tuned for latency, in float32 where the file is not quantized."""
    import openvino

    core = openvino.Core()
    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "f32",
    }
    compiled = core.compile_model(core.read_model(path), "CPU", settings)
    images = _planes(compiled.input(0).shape[2])[:1]
    request = compiled.create_infer_request()
    return Task(lambda: float(request.infer({0: images})[0].mean()))


def _planes(size: int) -> Any:
    """The images that everything is calibrated with, channels first."""
    import numpy as np

    from tests.benchmarks.inputs import calibration

    return np.ascontiguousarray(calibration(size).transpose(0, 3, 1, 2))
