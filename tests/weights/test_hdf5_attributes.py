"""Attributes of any shape are read, up to a size."""

import h5py
import numpy as np
import pytest

from registry.errors import WeightsFormatError
from registry.weights.hdf5 import attribute


def malformed(path, what):
    return WeightsFormatError("a file is as it should be", received=f"{path}: {what}")


@pytest.fixture
def file(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        yield file


@pytest.mark.parametrize(
    "value",
    [np.array([], "S1"), np.array(["a", "ä"], object), "text", b"bytes", np.arange(3), 7],
    ids=["names of nothing", "texts", "text", "bytes", "numbers", "number"],
)
def test_what_keras_writes_is_read(file, value):
    file.attrs["x"] = value
    np.testing.assert_array_equal(attribute(file.filename, file, "x", malformed), value)


def test_an_attribute_of_no_value_is_read(file):
    file.attrs["x"] = h5py.Empty("f4")
    assert attribute(file.filename, file, "x", malformed) == h5py.Empty("f4")


def test_a_large_one_is_refused_before_it_is_read(file):
    file.attrs.create("x", np.zeros(1 << 12), dtype="f8")
    assert attribute(file.filename, file, "x", malformed).shape == (1 << 12,)
    with h5py.File(file.filename + ".2", "w", libver="latest") as large:
        large.attrs["x"] = np.zeros(1 << 22)
        with pytest.raises(WeightsFormatError, match="attribute 'x' is larger"):
            attribute(large.filename, large, "x", malformed)
