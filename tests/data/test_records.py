"""TFRecord files and the messages in them, against TensorFlow's own reading and writing."""

import gzip
import struct

import numpy as np
import pytest

from registry.backend import tf
from registry.data.messages import BadExampleError, decode_example, encode_example
from registry.data.records import open_records, write_record
from registry.errors import DataError

CONTENTS = [b"", b"a", bytes(range(256)) * 20, b"\0" * 4097, "größer".encode()]


def write(path, contents):
    with path.open("wb") as stream:
        for content in contents:
            write_record(stream, content)
    return path


def contents_of(path):
    file = open_records(path)
    return [file.read(number) for number in range(len(file))]


def test_tensorflow_reads_what_we_write(tmp_path):
    path = write(tmp_path / "ours.tfrecord", CONTENTS)
    assert [record.numpy() for record in tf.data.TFRecordDataset(str(path))] == CONTENTS


def test_we_read_what_tensorflow_writes(tmp_path):
    path = tmp_path / "theirs.tfrecord"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for content in CONTENTS:
            writer.write(content)
    assert contents_of(path) == CONTENTS
    assert path.read_bytes() == write(tmp_path / "ours.tfrecord", CONTENTS).read_bytes()


def test_records_are_read_in_any_order(tmp_path):
    file = open_records(write(tmp_path / "some.tfrecord", CONTENTS))
    for number in (3, 0, 4, 1, 3):
        assert file.read(number) == CONTENTS[number]
    assert file.offsets.tolist() == np.cumsum([0, *(len(content) + 16 for content in CONTENTS[:-1])]).tolist()


def test_an_empty_file_has_no_records(tmp_path):
    assert len(open_records(write(tmp_path / "empty.tfrecord", []))) == 0


def test_what_is_cut_off_is_found_when_it_is_opened(tmp_path):
    path = write(tmp_path / "whole.tfrecord", CONTENTS)
    data = path.read_bytes()
    ends = np.cumsum([len(content) + 16 for content in CONTENTS])
    cut = tmp_path / "cut.tfrecord"
    for length in {1, 11, 12, 17, 20, 40, 5000, len(data) - 5, len(data) - 1}:
        cut.write_bytes(data[:length])
        number = int(np.searchsorted(ends, length, side="right"))
        offset = 0 if number == 0 else ends[number - 1]
        with pytest.raises(DataError, match=rf"cut\.tfrecord, record {number} at byte {offset}: "):
            open_records(cut)
    for number, end in enumerate(ends):
        cut.write_bytes(data[:end])
        assert len(open_records(cut)) == number + 1


def test_every_changed_byte_is_found(tmp_path):
    data = write(tmp_path / "whole.tfrecord", [b"some content", b"other content"]).read_bytes()
    path = tmp_path / "changed.tfrecord"
    for place in range(len(data)):
        spoilt = bytearray(data)
        spoilt[place] ^= 1 << (place % 8)
        path.write_bytes(spoilt)
        number, offset = (0, 0) if place < 28 else (1, 28)
        with pytest.raises(DataError, match=rf"changed\.tfrecord, record {number} at byte {offset}"):
            contents_of(path)


def test_a_length_is_believed_only_with_its_checksum(tmp_path):
    path = tmp_path / "huge.tfrecord"
    path.write_bytes(struct.pack("<QI", 2**63, 0) + bytes(100))
    with pytest.raises(DataError, match="record 0 at byte 0"):
        open_records(path)


def test_files_that_change_or_vanish_are_told(tmp_path):
    path = write(tmp_path / "some.tfrecord", CONTENTS)
    file = open_records(path)
    path.write_bytes(path.read_bytes()[:10])
    with pytest.raises(DataError, match="changed since it was opened"):
        file.read(0)
    path.unlink()
    with pytest.raises(DataError, match="must be readable"):
        file.read(0)
    with pytest.raises(DataError, match="must be readable"):
        open_records(tmp_path)


def test_compressed_files_are_recognized(tmp_path):
    path = tmp_path / "some.tfrecord"
    path.write_bytes(gzip.compress(write(tmp_path / "whole.tfrecord", CONTENTS).read_bytes()))
    with pytest.raises(DataError, match="decompress"):
        open_records(path)


FEATURES = {"name": "Füße".encode(), "empty": b"", "data": bytes(range(256)), "width": 2**40, "less": -7}


def test_messages_are_tensorflows():
    theirs = tf.train.Example.FromString(encode_example(FEATURES))
    for name, value in FEATURES.items():
        kind = "bytes_list" if isinstance(value, bytes) else "int64_list"
        assert list(getattr(theirs.features.feature[name], kind).value) == [value]
    theirs.features.feature["share"].float_list.value.extend([0.5, 2.0])
    theirs.features.feature["none"].SetInParent()
    expected = {name: [value] for name, value in FEATURES.items()}
    assert decode_example(theirs.SerializeToString()) == {**expected, "share": [0.5, 2.0], "none": []}


def test_the_same_features_give_the_same_bytes():
    assert encode_example(FEATURES) == encode_example(dict(reversed(FEATURES.items())))


@pytest.mark.parametrize("content", [b"\xff\xff\xff", b"\x0a\x05ab", encode_example(FEATURES)[:-3]])
def test_what_is_no_message_is_refused(content):
    with pytest.raises(BadExampleError):
        decode_example(content)
