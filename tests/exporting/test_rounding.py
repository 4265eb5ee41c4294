"""Ranges chosen otherwise than the converter does, layers left out, and mean IoU in the report."""

import json

import numpy as np
import pytest

import registry
from registry.backend import keras
from registry.calibration import calibration_images
from registry.data import Example
from registry.errors import ExportError, ModelError, QuantizationError
from registry.evaluation import evaluate_alike
from registry.inspection import inspect_model


def export(model, path, **options):
    return registry.export(model, path, size=64, **{"quantization": "int8", "progress": False, **options})


def output_range(report):
    """The largest value that the integer scores can stand for."""
    return report.output.scale * (127 - report.output.zero_point)


def test_methods_choose_other_ranges_and_give_the_same_masks(trained_model, images, tmp_path):
    reports = {
        method: export(trained_model, tmp_path / "m.tflite", calibration=images, calibration_method=method)
        for method in ("min_max", "percentile")
    }
    assert [report.calibration_method for report in reports.values()] == list(reports)
    assert all(report.calibration_images == len(images) for report in reports.values())
    assert all(report.parity.mask_agreement > 0.95 for report in reports.values())
    # What cuts off rare values has finer steps.
    assert output_range(reports["percentile"]) < output_range(reports["min_max"])
    assert "(percentile)" in str(reports["percentile"])
    for report in reports.values():
        assert not {"DEQUANTIZE", "SPACE_TO_BATCH_ND"} & set(report.operations)


def test_layers_that_are_left_out_are_floats_in_the_file(trained_model, images, tmp_path):
    report = export(trained_model, tmp_path / "m.tflite", calibration=images, exclude=["segmentation_output"])
    assert report.float_layers == ("segmentation_output",)
    parts = [part for part in inspect_model(report.path).operations if part.name == "CONV_2D"]
    assert {part.precision for part in parts if "segmentation_output" in part.layer} == {"float"}
    assert {part.precision for part in parts if "segmentation_output" not in part.layer} == {"int8"}
    assert "  float       segmentation_output" in str(report)
    assert report.parity.mask_agreement > 0.95


def test_parity_is_to_the_model_in_floating_point(trained_model, images, tmp_path):
    """Not to the one that rounds, from which the file hardly differs."""
    report = export(trained_model, tmp_path / "m.tflite", calibration=images, calibration_method="mse")
    rounded = registry.quantize(
        trained_model, calibration=images, method="mse", size=(64, 64), progress=False
    )
    other = registry.export(rounded, tmp_path / "o.tflite", size=64, quantization="int8", progress=False)
    assert report.path.read_bytes() == other.path.read_bytes()
    assert other.calibration_method is None
    shown = calibration_images(images, (64, 64))[:2]
    scaled = trained_model.preprocessor.scaled(shown.astype(np.float32))
    expected = trained_model(scaled, training=False).numpy()
    assert report.parity.reference_std == pytest.approx(expected.std(), rel=1e-4)


def test_steps_are_counted(trained_model, images, tmp_path):
    for options, extra in (
        ({"calibration_method": "mse"}, 2 * -(-len(images) // 4)),
        ({"exclude": ["segmentation_output"]}, -(-len(images) // 4)),
    ):
        seen = []
        export(
            trained_model,
            tmp_path / "m.tflite",
            calibration=images,
            progress=lambda *step, seen=seen: seen.append(step),
            **options,
        )
        assert [number for _, number, _ in seen] == list(range(1, 4 + extra + 1))
        assert {total for _, _, total in seen} == {4 + extra}


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"calibration_method": "minmax"}, ModelError, "did you mean 'min_max'"),
        ({"quantization": "float16", "exclude": ["x"]}, ExportError, "no ranges to choose"),
        ({"quantization": "dynamic", "calibration_method": "mse"}, ExportError, "no ranges to choose"),
        ({"quantization": "int16x8", "calibration_method": "mse"}, ExportError, "16 bits"),
        ({"quantization": "int16x8", "exclude": ["segmentation_output"]}, ExportError, "16 bits"),
        ({"exclude": ["no_such_layer"]}, QuantizationError, "no_such_layer"),
        ({"exclude": [3]}, ModelError, "`exclude`"),
    ],
)
def test_what_cannot_be_is_refused(trained_model, images, tmp_path, options, error, message):
    if options.get("quantization") not in ("float16", "dynamic"):
        options = {**options, "calibration": images}
    with pytest.raises(error, match=message):
        export(trained_model, tmp_path / "m.tflite", **options)
    assert list(tmp_path.iterdir()) == []


def test_other_models_are_for_the_converter(images, tmp_path):
    inputs = keras.layers.Input((None, None, 3))
    model = keras.Model(inputs, keras.layers.Conv2D(4, 1)(inputs))
    with pytest.raises(ModelError, match="segmenters of atrous"):
        export(model, tmp_path / "m.tflite", calibration=images, calibration_method="mse")


def test_a_model_that_rounds_has_ranges_of_its_own(trained_model, images, tmp_path):
    rounded = registry.quantize(trained_model, calibration=images, size=(64, 64), progress=False)
    with pytest.raises(ExportError, match=r"pass it to registry\.quantize"):
        export(rounded, tmp_path / "m.tflite", exclude=["segmentation_output"])


def test_sixteen_bits_are_of_all_layers(trained_model, images, tmp_path):
    rounded = registry.quantize(
        trained_model,
        "int16x8",
        calibration=images,
        size=(64, 64),
        exclude=["segmentation_output"],
        progress=False,
    )
    with pytest.raises(ExportError, match="leaves out segmentation_output"):
        export(rounded, tmp_path / "m.tflite", quantization="int16x8", calibration=images)


class Annotated:
    """Photographs with what the model itself says, but for a corner."""

    name, num_classes, ignore_label, labels = "photographs", 5, 255, ()

    def __init__(self, images, masks):
        self._examples = [
            Example(str(index), image, mask.astype(np.uint8))
            for index, (image, mask) in enumerate(zip(images, masks, strict=True))
        ]

    def __len__(self):
        return len(self._examples)

    def __getitem__(self, index):
        return self._examples[index]


def test_mean_iou_is_measured_beside_the_model(trained_model, images, tmp_path):
    masks = np.stack([trained_model.segment(image) for image in images])
    masks[:, :16, :16] = 0
    data = Annotated(images, masks)
    report = export(
        trained_model,
        tmp_path / "m.tflite",
        calibration=images,
        annotated=data,
        annotated_limit=6,
        write_report=True,
    )
    accuracy = report.accuracy
    assert (accuracy.dataset, accuracy.images) == ("photographs", 6)
    model, file = evaluate_alike([trained_model, report.path], data, size=64, limit=6)
    assert accuracy.model_mean_iou == model.mean_iou
    assert accuracy.mean_iou == file.mean_iou
    assert accuracy.difference == pytest.approx(file.mean_iou - model.mean_iou)
    assert "points to the Keras model (6 images of photographs)" in str(report)
    written = json.loads((tmp_path / "m.report.json").read_text())
    assert written["export"]["accuracy"]["mean_iou"] == accuracy.mean_iou
    assert "mean IoU" in (tmp_path / "m.report.html").read_text()


def test_data_that_do_not_fit_leave_no_file(trained_model, images, tmp_path):
    data = Annotated(images, np.zeros(images.shape[:3]))
    data.num_classes = 7
    with pytest.raises(ModelError, match="classes"):
        export(trained_model, tmp_path / "m.tflite", calibration=images, annotated=data)
    assert list(tmp_path.iterdir()) == []
