"""What goes with a file: metadata inside of it, and on request a report beside it."""

import json

import numpy as np
import pytest

import registry
from registry.errors import OutputPathError
from registry.metadata import read_metadata
from registry.testing.randomizing import randomize


@pytest.fixture(scope="module")
def photographs():
    """Three smooth images with edges, uint8 (3, 64, 64, 3)."""
    rows, columns = np.mgrid[0:64, 0:64]
    ramp = np.stack([rows * 4, columns * 4, (rows + columns) * 2], axis=-1)
    images = np.stack([ramp, ramp[::-1], np.where(rows[..., None] > columns[..., None], ramp, 255 - ramp)])
    return images.clip(0, 255).astype(np.uint8)


def test_a_report_is_written_beside_the_file(small_model, tmp_path):
    report = registry.export(
        small_model, tmp_path / "small.tflite", size=64, write_report=True, progress=False
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "small.report.html",
        "small.report.json",
        "small.tflite",
    ]
    document = json.loads((tmp_path / "small.report.json").read_text())
    assert document["export"] == json.loads(json.dumps(report.to_dict()))
    assert document["inspection"]["macs"] > 0
    assert document["delegates"]["xnnpack_partitions"] == 1
    assert document["delegates"]["outside"] == []
    assert document["latency"]["measurements"][0]["median_ms"] > 0
    # The page's masks are the Keras model's and the file's; float32 differs by rounding only.
    assert all(picture["mask_agreement"] > 0.999 for picture in document["pictures"])
    page = (tmp_path / "small.report.html").read_text()
    assert "small.tflite" in page
    assert "data:image/png;base64," in page
    assert "http://" not in page.replace("http://www.w3.org", "")


@pytest.mark.filterwarnings("ignore::registry.errors.RegistryWarning")
@pytest.mark.parametrize("output", ["logits", "probabilities", "mask"])
def test_the_report_of_a_quantized_file_compares_layer_by_layer(small_model, tmp_path, photographs, output):
    path = tmp_path / "small.tflite"
    registry.export(
        small_model,
        path,
        size=64,
        quantization="int8",
        calibration=photographs,
        output=output,
        write_report=True,
        progress=False,
    )
    document = json.loads((tmp_path / "small.report.json").read_text())
    assert len(document["layers"]) > 10
    assert document["export"]["quantization"] == "int8"
    assert len(document["pictures"]) == 2


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::registry.errors.RegistryWarning")
@pytest.mark.parametrize("mode", ["int8", "int16x8"])
def test_no_rewrite_for_integers_counts_as_an_error_of_the_layer(tmp_path, photographs, mode):
    """Without its factor of 1/6, a hard swish gives six times what it did, on both sides of the comparison."""
    preset = {
        "encoder": {"plugin": "mobilenet", "variant": "mobilenet_v3_small_050_torch"},
        "architecture": {"name": "lr_aspp"},
        "num_classes": 3,
    }
    model = registry.build(preset, weights=None, encoder_weights=None)
    randomize(model, np.asarray(model.preprocessor(photographs.astype(np.float32))))
    registry.export(
        model,
        tmp_path / "swish.tflite",
        size=64,
        quantization=mode,
        calibration=photographs,
        write_report=True,
        progress=False,
    )
    layers = json.loads((tmp_path / "swish.report.json").read_text())["layers"]
    gated = [layer for layer in layers if "squeeze_excite" in layer["layer"]]
    assert len(gated) > 10
    assert all(layer["sqnr_db"] > 0 for layer in layers)
    assert max(layer["added_noise"] for layer in layers) < 0.3


def test_a_report_that_cannot_be_written_stops_the_export_before_any_work(small_model, tmp_path):
    (tmp_path / "small.report.html").mkdir()
    with pytest.raises(OutputPathError):
        registry.export(small_model, tmp_path / "small.tflite", size=64, write_report=True, progress=False)
    assert [path.name for path in tmp_path.iterdir()] == ["small.report.html"]


def test_labels_and_colours_travel_in_the_file(small_preset, tmp_path):
    names = ["background", "<b>cat</b>", "Hund", "鸟", "tree"]
    small_preset["labels"] = [
        {"name": name, "color": [10 * number, 20, 30]} for number, name in enumerate(names)
    ]
    model = registry.build(small_preset, weights=None)
    registry.export(model, tmp_path / "small.tflite", size=64, write_report=True, progress=False)
    metadata = read_metadata(tmp_path / "small.tflite")
    assert list(metadata.labels) == names
    assert metadata.extra["quantization"] == "float32"
    segmenter = registry.Segmenter(tmp_path / "small.tflite")
    assert list(segmenter.labels) == names
    assert segmenter.palette[2] == (20, 20, 30)
    # Names are other people's words: the page shows them, and runs none of them.
    page = (tmp_path / "small.report.html").read_text()
    assert "<b>cat</b>" not in page
    assert "&lt;b&gt;cat&lt;/b&gt;" in page
