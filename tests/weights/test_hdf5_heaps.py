"""Heaps as the library writes them add up; no other length of a piece does."""

import struct

import h5py
import pytest

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
