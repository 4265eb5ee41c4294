"""The pyramid's contract: what keeps the promise passes, and any single breach of it is named."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.errors import PyramidContractError
from registry.pyramid import check_pyramid, level_stage, reported_stride

levels = st.sampled_from(["P1", "P2", "P3", "P4", "P5"])
strides = st.sampled_from([4, 8, 16, 32])
promises = st.dictionaries(levels, st.integers(1, 64), min_size=1)
sizes = st.lists(st.tuples(st.integers(1, 12), st.integers(1, 12)), min_size=2, max_size=3, unique=True)


def delivered(promise, stride, multiples):
    """Shapes as the definition has them: stage n has stride 2^n, held back by the output stride."""
    shapes = {}
    for high, wide in multiples:
        size = (high * stride, wide * stride)
        shapes[size] = {
            level: (None, *(math.ceil(side / min(2 ** int(level[1]), stride)) for side in size), channels)
            for level, channels in promise.items()
        }
    return shapes


def check(shapes, promise, stride):
    check_pyramid(
        shapes, channels=promise, output_stride=stride, encoder="tiny_s", origin="plugin 'tiny' (x 1.0)"
    )


@given(levels, strides)
def test_a_level_is_its_stage_and_its_stride_never_beyond_the_output_stride(level, stride):
    assert level_stage(level) == int(level[1])
    assert reported_stride(level, stride) == min(2 ** int(level[1]), stride)


@given(promises, strides, sizes)
def test_what_is_promised_passes(promise, stride, multiples):
    check(delivered(promise, stride, multiples), promise, stride)


@given(promises, strides, sizes, st.data())
def test_any_single_breach_is_named(promise, stride, multiples, data):
    shapes = delivered(promise, stride, multiples)
    size = data.draw(st.sampled_from(sorted(shapes)))
    level = data.draw(st.sampled_from(sorted(promise)))
    shape = shapes[size][level]
    breach = data.draw(st.sampled_from(["missing", "extra", "rank", "channels", "height", "width"]))
    other = data.draw(st.integers(1, 400))
    if breach == "missing":
        del shapes[size][level]
    elif breach == "extra":
        level = next(name for name in ("P1", "P2", "P3", "P4", "P5", "P6") if name not in promise)
        shapes[size][level] = shape
    elif breach == "rank":
        shapes[size][level] = shape[1:]
    else:
        place = {"height": 1, "width": 2, "channels": 3}[breach]
        changed = other + (other >= shape[place])
        shapes[size][level] = (*shape[:place], changed, *shape[place + 1 :])
    with pytest.raises(PyramidContractError) as caught:
        check(shapes, promise, stride)
    message = str(caught.value)
    assert level in message
    assert "tiny_s" in message
    assert "repair:" in message


@given(st.text(max_size=4))
def test_any_text_is_a_level_or_an_error_of_ours(text):
    try:
        stage = level_stage(text)
    except PyramidContractError as error:
        assert "repair:" in str(error) or "received:" in str(error)
    else:
        assert f"P{stage}" == text
