"""A history is read back line by line, whatever a crash or a disk left of it."""

import pytest

from registry.errors import TrainingError
from registry.training.history import read_history

GOOD = b'{"step": 1, "loss": 2.5}\n'


@pytest.mark.parametrize(
    "line", [b"\xff\xfe", b'{"step": Infinity}', b'{"step": []}', b"[" * 100_000, b"7", b'{"loss": 1}']
)
def test_a_line_that_is_none_is_named_unless_it_is_the_last(tmp_path, line):
    path = tmp_path / "history.jsonl"
    path.write_bytes(GOOD + line)
    assert read_history(path) == [{"step": 1, "loss": 2.5}]
    path.write_bytes(GOOD + line + b"\n" + GOOD)
    with pytest.raises(TrainingError, match="line 2"):
        read_history(path)
