"""Contestants, in turns, in processes that import nothing but the standard library."""

import sys
from pathlib import Path

import pytest

from tests.benchmarks import environments
from tests.benchmarks.child import Child, ChildError
from tests.benchmarks.race import Contestant, race, turns


def contestant(task, **options):
    return Contestant(Path(sys.executable), "counting", task, options)


def test_every_contestant_begins_as_often_as_the_others():
    orders = turns(["a", "b", "c"], 6)
    assert all(sorted(order) == ["a", "b", "c"] for order in orders)
    assert sorted(order[0] for order in orders) == ["a", "a", "b", "b", "c", "c"]
    assert turns([], 3) == []


def test_one_process_for_all_turns():
    done = race({"a": contestant("count"), "b": contestant("count", start=10)}, 3, warmup=2)
    assert [run.result for run in done.runs["a"]] == [2, 3, 4]
    assert [run.result for run in done.runs["b"]] == [12, 13, 14]
    assert done.facts == {"a": {"start": 0, "first_result": 0}, "b": {"start": 10, "first_result": 10}}
    assert len(done.peaks["a"]) == 1
    assert not done.problems


def test_a_process_for_each_run():
    done = race({"a": contestant("count"), "b": contestant("count", start=5)}, 2, warmup=1, afresh=True)
    assert [run.result for run in done.runs["a"]] == [0, 0]
    assert list(done.runs) == ["a", "b"]
    assert len(done.peaks["b"]) == 2


def test_memory_is_that_above_the_import():
    done = race(
        {"small": contestant("hold", mebibytes=1), "large": contestant("hold", mebibytes=65)}, 1, warmup=0
    )
    difference = done.peaks["large"][0] - done.peaks["small"][0]
    assert difference == pytest.approx(64, abs=4)


def test_processor_time_does_not_count_waiting():
    done = race({"idle": contestant("wait", seconds=0.05)}, 2)
    elapsed, busy = done.wall("waiting"), done.cpu("waiting")
    assert min(elapsed.series["idle"]) >= 50
    assert busy.name == "waiting, processor time"
    assert max(busy.series["idle"]) < 50


def test_who_fails_is_left_out_with_the_reason():
    contestants = {
        "good": contestant("count"),
        "unprepared": contestant("refuse"),
        "late": contestant("count", last=1),
        "absent": Contestant(None, "counting", "count", problem="no wheel"),
    }
    done = race(contestants, 3, warmup=1)
    assert list(done.runs) == list(done.peaks) == list(done.facts) == ["good"]
    assert len(done.runs["good"]) == 3
    assert "RuntimeError: no such model" in done.problems["unprepared"]
    assert "StopIteration" in done.problems["late"]
    assert done.problems["absent"] == "no wheel"


def test_who_takes_too_long_is_ended():
    with Child(sys.executable, "counting", "wait", {"seconds": 60}) as child:
        child.seconds = 0.2
        with pytest.raises(ChildError, match="-9"):
            child.run()


def test_an_environment_with_these_requirements_is_used_again(tmp_path, monkeypatch):
    monkeypatch.setitem(environments.REQUIREMENTS, "keras_hub", ("keras-hub==1",))
    made = []

    def run(command, **_):
        made.append(command)
        (tmp_path / "keras_hub" / "bin").mkdir(parents=True, exist_ok=True)
        (tmp_path / "keras_hub" / "bin" / "python").touch()
        return environments.subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(environments.subprocess, "run", run)
    python = environments.prepare("keras_hub", tmp_path)
    assert [command[1:3] for command in made][1] == ["pip", "install"]
    assert made[1][-1] == "keras-hub==1"
    assert environments.prepare("keras_hub", tmp_path) == python
    assert len(made) == 2
    monkeypatch.setitem(environments.REQUIREMENTS, "keras_hub", ("keras-hub==2",))
    environments.prepare("keras_hub", tmp_path)
    assert len(made) == 4


def test_an_environment_that_cannot_be_made_says_why(tmp_path, monkeypatch):
    failed = environments.subprocess.CompletedProcess([], 1, "", "resolving\nno wheel for this platform")
    monkeypatch.setattr(environments.subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(environments.EnvironmentFailedError, match="smp: no wheel for this platform"):
        environments.prepare("smp", tmp_path)
    assert not (tmp_path / "smp" / "requirements.txt").exists()
