"""What every test may ask for."""

import collections
import copy
import gc
import os
import random

import pytest
from hypothesis import settings
from small_networks import SMALL_PRESET

# Read by the C++ side of TensorFlow when it is first imported: test output stays readable.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
if "PYTEST_XDIST_WORKER" in os.environ:
    # A process for each processor: threads of their own would only wait for each other.
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
    os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")

# The same examples in every run of CI, and no limit in seconds, which a busy machine would break.
settings.register_profile("ci", derandomize=True, deadline=None, database=None)
settings.register_profile("here", deadline=None)
settings.load_profile("ci" if os.environ.get("CI") else "here")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Leave to the sweep what is the same code with other numbers; take long files first."""
    _sample(items)
    _slow_files_first(items)


def _sample(items):
    seen = collections.Counter()
    for item in items:
        marker = item.get_closest_marker("sampled")
        if marker is not None:
            test = item.nodeid.partition("[")[0]
            if seen[test] % marker.args[0]:
                item.add_marker(pytest.mark.sweep)
            seen[test] += 1


def _slow_files_first(items):
    """Files with slow tests first: one of them left for the end would keep one process busy and the other waiting."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_collection_finish():
    """Let the collector of cycles leave alone what was imported: graphs make so many objects that it takes a tenth."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


@pytest.fixture
def small_preset():
    """An inline preset of a DeepLabV3+ that builds and runs in a second."""
    return copy.deepcopy(SMALL_PRESET)


@pytest.fixture(scope="session")
def small_model():
    """That preset, built with fresh weights; treat it as read-only."""
    import registry

    return registry.build(copy.deepcopy(SMALL_PRESET), weights=None)


@pytest.fixture
def damaged():
    """A function of (bytes, seed): truncated, bits flipped or bytes replaced, in turn."""

    def damage(data: bytes, seed: int) -> bytes:
        source = random.Random(seed)
        if seed % 3 == 0:
            return data[: source.randrange(len(data))]
        spoilt = bytearray(data)
        for _ in range(source.choice((1, 4, 16))):
            place = source.randrange(len(spoilt))
            spoilt[place] = (
                spoilt[place] ^ 1 << source.randrange(8) if seed % 3 == 1 else source.randrange(256)
            )
        return bytes(spoilt)

    return damage
