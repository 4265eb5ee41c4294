"""Heaps as the library writes them add up; no other length of a piece does."""

import struct

import h5py
import numpy as np
import pytest

from registry.errors import WeightsFormatError
from registry.weights import hdf5
from registry.weights.hdf5_heaps import endless_heap


@pytest.fixture(scope="module")
def many_texts(tmp_path_factory):
    """Texts of every length that fill several heaps."""
    path = tmp_path_factory.mktemp("heaps") / "x.h5"
    with h5py.File(path, "w") as file:
        for number in range(40):
            file.create_group(str(number)).attrs["names"] = [
                "x" * length for length in range(number, number + 12)
            ]
        file["texts"] = ["ä" * length for length in range(300)]
        file.attrs["long"] = "y" * 20_000
    return path


def test_what_the_library_writes_adds_up(many_texts):
    assert many_texts.read_bytes().count(b"GCOL\x01\0\0\0") > 3
    assert endless_heap(many_texts) is None


@pytest.mark.parametrize("length", [0, 8, 15, 1 << 40, (1 << 64) - 8, (1 << 64) - 16])
def test_a_length_that_leads_nowhere_is_found(many_texts, tmp_path, length):
    data = bytearray(many_texts.read_bytes())
    place = data.rindex(b"GCOL\x01\0\0\0")
    struct.pack_into("<HHIQ", data, place + 16, 0, 0, 0, length)
    (tmp_path / "x.h5").write_bytes(data)
    assert endless_heap(tmp_path / "x.h5") == place


@pytest.mark.parametrize("data", [b"", b"GCOL", b"GCOL\x01\0\0\0", b"GCOL\x01\0\0\0" + bytes(8)])
def test_what_is_no_file_of_this_kind_ends(tmp_path, data):
    (tmp_path / "x.h5").write_bytes(data)
    assert endless_heap(tmp_path / "x.h5") in (None, 0)


@pytest.mark.parametrize("size", [0, 8, 1 << 32, (1 << 64) - 1])
def test_a_heap_of_a_size_that_it_does_not_have_is_found(many_texts, tmp_path, size):
    data = bytearray(many_texts.read_bytes())
    place = data.rindex(b"GCOL\x01\0\0\0")
    struct.pack_into("<Q", data, place + 8, size)
    (tmp_path / "x.h5").write_bytes(data)
    assert endless_heap(tmp_path / "x.h5") == (place if size > 8 else None)


@pytest.mark.parametrize("before", [0, 1, 7, 8])
def test_a_heap_across_two_blocks_is_found(tmp_path, before):
    """The file is read by blocks of 1 MiB."""
    place = (1 << 20) - before
    (tmp_path / "x.h5").write_bytes(bytes(place) + b"GCOL\x01\0\0\0" + struct.pack("<Q", 1 << 40) + bytes(64))
    assert endless_heap(tmp_path / "x.h5") == place


def test_a_file_is_walked_once_however_many_arrays_it_has(tmp_path, monkeypatch):
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        for number in range(20):
            file[str(number)] = np.full(3, number, np.float32)
    walked = []
    monkeypatch.setattr(hdf5, "endless_heap", lambda path: walked.append(path))
    with hdf5.reading(path, _malformed) as file:
        arrays = [hdf5.stored_dataset(path, file[str(number)], _malformed) for number in range(20)]
    assert [int(np.asarray(array)[0]) for array in arrays] == list(range(20))
    assert walked == [path]


def _malformed(path, why):
    return WeightsFormatError("intact", received=f"{path}: {why}", repair="save it again")
