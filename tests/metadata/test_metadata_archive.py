import io
import struct
import zipfile

import pytest

from registry.errors import ModelFileError
from registry.metadata.archive import MOST_BYTES, MOST_FILES, archive_start, pack_files, read_files

BEFORE = b"model" * 20


def archive(files, compression=zipfile.ZIP_DEFLATED):
    stream = io.BytesIO(BEFORE)
    with zipfile.ZipFile(stream, "a", compression) as writer:
        for name, data in files.items():
            writer.writestr(name, data)
    return stream.getvalue()


def read(content, *names):
    return read_files(memoryview(content), names)


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_archives_of_others_are_read(compression):
    content = archive({"labels.txt": "a\nb", "other": bytes(1000)}, compression)
    assert read(content, "labels.txt", "absent") == {"labels.txt": b"a\nb"}
    assert archive_start(memoryview(content)) == len(BEFORE)


def test_ours_is_read_by_others():
    content = BEFORE + pack_files({"a.txt": b"1", "ü.txt": b"22"}, len(BEFORE))
    with zipfile.ZipFile(io.BytesIO(content)) as reader:
        assert {name: reader.read(name) for name in reader.namelist()} == {"a.txt": b"1", "ü.txt": b"22"}
    assert read(content, "ü.txt") == {"ü.txt": b"22"}


def test_an_archive_may_count_from_its_own_start():
    assert read(BEFORE + pack_files({"a": b"1"}, 0), "a") == {"a": b"1"}


@pytest.mark.parametrize("content", [b"", BEFORE, BEFORE + b"PK\5\6", BEFORE + b"PK\5\6" + b"x" * 30])
def test_no_archive_is_no_error(content):
    assert read(content, "a") == {}
    assert archive_start(memoryview(content)) == len(content)


def test_a_bomb_is_not_inflated():
    with pytest.raises(ModelFileError, match="larger"):
        read(archive({"labels.txt": bytes(MOST_BYTES + 1)}), "labels.txt")


def test_a_bomb_that_lies_about_its_size_is_not_inflated():
    content = bytearray(archive({"labels.txt": bytes(MOST_BYTES * 64)}))
    directory = content.rfind(b"PK\1\2")
    content[directory + 24 : directory + 28] = struct.pack("<I", 100)
    with pytest.raises(ModelFileError, match="checksum"):
        read(bytes(content), "labels.txt")


def test_too_many_files_are_refused():
    with pytest.raises(ModelFileError, match=f"{MOST_FILES + 1} files"):
        read(archive({str(index): b"" for index in range(MOST_FILES + 1)}), "0")


@pytest.mark.parametrize(
    ("offset", "value"),
    [
        (8, struct.pack("<H", 1)),  # encrypted
        (10, struct.pack("<H", 99)),  # a method that nobody knows
        (16, bytes(4)),  # checksum
        (20, struct.pack("<I", 0xFFFFFFFF)),  # packed size
        (42, struct.pack("<I", 0xFFFFFFF0)),  # where the file starts
        (28, struct.pack("<H", 0xFFFF)),  # length of the name
        (0, b"XXXX"),
    ],
)
def test_a_directory_that_lies_is_refused_or_names_nothing(offset, value):
    content = bytearray(archive({"labels.txt": "a\nb" * 20}))
    directory = content.rfind(b"PK\1\2")
    content[directory + offset : directory + offset + len(value)] = value
    try:
        assert read(bytes(content), "labels.txt") == {}
    except ModelFileError:
        pass


def test_a_directory_larger_than_the_file_is_refused():
    content = bytearray(archive({"a": "1"}))
    content[-10:-6] = struct.pack("<I", 500_000)
    with pytest.raises(ModelFileError):
        read(bytes(content), "a")
