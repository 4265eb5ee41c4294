"""Two thousand damaged inputs, each a reading or a refusal."""

from generated import run


def test_every_generated_input_is_read_or_refused():
    result = run(90)
    assert result["defects"] == []
    assert result["inputs"] == result["read"] + result["refused"] >= 2000
    assert result["refused"] > result["inputs"] // 2
