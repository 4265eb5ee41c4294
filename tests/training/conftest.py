"""A recipe that trains in seconds."""

import pytest
from small_runs import interrupt, small_recipe

__all__ = ["interrupt"]


@pytest.fixture
def recipe():
    """Of `small_runs`, for a test to change."""
    return small_recipe()
