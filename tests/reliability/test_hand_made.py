"""Each hand-made input is refused with its own message, soon and without memory."""

import resource

import hand_made
import pytest
from parsers import PARSERS

from registry.errors import RegistryError


@pytest.mark.parametrize("name", hand_made.CASES)
def test_it_is_refused_by_name(name, tmp_path, monkeypatch):
    parser, data, reason = hand_made.CASES[name]
    monkeypatch.chdir(tmp_path)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises((RegistryError, *PARSERS[parser].refusals), match=f"(?i){reason}") as caught:
        PARSERS[parser].read(data, tmp_path)
    assert len(str(caught.value)) < 3000
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10 < 150 << 20
    assert not (tmp_path / "hurt").exists()


def test_there_are_many():
    assert len(hand_made.CASES) >= 40
    assert {parser for parser, _, _ in hand_made.CASES.values()} <= set(PARSERS)
