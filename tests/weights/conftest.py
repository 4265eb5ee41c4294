from functools import partial

import pytest
from hub_caches import NO_NETWORK, hugging_face_cache


@pytest.fixture
def kaggle(tmp_path, monkeypatch):
    """Kaggle's cache, and no network behind it."""
    for name, value in {**NO_NETWORK, "KAGGLEHUB_CACHE": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    return tmp_path


@pytest.fixture
def hugging_face(tmp_path, monkeypatch):
    """A function of (repository, files) that lays out Hugging Face's cache; there is no network."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return partial(hugging_face_cache, tmp_path)


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """What atrous itself remembers of files is not the machine's."""
    monkeypatch.setenv("ATROUS_CACHE", str(tmp_path_factory.mktemp("cache")))
