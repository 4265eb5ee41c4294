"""Learning rates against their formulas."""

import math

import pytest

from registry.errors import ModelError
from registry.training.schedules import Schedule


@pytest.mark.parametrize("step", [0, 1, 499, 999, 1000, 1500])
def test_poly_is_the_papers(step):
    expected = 0.007 * max(0.0, 1 - step / 1000) ** 0.9
    assert float(Schedule(0.007, 1000)(step)) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("step", [0, 250, 500, 1000])
def test_cosine(step):
    expected = 0.5 * (1 + math.cos(math.pi * step / 1000))
    assert float(Schedule(1.0, 1000, shape="cosine")(step)) == pytest.approx(expected, abs=1e-6)


def test_warm_up_rises_to_the_peak_and_the_decay_starts_there():
    schedule = Schedule(2.0, 110, warmup=10, power=1.0)
    assert [float(schedule(step)) for step in range(10)] == pytest.approx([0.2 * n for n in range(1, 11)])
    assert float(schedule(10)) == pytest.approx(2.0)
    assert float(schedule(60)) == pytest.approx(1.0)
    assert float(schedule(110)) == 0


def test_the_floor_holds():
    schedule = Schedule(1.0, 100, floor=0.1)
    assert float(schedule(99)) == pytest.approx(0.1)
    assert float(Schedule(1.0, 100, shape="constant")(99)) == 1.0


def test_it_can_be_saved():
    schedule = Schedule(0.01, 50, shape="cosine", warmup=5, floor=0.01)
    again = Schedule.from_config(schedule.get_config())
    assert [float(again(step)) for step in (0, 7, 49)] == [float(schedule(step)) for step in (0, 7, 49)]


@pytest.mark.parametrize(
    "arguments", [{"peak": 0.0}, {"steps": 0}, {"warmup": 100}, {"floor": 2.0}, {"shape": "poli"}]
)
def test_wrong_arguments_are_refused(arguments):
    with pytest.raises(ModelError):
        Schedule(**{"peak": 1.0, "steps": 100, **arguments})
