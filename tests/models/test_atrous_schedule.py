"""Strides become rates where the output stride is reached."""

import pytest

from registry.models.output_stride import AtrousSchedule, Sampling


@pytest.mark.parametrize(
    ("output_stride", "expected"),
    [
        (None, [(2, 1, 1), (2, 1, 1), (1, 1, 1), (2, 1, 1), (2, 1, 1), (2, 1, 1)]),
        (32, [(2, 1, 1), (2, 1, 1), (1, 1, 1), (2, 1, 1), (2, 1, 1), (2, 1, 1)]),
        (16, [(2, 1, 1), (2, 1, 1), (1, 1, 1), (2, 1, 1), (2, 1, 1), (1, 1, 2)]),
        (8, [(2, 1, 1), (2, 1, 1), (1, 1, 1), (2, 1, 1), (1, 1, 2), (1, 2, 4)]),
    ],
)
def test_strides_and_rates_of_a_network(output_stride, expected):
    schedule = AtrousSchedule(output_stride)
    assert [schedule.next(stride) for stride in (2, 2, 1, 2, 2, 2)] == [Sampling(*item) for item in expected]


def test_early_rates_hold_where_the_stride_is_lost():
    schedule = AtrousSchedule(8, early=True)
    expected = [(2, 1, 1), (2, 1, 1), (1, 1, 1), (2, 1, 1), (1, 2, 2), (1, 4, 4)]
    assert [schedule.next(stride) for stride in (2, 2, 1, 2, 2, 2)] == [Sampling(*item) for item in expected]


def test_stride_times_rate_is_the_undilated_stride():
    schedule, undilated = AtrousSchedule(8), 1
    for stride in (4, 1, 2, 2, 1, 2):
        schedule.next(stride)
        undilated *= stride
        assert schedule.stride * schedule.rate == undilated
        assert schedule.stride <= 8
