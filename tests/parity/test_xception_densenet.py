"""Xception and DenseNet give timm's and KerasHub's own features for weights that go through the plugin's conversion."""

from pathlib import Path

import pytest
from check_xception_densenet import compare

GOLDEN = sorted(
    path for folder in ("densenet", "xception") for path in (Path(__file__).parent / folder).iterdir()
)


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_features_equal_the_source_library(path):
    rows = compare(path)
    assert len(rows) >= 6
    assert all(row.ok for row in rows), "\n".join(map(str, rows))


def test_files_of_every_network_are_there():
    assert len(GOLDEN) == 5
