"""Which handles a description may state: those of atrous, and those that a store of an installed plugin serves."""

from types import SimpleNamespace

import pytest

from registry.testing import description

NAMED = "a" * 64


@pytest.mark.parametrize(
    ("handle", "well_formed"),
    [
        ("kaggle://keras/net/keras/small/1", True),
        ("kaggle://keras/net/keras/small/1/model.weights.h5", True),
        ("kaggle://keras/net/keras/small", False),
        ("hf://user/model@main/file.h5", True),
        ("hf://user", False),
        (f"https://host/file.h5#sha256={NAMED}", True),
        ("https://host/file.h5#sha1=1", False),
        ("shelf://anything", True),
        ("tape://anything", False),
        ("relative/path.h5", False),
    ],
)
def test_handles_of_a_description(monkeypatch, handle, well_formed):
    monkeypatch.setattr(description, "store_schemes", lambda: [*description.RESERVED_SCHEMES, "shelf"])
    subject = SimpleNamespace(spec=SimpleNamespace(weights={"imagenet": handle}))
    findings = list(description._handles(subject))
    assert (findings == []) is well_formed
    assert all(handle in finding.seen for finding in findings)
