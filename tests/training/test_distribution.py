"""Devices that share a batch reach what one device reaches; a worker that is lost is waited for."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import registry
from registry.config.recipe import DistributionConfig
from registry.errors import TrainingError
from registry.training.distribution import open_devices

ENVIRONMENT = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"}


@pytest.fixture
def recipe(recipe):
    """Without dropout, which each device draws for itself."""
    recipe["preset"]["architecture"]["aspp"]["dropout"] = 0.0
    recipe.update(batch_size=4, steps=2, checkpoints={"every": 1}, validation={"every": 2, "batch_size": 1})
    recipe["data"]["validation"]["count"] = 5  # not the same number for each
    return recipe


@pytest.fixture
def cluster(recipe, tmp_path):
    """A function that starts the workers of a run: `atrous train` with TF_CONFIG, on free ports of this machine."""
    file = tmp_path / "recipe.yaml"
    file.write_text(json.dumps(recipe))  # JSON is YAML
    started = []

    def start(folder, workers, steps=None):
        sockets = [socket.socket() for _ in range(workers)]
        for each in sockets:
            each.bind(("localhost", 0))
        addresses = [f"localhost:{each.getsockname()[1]}" for each in sockets]
        for each in sockets:
            each.close()
        return [start_one(folder, addresses, index, steps) for index in range(workers)]

    def start_one(folder, addresses, index, steps=None):
        config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        command = [sys.executable, "-m", "registry", "train", str(file), "--output", str(folder)]
        command += ["--set", "distribution.strategy=multi_worker"]
        command += [] if steps is None else ["--set", f"steps={steps}"]
        with (tmp_path / f"worker{index}.log").open("a") as log:
            process = subprocess.Popen(
                command,
                env={**ENVIRONMENT, "TF_CONFIG": json.dumps(config)},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        process.again = lambda: start_one(folder, addresses, index, steps)
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def finish(workers, tmp_path):
    for index, worker in enumerate(workers):
        assert worker.wait(timeout=300) == 0, (tmp_path / f"worker{index}.log").read_text()[-3000:]


def assert_same_run(folder, other):
    ours, theirs = registry.build(folder / "model"), registry.build(other / "model")
    for mine, other_one in zip(ours.weights, theirs.weights, strict=True):
        # Sums in another order, and variances as differences of large numbers: a small part of the largest values,
        # or of a step of the learning rate 0.01.
        rounding = 1e-3 * np.abs(other_one.numpy()).max() + 2e-5
        np.testing.assert_allclose(mine.numpy(), other_one.numpy(), rtol=0, atol=rounding, err_msg=mine.name)
    entries = [
        [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
        for run in (folder, other)
    ]
    assert [entry["step"] for entry in entries[0]] == [entry["step"] for entry in entries[1]]
    for mine, other_one in zip(*entries, strict=True):
        assert mine.keys() == other_one.keys()
        for key in {"loss", "mean_iou"} & mine.keys():
            # A pixel or two have classes of equal scores, up to rounding.
            assert mine[key] == pytest.approx(other_one[key], rel=1e-3, abs=1e-3)


def test_batch_norm_is_synchronized_where_a_batch_may_be_divided():
    one = open_devices(DistributionConfig(strategy="one_device"))
    mirrored = open_devices(DistributionConfig(strategy="mirrored", devices=("CPU:0",)))
    with one.strategy.scope():
        assert not one.is_distributed
    with mirrored.strategy.scope():
        assert mirrored.is_distributed


@pytest.mark.slow
def test_two_devices_equal_one(recipe, tmp_path):
    (tmp_path / "recipe.json").write_text(json.dumps(recipe))
    script = Path(__file__).with_name("distributed_run.py")
    done = subprocess.run(
        [sys.executable, script, tmp_path / "recipe.json", tmp_path / "mirrored"],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "divided among the devices\n  received: 3 images on 2 devices" in done.stdout
    # Synchronized as well: the kernel that normalizes on a single device remembers the variance of N - 1 samples.
    recipe["distribution"] = {"strategy": "mirrored", "devices": ["CPU:0"]}
    registry.train(recipe, tmp_path / "one", progress=False)
    assert_same_run(tmp_path / "mirrored", tmp_path / "one")


@pytest.mark.sweep  # three processes that trace everything: three minutes
def test_two_workers_equal_one(cluster, tmp_path):
    finish(cluster(tmp_path / "one", 1), tmp_path)
    finish(cluster(tmp_path / "two", 2), tmp_path)
    assert_same_run(tmp_path / "two", tmp_path / "one")


@pytest.mark.sweep  # five processes that trace everything: five minutes
def test_a_worker_that_was_killed_and_started_again_changes_nothing(cluster, tmp_path):
    folder = tmp_path / "run"
    workers = cluster(folder, 2, steps=6)
    while not list((folder / "checkpoints").glob("step-*.index")):
        assert workers[0].poll() is None, (tmp_path / "worker0.log").read_text()[-3000:]
        time.sleep(0.1)
    os.killpg(workers[1].pid, signal.SIGKILL)
    workers[1].wait()
    workers[1] = workers[1].again()
    finish(workers, tmp_path)
    assert re.search("another worker was lost", (tmp_path / "worker0.log").read_text())
    finish(cluster(tmp_path / "whole", 2, steps=6), tmp_path)
    assert_same_run(folder, tmp_path / "whole")


@pytest.mark.parametrize(
    "content",
    [
        None,
        "{",
        '{"cluster": {"worker": ["a:1"]}}',
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}',
        '{"cluster": {"worker": ["a:1"], "ps": ["b:1"]}, "task": {"type": "worker", "index": 0}}',
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "chief", "index": 0}}',
    ],
)
def test_a_cluster_that_is_none_is_refused(content, monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if content is not None:
        monkeypatch.setenv("TF_CONFIG", content)
    with pytest.raises(TrainingError, match="TF_CONFIG with the addresses of the workers"):
        open_devices(DistributionConfig(strategy="multi_worker"))
