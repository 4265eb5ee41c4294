"""Committed CSPNet and MiT directories of KerasHub load and give KerasHub's own pyramids."""

from pathlib import Path

import pytest
from check_cspnet_and_mit import compare

ARCHIVES = sorted((Path(__file__).parent / "cspnet_and_mit").glob("*.zip"))


@pytest.mark.parametrize("archive", ARCHIVES, ids=lambda path: path.stem)
def test_every_level_equals_keras_hub(archive):
    rows = compare(archive)
    assert len(rows) >= 3
    assert all(row.ok for row in rows), "\n".join(map(str, rows))
