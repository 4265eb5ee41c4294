import io
import json
import random
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

from registry.errors import ModelError, ModelFileError
from registry.metadata import SegmenterMetadata, read_metadata, write_metadata
from registry.runtime.modelfile import check_structure

KINDS = ("float32", "uint8", "binary")


def outputs(content):
    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    source, result = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    values = np.random.default_rng(1).integers(0, 256, source["shape"]).astype(source["dtype"])
    interpreter.set_tensor(source["index"], values)
    interpreter.invoke()
    return interpreter.get_tensor(result["index"])


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_is_read_and_the_model_computes_what_it_did(kind, contents, metadata, tmp_path):
    content = contents[kind]
    described = write_metadata(content, metadata)
    assert read_metadata(described) == metadata
    assert described == write_metadata(content, metadata)
    assert (outputs(described) == outputs(content)).all()
    path = tmp_path / "model.tflite"
    path.write_bytes(described)
    check_structure(path)
    assert read_metadata(path) == read_metadata(str(path)) == metadata


def test_a_model_without_metadata_says_nothing(contents, tmp_path):
    assert read_metadata(contents["float32"]) is None
    path = tmp_path / "model.tflite"
    path.write_bytes(contents["float32"])
    assert read_metadata(path) is None


def test_the_least_that_can_be_said(contents):
    nothing = SegmenterMetadata()
    assert read_metadata(write_metadata(contents["float32"], nothing)) == nothing


@pytest.mark.parametrize("kind", KINDS)
def test_metadata_is_replaced(kind, contents, metadata):
    first = write_metadata(contents[kind], metadata)
    other = replace(metadata, labels=("a", "b"), colors=(), name="other")
    second = write_metadata(first, other)
    assert read_metadata(second) == other
    assert b"Hintergrund" not in second
    assert entry_names(second) == entry_names(first)
    assert (outputs(second) == outputs(contents[kind])).all()


def entry_names(content):
    model = schema.Model.GetRootAs(content, 0)
    return [model.Metadata(index).Name().decode() for index in range(model.MetadataLength())]


@pytest.mark.parametrize("kind", KINDS)
def test_the_rest_of_the_model_is_untouched(kind, contents, metadata):
    before = schema.Model.GetRootAs(contents[kind], 0)
    described = write_metadata(contents[kind], metadata)
    after = schema.Model.GetRootAs(described, 0)
    assert entry_names(described) == [*entry_names(contents[kind]), "TFLITE_METADATA"]
    assert after.BuffersLength() == before.BuffersLength() + 1
    for index in range(before.BuffersLength()):
        old, new = before.Buffers(index).DataAsNumpy(), after.Buffers(index).DataAsNumpy()
        assert np.array_equal(old, new)
    for name in ("Version", "Description", "SubgraphsLength", "SignatureDefsLength", "OperatorCodesLength"):
        assert getattr(after, name)() == getattr(before, name)()
    signatures = Interpreter(model_content=described).get_signature_list()
    assert signatures == Interpreter(model_content=contents[kind]).get_signature_list()


def starts(content):
    """Where in the file the data of each buffer starts."""
    whole = np.frombuffer(content, np.uint8).__array_interface__["data"][0]
    model = schema.Model.GetRootAs(content, 0)
    buffers = (model.Buffers(index) for index in range(model.BuffersLength()))
    return [
        buffer.DataAsNumpy().__array_interface__["data"][0] - whole if buffer.DataLength() else None
        for buffer in buffers
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_constants_and_metadata_stay_aligned(kind, contents, metadata):
    described = write_metadata(contents[kind], metadata)
    *after, added = starts(described)
    moves = {new - old for old, new in zip(starts(contents[kind]), after, strict=True) if old is not None}
    assert len(moves) == 1
    assert moves.pop() % 64 == 0
    assert added % 16 == 0
    assert described[added + 4 : added + 8] == b"M001"


def test_associated_files_are_a_plain_archive_without_a_date(contents, metadata):
    with zipfile.ZipFile(io.BytesIO(write_metadata(contents["float32"], metadata))) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["labels.txt", "atrous.json"]
        assert {entry.compress_type for entry in archive.infolist()} == {zipfile.ZIP_STORED}
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert archive.read("labels.txt").decode().splitlines() == list(metadata.labels)
        assert json.loads(archive.read("atrous.json"))["colors"][1] == [128, 64, 128]


@pytest.mark.parametrize("content", [b"", b"TFL3", bytes(64), b"\x10\0\0\0TFL3" + bytes(60)])
def test_what_is_no_model_is_refused(content, metadata, tmp_path):
    with pytest.raises(ModelFileError):
        write_metadata(content, metadata)
    with pytest.raises(ModelFileError):
        read_metadata(content)
    path = tmp_path / "model.tflite"
    path.write_bytes(content)
    with pytest.raises(ModelFileError):
        read_metadata(path)


def test_paths_that_cannot_be_read(tmp_path):
    with pytest.raises(ModelFileError, match="readable"):
        read_metadata(tmp_path / "absent.tflite")
    with pytest.raises(ModelFileError, match="readable"):
        read_metadata(tmp_path)


def test_a_model_of_two_outputs_is_refused(metadata):
    from registry.backend import tf

    function = tf.function(
        lambda image: (image + 1, image - 1), input_signature=[tf.TensorSpec((1, 4, 4, 3), tf.float32)]
    )
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function.get_concrete_function()])
    with pytest.raises(ModelFileError, match="one output"):
        write_metadata(converter.convert(), metadata)


def test_what_is_no_json_is_refused(contents, metadata):
    with pytest.raises(ModelError, match="JSON"):
        write_metadata(contents["float32"], replace(metadata, extra={"a": object()}))
    with pytest.raises(ModelError, match="JSON"):
        write_metadata(contents["float32"], replace(metadata, extra={"a": float("nan")}))


def corrupted(content, chance):
    """A damaged copy: cut, flipped, overwritten; mostly where offsets, names and the archive are."""
    damaged = bytearray(content)
    for _ in range(chance.randint(1, 6)):
        region = chance.choice((range(1024), range(len(damaged) - 900, len(damaged)), range(len(damaged))))
        at = chance.choice(region) % len(damaged)
        kind = chance.randrange(4)
        if kind == 0:
            damaged[at] ^= 1 << chance.randrange(8)
        elif kind == 1:
            damaged[at : at + 4] = chance.randbytes(4)
        elif kind == 2:
            damaged[at : at + 4] = chance.choice((b"\xff\xff\xff\xff", bytes(4), b"\xff\xff\xff\x7f"))
        else:
            del damaged[at : at + chance.choice((1, 7, 400))]
    return bytes(damaged)


@pytest.mark.parametrize("kind", ["float32", "uint8"])
def test_damage_ends_in_an_answer_or_in_a_clean_error(kind, contents, metadata, tmp_path):
    content = write_metadata(contents[kind], metadata)
    chance = random.Random(kind)
    path = tmp_path / "model.tflite"
    answers = []
    for _ in range(300):
        damaged = corrupted(content, chance)
        path.write_bytes(damaged)
        for source in (damaged, path):
            try:
                answers.append(type(read_metadata(source)))
            except ModelFileError:
                answers.append(ModelFileError)
    assert {ModelFileError, SegmenterMetadata} <= set(answers)
