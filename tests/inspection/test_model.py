import io
import json
import struct
import zipfile

import pytest

from registry.errors import ModelFileError
from registry.inspection import description, inspect_model
from registry.metadata import SegmenterMetadata, write_metadata

# 16×24 maps: 3×3×3→8, depthwise 3×3, 1×1 8→8 on one pixel; 32×48: 1×1 8→5.
MACS = 16 * 24 * 8 * 27 + 16 * 24 * 8 * 9 + 8 * 8 + 32 * 48 * 5 * 8
PARAMETERS = (27 * 8 + 8) + (9 * 8 + 8) + (8 * 8 + 8) + (8 * 5 + 5)


@pytest.mark.parametrize(
    ("kind", "quantization", "precision"),
    [
        ("float", "float32", "float"),
        ("float16", "float16 weights", "float"),
        ("int8", "int8", "int8"),
        ("int16", "int8 with int16 values", "int16"),
    ],
)
def test_arithmetic_is_the_same_in_every_quantization(files, kind, quantization, precision):
    inspection = inspect_model(files[kind])
    assert inspection.macs == MACS
    assert inspection.parameters == PARAMETERS
    assert inspection.quantization == quantization
    assert inspection.mac_shares == {precision: 1.0}
    assert inspection.per_channel == (kind.startswith("int"))
    assert inspection.size_bytes == files[kind].stat().st_size


def test_operations_are_listed_in_the_order_of_execution(files):
    inspection = inspect_model(files["int8"])
    names = [operation.name for operation in inspection.operations]
    assert names == [
        "QUANTIZE", "CONV_2D", "DEPTHWISE_CONV_2D", "MEAN", "CONV_2D", "ADD", "RESIZE_BILINEAR", "CONV_2D", "DEQUANTIZE",
    ]  # fmt: skip
    assert inspection.histogram["CONV_2D"] == 3
    first = inspection.operations[1]
    assert (first.input_shape, first.output_shape) == ((1, 32, 48, 3), (1, 16, 24, 8))
    assert (first.activation, first.weight_dtype, first.weight_channels) == ("RELU", "int8", 8)
    assert first.weight_bytes == 27 * 8 + 4 * 8
    assert inspection.operations[0].precision == "conversion"


def test_inputs_outputs_and_signatures(files):
    inspection = inspect_model(str(files["float"]))
    (source,), (result,) = inspection.inputs, inspection.outputs
    assert (source.shape, source.dtype, source.scale) == ((1, 32, 48, 3), "float32", None)
    assert result.shape == (1, 32, 48, 5)
    assert [signature.name for signature in inspection.signatures] == ["serving_default"]
    assert not inspection.has_mediapipe_metadata


def test_weights_alone_quantized_is_called_dynamic_range(files):
    inspection = inspect_model(files["dynamic"])
    assert inspection.quantization == "dynamic range"
    assert inspection.mac_shares == {"hybrid": 1.0}


def test_other_multiplications(files):
    assert inspect_model(files["transposed"]).macs == 4 * 4 * 6 * 9 * 5
    assert inspect_model(files["dense"]).macs == 2 * 12 * 7


def test_an_open_size_leaves_the_arithmetic_open(files):
    inspection = inspect_model(files["open"])
    assert inspection.inputs[0].shape == (1, -1, -1, 3)
    assert inspection.macs is None
    assert "input size is open" in str(inspection)


def test_custom_operations_are_named(files):
    assert inspect_model(files["custom"]).custom_operations == ("CUSTOM:Betainc",)


def test_bytes_and_paths_give_the_same(files):
    by_bytes = inspect_model(files["int8"].read_bytes()).to_dict()
    by_path = inspect_model(files["int8"]).to_dict()
    assert by_bytes.pop("path") is None
    assert by_path.pop("path") == str(files["int8"])
    assert by_bytes == by_path
    json.dumps(by_path, allow_nan=False)


def test_appended_files_are_named_but_not_unpacked(files):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("labels.txt", bytes(10_000_000))
        archive.writestr("evil\x1b[2J", b"")
    inspection = inspect_model(files["float"].read_bytes() + stream.getvalue())
    assert inspection.files == ("labels.txt", "evil�[2J")


def test_names_cannot_send_control_sequences(files):
    content = files["float"].read_bytes().replace(b"serving_default", b"\x1b]0;owned\x07_dflt")
    assert inspect_model(content).inputs[0].name.startswith("�]0;owned�_dflt_")


def test_metadata_are_read_and_damage_in_them_does_not_hide_the_rest(files, monkeypatch):
    described = write_metadata(
        files["float"].read_bytes(), SegmenterMetadata(labels=("sky", "ground"), name="net")
    )
    inspection = inspect_model(described)
    assert inspection.has_mediapipe_metadata
    assert inspection.segmenter["name"] == "net"
    assert inspection.segmenter["labels"] == ["sky", "ground"]
    assert inspection.macs == MACS
    assert "sky, ground" in str(inspection)
    json.dumps(inspection.to_dict(), allow_nan=False)

    def refuse(content):
        raise ModelFileError("metadata must make sense", received="\x1bnonsense")

    monkeypatch.setattr(description, "read_metadata", refuse)
    spoilt = inspect_model(described)
    assert spoilt.macs == MACS
    assert "unreadable: metadata must make sense: �nonsense" in str(spoilt)


@pytest.mark.parametrize(
    "content", [b"", b"TFL3", bytes(100), struct.pack("<I", 2**31) + b"TFL3" + bytes(50)]
)
def test_what_is_no_model_is_refused(content):
    with pytest.raises(ModelFileError, match="flatbuffer"):
        inspect_model(content)


def test_a_path_is_named_in_the_error(tmp_path):
    path = tmp_path / "broken.tflite"
    path.write_bytes(struct.pack("<I", 16) + b"TFL3" + bytes(8) + struct.pack("<i", 4) + bytes(40))
    with pytest.raises(ModelFileError, match=r"broken\.tflite"):
        inspect_model(path)


def test_a_list_longer_than_the_file_is_refused_before_it_is_walked(files):
    """The count of a vector, made huge: reading it must not take the time that it claims."""
    content = bytearray(files["float"].read_bytes())
    refused = 0
    for offset in range(8, len(content) - 4, 4):
        if 0 < struct.unpack_from("<I", content, offset)[0] < 64:
            spoilt = bytearray(content)
            struct.pack_into("<I", spoilt, offset, 0x3FFFFFFF)
            try:
                inspect_model(bytes(spoilt))
            except ModelFileError:
                refused += 1
    assert refused > 20


@pytest.mark.parametrize("kind", ["float", "int8"])
def test_300_damaged_files_are_described_or_refused(files, damaged, kind):
    original, refused = files[kind].read_bytes(), 0
    for seed in range(300):
        try:
            inspection = inspect_model(damaged(original, seed))
        except ModelFileError:
            refused += 1
        else:
            json.dumps(inspection.to_dict(), allow_nan=False)
            assert str(inspection)
    assert refused > 100
