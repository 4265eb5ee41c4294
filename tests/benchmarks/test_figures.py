"""What is said of a series of numbers."""

import numpy as np
import pytest

from tests.benchmarks.figures import Comparison, Curve, Measure, quartiles


@pytest.mark.parametrize("count", range(1, 12))
def test_quartiles_are_those_of_numpy(count):
    values = list(np.random.default_rng(count).uniform(0.1, 1e4, count))
    assert quartiles(values) == pytest.approx(tuple(np.percentile(values, (25, 75))))


def measure(**series):
    return Measure("latency", "ms", series)


def test_ratio_of_medians_and_its_spread_within_turns():
    measured = measure(atrous=[1.0, 2.0, 4.0], peer=[4.0, 4.0, 4.0])
    assert measured.median("atrous") == 2.0
    assert measured.ratio("peer") == 2.0
    assert measured.ratio("atrous") == 1.0
    # Turn by turn 4, 2 and 1: drift of one contestant shows there, not in the medians.
    assert measured.paired("peer") == (1.0, 4.0)


def test_an_outlier_does_not_decide():
    assert measure(atrous=[1.0, 1.0, 900.0], peer=[2.0, 2.0, 2.0]).ratio("peer") == 2.0


def test_who_is_ahead():
    measured = measure(atrous=[3.0], slower=[4.0], equal=[3.0], faster=[2.0])
    assert measured.ahead() == ["faster"]


def test_without_ours_there_is_no_ratio():
    measured = measure(peer=[4.0, 5.0])
    assert measured.ratio("peer") is None
    assert measured.paired("peer") is None
    assert measured.ahead() == []


def test_ratios_within_turns_need_all_turns_of_both():
    assert measure(atrous=[1.0, 1.0], peer=[1.0]).paired("peer") is None
    assert measure(atrous=[1.0], peer=[1.0]).paired("peer") is None


def test_a_comparison_comes_back_from_its_json():
    import json

    found = Comparison(
        "files",
        "Files",
        "Two files.",
        [measure(atrous=[1.0, 2.0], peer=[3.0, 5.0])],
        {"atrous": {"parameters": 7}},
        {"other": "no wheel"},
        (0.5, 1.5),
        "2026-01-31, quick",
        [Curve("over size", "pixels", [64, 128], ["latency", "latency"])],
    )
    again = Comparison.from_dict(json.loads(json.dumps(found.to_dict())))
    assert again == found
