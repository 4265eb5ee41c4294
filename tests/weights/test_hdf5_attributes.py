"""Attributes of any shape are read, up to a size."""

import h5py
import numpy as np
import pytest

from registry.errors import WeightsFormatError
from registry.weights import hdf5


def malformed(path, what):
    return WeightsFormatError("a file is as it should be", received=f"{path}: {what}")


@pytest.fixture
def file(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        yield file


@pytest.mark.parametrize(
    "value",
    [np.array([], "S1"), np.array(["a", "ä"], object), "text", np.arange(3), 7],
    ids=["names of nothing", "texts", "text", "numbers", "number"],
)
def test_what_keras_writes_is_read(file, value):
    file.attrs["x"] = value
    found = hdf5.attribute(file.filename, file, "x", malformed)
    assert np.all(found == value)
    assert np.shape(found) == np.shape(value)


def test_an_attribute_of_no_value_is_read(file):
    file.attrs["x"] = h5py.Empty("f4")
    assert hdf5.attribute(file.filename, file, "x", malformed) == h5py.Empty("f4")


def test_a_large_one_is_refused_before_it_is_read(file, monkeypatch):
    monkeypatch.setattr(hdf5, "_LARGEST_ATTRIBUTE", 4000)
    file.attrs["x"] = np.zeros(500)
    assert hdf5.attribute(file.filename, file, "x", malformed).shape == (500,)
    file.attrs["y"] = np.zeros(501)
    with pytest.raises(WeightsFormatError, match="attribute 'y' is larger than 4,000 bytes"):
        hdf5.attribute(file.filename, file, "y", malformed)
