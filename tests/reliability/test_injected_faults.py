"""What a machine does to a program: nothing half-written, nothing but errors of ours."""

import shutil

import pytest
from faults import FAULTS, scratch_folder


@pytest.fixture
def folder():
    """Not under pytest's own, which other users may not enter."""
    path = scratch_folder()
    yield path
    shutil.rmtree(path)


@pytest.mark.parametrize("name", FAULTS)
def test_it_is_survived(name, folder):
    assert FAULTS[name](folder) > 0
