"""What a machine does to a program: nothing half-written, nothing but errors of ours."""

import shutil
import tempfile
from pathlib import Path

import pytest
from faults import FAULTS


@pytest.fixture
def folder():
    """Not under pytest's own, which other users may not enter."""
    path = Path(tempfile.mkdtemp())
    yield path
    shutil.rmtree(path)


@pytest.mark.parametrize("name", FAULTS)
def test_it_is_survived(name, folder):
    assert FAULTS[name](folder) > 0
