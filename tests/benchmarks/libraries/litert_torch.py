"""What is measured of litert-torch: `.tflite` files of a model of segmentation_models.pytorch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.benchmarks.task import Task


def import_library() -> None:
    """What a user's first line costs."""
    import litert_torch  # noqa: F401
    import segmentation_models_pytorch  # noqa: F401


load = import_library


def export(path: str, size: int, quantization: str | None) -> Task:
    """Write a `.tflite` file, channels last as ours; as integers by PT2E, which is its own way."""
    import litert_torch
    import segmentation_models_pytorch as smp
    import torch

    model = smp.DeepLabV3Plus("resnet50", encoder_weights=None, classes=21).eval()
    model = litert_torch.to_channel_last_io(model, args=[0], outputs=[0]).eval()
    sample = (torch.zeros(1, size, size, 3),)

    def run() -> float:
        if quantization:
            _quantized(model, sample, size).export(path)
        else:
            litert_torch.convert(model, sample).export(path)
        return Path(path).stat().st_size / 1e6

    return Task(run, {"parameters": sum(parameter.numel() for parameter in model.parameters())})


def _quantized(model: Any, sample: Any, size: int) -> Any:
    import litert_torch
    import torch
    from litert_torch.quantize.pt2e_quantizer import PT2EQuantizer, get_symmetric_quantization_config
    from litert_torch.quantize.quant_config import QuantConfig
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    from tests.benchmarks.inputs import calibration

    quantizer = PT2EQuantizer().set_global(get_symmetric_quantization_config(is_per_channel=True))
    prepared = prepare_pt2e(torch.export.export(model, sample).module(), quantizer)
    for image in calibration(size):
        prepared(torch.from_numpy(image[None]))
    converted = convert_pt2e(prepared, fold_quantize=False)
    return litert_torch.convert(converted, sample, quant_config=QuantConfig(pt2e_quantizer=quantizer))
